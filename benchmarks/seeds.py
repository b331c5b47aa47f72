"""Eight seeds of pretraining side by side on one device, against one.

One seed keeps a CPU busy, so there eight should take about eight times as long. On a GPU one seed
is too small to fill the kernels, so eight should take little longer than one.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import documents, steps, timing
from benchmarks.timing import Row
from toylab.stages import Context, Pretrain, Setup, base, begin, train_key

SEEDS, ROUNDS = 8, 5


def together(setup: Setup, seeds: int, count: int) -> Callable[[], Any]:
    """`count` steps of pretraining for `seeds` seeds at once; each call continues the last."""
    stage = Pretrain(steps=10**6)
    context = Context(setup.network, setup.world, stage.names(setup.corpus))
    advance = functools.partial(base._advance, stage.structure())
    many = jax.jit(jax.vmap(advance, in_axes=(None, None, None, 0, 0, None)))
    keys = jnp.stack([train_key(seed, 0) for seed in range(seeds)])
    each = [begin(setup, stage, setup.init(seed)) for seed in range(seeds)]
    state = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)]

    def work() -> Any:
        until = state[0].step[0] + count
        state[0], _ = many(stage.numbers(), context, {}, keys, state[0], until)
        return state[0].params

    return work


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Milliseconds per step of one seed and of eight, and their ratio."""
    setup, count = documents.setup(), 2 if quick else 10
    everybody = {"one seed": steps.ours(setup, count), "eight seeds": together(setup, SEEDS, count)}
    taken = timing.seconds(everybody, 1 if quick else ROUNDS)
    milli = {name: [1000 * s / count for s in all_of] for name, all_of in taken.items()}
    yield from timing.rows("seeds", "width 64, 2 layers", "time a step", "ms", milli)
    yield from timing.ratios("seeds", "width 64, 2 layers", "time a step", taken, "one seed")
