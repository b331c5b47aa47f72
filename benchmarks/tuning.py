"""How many steps does each contender need for an excess loss of 0.01 nats per token on answers?

PyTorch's learning rate is tuned over six values at one length. If that length reaches the target,
shorter runs are tried, else longer ones, at the best rate and at half of it. Nothing is timed here.
"""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import documents, timing
from benchmarks.timing import Row
from toylab.measures.calibration import over
from toylab.stages import Pretrain, Setup, begin, segments, train_key
from toylab.stages.base import EVALUATE
from toylab.world import documents as docs

TARGET = 0.01  # nats per token, on answers
SEED, HELD_OUT = 1000, 8192
RATES = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2)
TUNED_AT, SHORTER, LONGER = 2000, (1600, 1800), (3000, 4000, 6000, 8000, 12000)
CHUNK = 500  # batches drawn at a time
THEIRS, OURS, SAMPLED = "PyTorch, AdamW", "toylab", "toylab, words as they came"
LENGTHS = {OURS: (200, 250, 300, 350, 400, 600), SAMPLED: (800, 1000, 1200, 1400, 1600)}


def _documents(setup: Setup) -> docs.Documents:
    key = jax.random.fold_in(jax.random.key(SEED), EVALUATE)
    return docs.sample(setup.world, key, HELD_OUT)


def ours(setup: Setup, steps: int, *, sampled: bool = False) -> float:
    """toylab's excess after pretraining for `steps` steps.

    If `sampled`, the targets are sampled words, as for PyTorch, not their exact distribution.
    """
    stage, held_out = Pretrain(steps=steps, sampled=sampled), _documents(setup)
    state = begin(setup, stage, setup.init(SEED))
    ((state, _),) = segments(setup, stage, state, train_key(SEED, 0), [steps])
    logits = setup.network.apply(state.params, held_out.tokens)[0]
    return float(over(setup.world, held_out, logits)["answers"])


def theirs(setup: Setup, rate: float, steps: int) -> float:
    """PyTorch's excess after `steps` steps on the same documents."""
    import torch

    from benchmarks import torch_gpt

    training = torch_gpt.Training(torch_gpt.seeded(SEED, setup.network), rate, steps)
    for first in range(0, steps, CHUNK):
        count = min(CHUNK, steps - first)
        drawn = documents.batches(setup, train_key(SEED, 0), first, count)
        for tokens, targets in zip(*map(torch.tensor, drawn), strict=True):
            training.advance(tokens.long(), targets.long())
    held_out = _documents(setup)
    with torch.no_grad():
        tokens = torch.tensor(np.asarray(held_out.tokens)).long()
        logits = torch.cat([training.model(part) for part in tokens.split(512)]).numpy()
    return float(over(setup.world, held_out, jnp.asarray(logits))["answers"])


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """The excess for every length and rate tried; those in `known` are not tried again."""
    setup = documents.setup()
    known = [row for row in known if row.part == "tuning"]
    before = {(row.contender, row.setting): row for row in known}

    def found(contender: str, rate: float, steps: int) -> Row:
        setting = f"{steps} steps, rate {rate:g}"
        if (contender, setting) in before:
            return before[contender, setting]
        if contender == THEIRS:
            value = theirs(setup, rate, steps)
        else:
            value = ours(setup, steps, sampled=contender == SAMPLED)
        return Row(
            "tuning", setting, contender, "excess on answers", "nats/token", value, value, value, 1
        )

    for contender, lengths in LENGTHS.items():
        for steps in (10, 20) if quick else lengths:
            row = found(contender, Pretrain().learning_rate, steps)
            yield row
            if row.value <= TARGET:
                break
    if not timing.TORCH:
        yield from (row for row in known if row.contender == THEIRS)
        return
    tuned: dict[float, Row] = {}
    for rate in RATES:
        tuned[rate] = found(THEIRS, rate, 10 if quick else TUNED_AT)
        yield tuned[rate]
    best = min(tuned, key=lambda rate: tuned[rate].value)
    enough = tuned[best].value <= TARGET
    for steps in (20,) if quick else SHORTER if enough else LONGER:
        reached = False
        for rate in (best, best / 2):
            row = found(THEIRS, rate, steps)
            yield row
            reached |= row.value <= TARGET
        if reached:
            break


def needed(tried: Sequence[Row]) -> dict[str, tuple[int, float]]:
    """The fewest steps with which each contender reached the target, and its rate; else absent."""
    reached: dict[str, tuple[int, float]] = {}
    for row in tried:
        steps, rate = (part.split() for part in row.setting.split(", "))
        if row.value <= TARGET:
            at = (int(steps[0]), float(rate[1]))
            reached[row.contender] = min(reached.get(row.contender, at), at)
    return reached
