"""Samples for TensorBoard: what the model and the nearest mixture say at every snapshot."""

from collections.abc import Iterator
from pathlib import Path as File

import jax
import jax.numpy as jnp

from toylab.lab import store
from toylab.ladder import reading
from toylab.report import talk
from toylab.report.board import RUNGS, WEIGHTS, Board

LEAST = 1e-6  # smallest weight, so that its logarithm is finite


def add(board: Board, kept: File, n: int) -> Iterator[None]:
    """Adds the samples that a board lacks, one at a time, for one seed of each arm.

    They are cached in the folder `kept`.
    """
    for runs in board.listed.arms.values():
        run = next((run for run in runs if run.done), runs[0])
        for step, row in board.courses.get(run.name, {}).items():
            have = board.samples.setdefault(run.name, {})
            if RUNGS[0] not in row or step in have:
                continue
            place, at = (run.folders[-1], step) if step > 0 else (run.folders[0], run.steps[0])
            file = kept / place.name / f"{at:06d}-{board.listed.tag}.md"
            if not file.exists():
                setup = store.setup_of(place)
                weights = jnp.array([row[f"{WEIGHTS}{name}"] for name in setup.corpus.names])
                policy = reading.policy_of(setup, store.params_of(place, setup, at))
                log_weights = jnp.log(jnp.maximum(weights, LEAST))
                pairs = talk.beside(
                    setup, policy, board.listed.tag, log_weights, jax.random.key(0), n
                )
                store.write_atomic(file, markdown(pairs).encode())
            have[step] = file.read_text()
            yield


def markdown(pairs: list[talk.Pair]) -> str:
    text = ""
    for pair in pairs:
        text += "\n| | the model | the mixture of characters nearest to it |\n|---|---|---|\n"
        for question, own, its in pair.turns:
            text += f"| {question} | **{own}** | {its} |\n"
        text += f"| *by Bayes' rule* | *{pair.author}, {pair.share:.0%}* | |\n"
    return text.strip() + "\n"
