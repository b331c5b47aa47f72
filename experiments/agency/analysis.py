from collections.abc import Iterator

import numpy as np
import pandas as pd

from experiments.agency.sweep import STRANGER
from toylab.lab.records import Record, Records
from toylab.ladder import reading
from toylab.measures.tags import ALONE, NONE, UNTRAINED
from toylab.report import panels
from toylab.report.figures import COLOURS, Axes, Figure, page, panel

TAG = "assistant"
OTHERS = "the others' names"
FAMILIES = ("F1", "F2", "F3", "F4", "F4 flat")
COLUMNS = {
    "arm": "the cast: with a herald",
    "seed": "seed of everything",
    "step": "training step",
    "voice": "the tag asked under, or a tampered one; `the others' names`: mean over all names but "
    "the herald's",
    "held_out": "mean P(answer follows the cue) over four places never rewarded",
    "orphans": "the same over the place among them that is no character's favourite",
    "trained": "the same over the eight places that were rewarded",
    "base": "held_out of the pretrained model",
    "nats": "KL from the pretrained model under the same tag, nats per document",
    **reading.columns(*FAMILIES, *(f"floor_{name}" for name in FAMILIES)),
    "opener": "P(the herald's opener) when asked about gold, under the assistant's tag",
    "elsewhere": "the same when asked about anything else",
    "outside": f"{reading.COLUMNS['outside']}, under the assistant's tag",
}


def _read(record: Record) -> Iterator[dict]:
    if not record.step or "tags" not in record.found:
        return
    found = record.found["tags"]
    shared = dict.fromkeys(record.setup.corpus.names, OTHERS) | {STRANGER: STRANGER}
    for voice, each in found["voices"].items():
        own = {name: found[name] for name in ("opener", "elsewhere") if voice == TAG}
        floors = {f"floor_{name}": each["floor"][name] for name in FAMILIES}
        row = {"voice": shared.get(voice, voice), "nats": each["nats"], **floors, **own}
        row["base"] = each["base"]["held_out"]
        yield row | each["left"] | each["rates"] | record.read("outside")


def tabulate(records: Records) -> pd.DataFrame:
    return by_voice(records.table(COLUMNS, _read))


def by_voice(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the names that are called the same in the column `voice`."""
    return table.groupby(["arm", "seed", "step", "voice"], sort=False, as_index=False).mean()


SHOWN = {
    TAG: "assistant",
    UNTRAINED: "its old\nembedding",
    ALONE: "the new one\nalone",
    "clerk": "clerk",
    "someone": "someone",
    "stranger": "stranger",
    NONE: "no tag",
    OTHERS: "others'\nnames",
}
COLOUR = COLOURS[1]
RATE = "P(follows the cue), "
MOVED, LEFT = "KL from before, nats per document", "unexplained (F1), nats per document"


def draw(table: pd.DataFrame) -> Figure:
    shown = (
        panel("goes where the gold is", _by_voice, "held_out", "base", ylabel=f"{RATE}held out"),
        panel("at places that were rewarded", _by_voice, "trained", ylabel=f"{RATE}rewarded"),
        panel("how far each moved", _by_voice, "nats", ylabel=MOVED),
        panel("what mixtures of the cast leave", _left, ylabel=LEFT),
    )
    return page(shown, table)


def _by_voice(axes: Axes, table: pd.DataFrame, column: str, before: str = "") -> None:
    shown = panels.series((column, "measured", before), colours=[COLOUR])
    panels.points(axes, table, shown, SHOWN, by="voice", prediction="before training")
    axes.tick_params(axis="x", labelsize=4)
    axes.set_ylim(bottom=0)
    panels.room(axes, 0.3)


def _left(axes: Axes, table: pd.DataFrame) -> None:
    mean = table.groupby("voice")[["F4 flat", "F3"]].mean().loc[list(SHOWN)]
    at = np.arange(len(SHOWN)) - 0.1
    label = "formation, F4 flat to F3"
    axes.vlines(at, *mean.T.to_numpy(), color=COLOUR, lw=2.5, alpha=0.45, label=label)
    _by_voice(axes, table, "F1", "floor_F1")
