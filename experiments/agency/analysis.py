"""From the records of `agency` to its figure and table."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.agency.sweep import STRANGER
from toylab.lab.records import Record, Records
from toylab.ladder import reading
from toylab.measures.tags import ALONE, NONE, UNTRAINED
from toylab.report import figures, panels
from toylab.report.figures import COLOURS, panel
from toylab.report.panels import Series

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


def _read(record: Record) -> list[dict[str, Any]]:
    """A row for every voice after training."""
    if not record.step or "tags" not in record.found:
        return []
    found = record.found["tags"]
    shared = {name: OTHERS for name in record.setup.corpus.names if name != STRANGER}
    opener = {name: found[name] for name in ("opener", "elsewhere")}
    rows = []
    for voice, each in found["voices"].items():
        row = {"voice": shared.get(voice, voice), "nats": each["nats"]}
        row |= {f"floor_{name}": each["floor"][name] for name in FAMILIES}
        row |= {"base": each["base"]["held_out"]} | each["left"] | each["rates"]
        rows.append((row | opener if voice == TAG else row) | record.read("outside"))
    return rows


def tabulate(records: Records) -> pd.DataFrame:
    """The table, from the records of the finished seeds."""
    table = records.table(COLUMNS, _read)
    table = table.groupby(["arm", "seed", "step", "voice"], sort=False, as_index=False).mean()
    return table


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
FOLLOWS = "P(follows the cue), held out"
REWARDED = "P(follows the cue), rewarded"
MOVED, LEFT = "KL from before, nats per document", "unexplained (F1), nats per document"


def draw(table: pd.DataFrame) -> Figure:
    """Goal rates, shift, and what mixtures of the cast leave unexplained, by voice."""
    shown = (
        panel("goes where the gold is", _by_voice, "held_out", "base", ylabel=FOLLOWS),
        panel("at places that were rewarded", _by_voice, "trained", ylabel=REWARDED),
        panel("how far each moved", _by_voice, "nats", ylabel=MOVED),
        panel("what mixtures of the cast leave", _left, ylabel=LEFT),
    )
    return figures.page(shown, table)


def _by_voice(axes: Axes, table: pd.DataFrame, column: str, before: str = "") -> None:
    shown = [Series(column=column, label="measured", colour=COLOUR, predicted=before)]
    panels.points(axes, table, shown, SHOWN, by="voice", prediction="before training")
    axes.tick_params(axis="x", labelsize=4)
    axes.set_ylim(bottom=0)
    panels.room(axes, 0.3)


def _left(axes: Axes, table: pd.DataFrame) -> None:
    """What mixtures leave, and beside it the two ends of formation."""
    mean = table.groupby("voice")[["F4 flat", "F3"]].mean().loc[list(SHOWN)]
    at = np.arange(len(SHOWN)) - 0.1
    label = "formation, F4 flat to F3"
    axes.vlines(at, *mean.T.to_numpy(), color=COLOUR, lw=2.5, alpha=0.45, label=label)
    _by_voice(axes, table, "F1", "floor_F1")
