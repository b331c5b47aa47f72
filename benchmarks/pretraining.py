"""Seconds to an excess of 0.01 nats per token: the steps needed times the time of a step.

`tuning` finds how many steps each contender needs; the times are measured side by side.
"""

from collections.abc import Iterator, Sequence

from benchmarks import documents, steps, timing, tuning
from benchmarks.timing import Row

COUNT, ROUNDS = 50, 5


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Seconds of each contender, and ratios to toylab's; none unless all reached the target."""
    count = 2 if quick else COUNT
    needed = tuning.needed([row for row in known if row.part == "tuning"])
    if not {*tuning.LENGTHS, tuning.THEIRS} <= set(needed):
        return
    setup = documents.setup()
    everybody = steps.contenders(setup, count) | {
        tuning.SAMPLED: steps.ours(setup, count, sampled=True)
    }
    theirs = needed[tuning.THEIRS][0]
    lengths = {name: needed[name][0] for name in tuning.LENGTHS}
    lengths |= {"PyTorch, eager": theirs, "PyTorch, compiled": theirs}
    taken = timing.seconds({name: everybody[name] for name in lengths}, 1 if quick else ROUNDS)
    whole = {name: [s / count * lengths[name] for s in all_of] for name, all_of in taken.items()}
    setting = f"excess {tuning.TARGET:g} on village"
    yield from timing.rows("pretraining", setting, "time to excess", "s", whole)
    yield from timing.ratios("pretraining", setting, "time to excess", whole, "toylab")
