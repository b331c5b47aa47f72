"""Pretraining eight seeds side by side on one device, against one seed.

One seed keeps a CPU busy, so there eight should take about eight times as long. On a GPU one seed
is too small to fill the kernels, so eight should take little longer than one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks import beside, documents, steps, timing
from benchmarks.timing import Row
from toylab.stages import Pretrain, Setup, begin, train_key

SEEDS, ROUNDS = 8, 5


def together(setup: Setup, seeds: int, count: int) -> Callable[[], Any]:
    """`count` steps of pretraining for `seeds` seeds at once; each call continues the last."""
    stage = Pretrain(steps=10**6)
    keys = [train_key(seed, 0) for seed in range(seeds)]
    states = [begin(setup, stage, setup.init(seed)) for seed in range(seeds)]

    def work() -> Any:
        until = int(states[0].step) + count
        told = beside.advance(setup, seeds * [stage], states, keys, until)
        states[:] = [state for state, _ in told]
        return [state.params for state in states]

    return work


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Milliseconds per step of one seed and of eight, and their ratio."""
    setup, count = documents.setup(), 2 if quick else 10
    everybody = {"one seed": steps.ours(setup, count), "eight seeds": together(setup, SEEDS, count)}
    taken = timing.seconds(everybody, 1 if quick else ROUNDS)
    milli = {name: [1000 * s / count for s in all_of] for name, all_of in taken.items()}
    yield from timing.rows("seeds", "width 64, 2 layers", "time a step", "ms", milli)
    yield from timing.ratios("seeds", "width 64, 2 layers", "time a step", taken, "one seed")
