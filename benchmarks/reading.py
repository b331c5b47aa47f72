"""What a reading costs, in seconds and as a share of the training stage's time.

Compares a live reading (F0 to F2 on both casts, with traits), the whole ladder on one cast, and
stages. Parameters are random, which does not change the cost.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks import documents, timing
from benchmarks.timing import Row
from toylab.ladder import reading
from toylab.ladder.fit import fit_ladder
from toylab.ladder.measure import Snapshot
from toylab.ladder.reading import LadderFit
from toylab.policy.policy import ModelPolicy
from toylab.stages import Rl, Says, Setup, Sft, Stage, begin, segments, train_key

KEY = jax.random.key(0)
ROUNDS = 5
READINGS = 5  # how often `selection` reads a stage
WHOLE = {"fit": 4096, "held_out": 2048, "score": 1024}


def _train(setup: Setup, stage: Stage) -> Callable[[], Any]:
    params = setup.init(0)

    def work() -> Any:
        key, reference = train_key(0, 1), params if stage.needs_reference else None
        last = [int(stage.steps)]
        ((state, _),) = segments(setup, stage, begin(setup, stage, params), key, last, reference)
        return state.params

    return work


def untrained(setup: Setup, settings: LadderFit) -> Snapshot:
    """A model with random parameters, in the form that a live reading takes."""
    policy = ModelPolicy(setup.init(0), setup.network)
    return Snapshot(setup, reading.prepare(setup, policy, KEY, settings), policy, policy)


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Seconds of readings and stages, and the share of five live readings."""
    setup = documents.setup()
    shrink = 16 if quick else 1
    steps, rounds = (4, 1) if quick else (100, ROUNDS)
    live = LadderFit(fit=512 // shrink) if quick else LadderFit()
    snapshot = untrained(setup, live)
    base, policy = snapshot.base, snapshot.policy
    settings = LadderFit(**{name: size // shrink for name, size in WHOLE.items()})
    sizes = settings.fit, settings.held_out, settings.score

    def ladder() -> Any:
        tag = snapshot.tag("assistant")
        written = reading.answers(policy, setup.world, KEY, sum(sizes), tag)
        parts = reading.in_three(written, *sizes)
        return fit_ladder(setup.world, base.casts["exact"], base.log_prior, *parts)

    everybody: dict[str, Callable[[], Any]] = {
        "live reading": lambda: live(snapshot, KEY),
        "whole ladder, one cast": ladder,
        "sft": _train(setup, Sft(author="mira", steps=steps)),
        "rl": _train(setup, Rl(target=Says(answers=("code=cheats",)), steps=steps)),
    }
    taken = timing.seconds(everybody, rounds)
    yield from timing.rows("reading", f"stages of {steps} steps", "time", "s", taken)
    one = np.asarray(taken["live reading"])
    shares = {
        f"{READINGS} live readings / {name}": list(READINGS * one / np.asarray(taken[name]))
        for name in ("sft", "rl")
    }
    yield from timing.rows("reading", f"stages of {steps} steps", "share", "times", shares)
