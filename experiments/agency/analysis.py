"""From the records of `agency` to its figure and table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.agency import heard
from experiments.agency.sweep import CONTROL, STRANGERS
from toylab.lab.records import Record, Records, course, where
from toylab.ladder import reading
from toylab.measures.tags import ALONE, NONE, UNTRAINED
from toylab.report import figures, panels
from toylab.report.figures import COLOURS, DARK, panel
from toylab.report.panels import Series
from toylab.report.results import Analysis

TAG = "assistant"
OTHERS = "the others' names"
AFTER = "after a turn by another"
FAMILIES = ("F1", "F2", "F3", "F4", "F4 flat")
COLUMNS = {
    "arm": "the cast: with a prospector, a herald or a bystander",
    "seed": "seed of everything",
    "step": "training step; 0 is the pretrained model",
    "voice": "the tag asked under, a tampered one, or the assistant after a turn by another (each "
    "of the cast but the stranger); their names are averaged as the others' names",
    "held_out": "mean P(answer follows the cue) over four places never rewarded",
    "orphans": "the same over the place among them that is no character's favourite",
    "trained": "the same over the eight places that were rewarded",
    "trained_bayes": "the same by w*, the best mixture of the cast for first answers",
    "base": "held_out of the pretrained model",
    "nats": "KL from the pretrained model under the same tag, nats per document",
    **reading.columns(*FAMILIES, *(f"floor_{name}" for name in FAMILIES)),
    "opener": "P(the stranger's opener) when asked about gold, under the assistant's tag",
    "elsewhere": "the same when asked about anything else",
    **heard.COLUMNS,
    "ignored": "nats_else - nats_gold",
    "outside": f"{reading.COLUMNS['outside']}, under the assistant's tag",
}


def _read(record: Record) -> list[dict[str, Any]]:
    """Rows for every voice at the end of training; rows after another's turn at every step."""
    found, every = record.found, record.setup.corpus.names
    others = [k for k, name in enumerate(every) if name not in (*STRANGERS, CONTROL)]
    shared = {every[k]: OTHERS for k in others}
    rows: list[dict[str, Any]] = []
    if "override" in found:
        rows.append({"voice": AFTER} | heard.after_one_turn(found["override"]["learned"], others))
    if record.step and "tags" in found:
        opener = {name: found["tags"][name] for name in ("opener", "elsewhere")}
        for voice, each in found["tags"]["voices"].items():
            row = {"voice": shared.get(voice, voice), "nats": each["nats"]}
            row |= {f"floor_{name}": each["floor"][name] for name in FAMILIES}
            row |= {"base": each["base"]["held_out"]} | each["left"] | each["rates"]
            rows.append(row | opener if voice == TAG else row)
    return [row | record.read("outside") for row in rows]


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
WIDTH = 0.36
FOLLOWS = "P(follows the cue), held out"
MOVED, LEFT = "KL from before, nats per document", "unexplained (F1), nats per document"
ASIDE = dict(zip(STRANGERS, (-WIDTH / 2, WIDTH / 2), strict=True))
COLOUR = dict(zip((*STRANGERS, CONTROL), COLOURS, strict=False))


def draw(table: pd.DataFrame) -> Figure:
    """Goal rates, shift and what the cast leaves, by voice; and another's turn."""
    unit: dict[str, Any] = {"ylim": (-0.03, 1.3), "yticks": (0, 0.5, 1), "legend": "upper right"}
    nats: dict[str, Any] = {"legend": "upper right", "ncols": 2}
    after = SHOWN | {AFTER: "after\nanother's\nturn"}
    rates, moved = _by_cast("held_out", "base"), _by_cast("nats")
    shown = (
        panel("goes where the gold is", _by_voice, rates, after, ylabel=FOLLOWS, ncols=3, **unit),
        panel("after a turn by another: who is speaking?", _heard),
        panel("how far each moved", _by_voice, moved, SHOWN, ylabel=MOVED, **nats),
        panel("what mixtures of the cast leave", _left, ylabel=LEFT, **nats),
    )
    return figures.page(shown, table)


def _by_voice(axes: Axes, table: pd.DataFrame, shown: Sequence[Series], at: Mapping) -> None:
    style: dict[str, Any] = {"by": "voice", "prediction": "before training", "rotation": 0}
    panels.points(axes, table, shown, at, width=WIDTH, **style)
    axes.tick_params(axis="x", labelsize=4)
    axes.set_ylim(bottom=0)
    panels.room(axes, 0.3)


def _by_cast(column: str, before: str = "") -> list[Series]:
    labels, colours = {k: f"with a {k}" for k in STRANGERS}, [COLOUR[k] for k in STRANGERS]
    return panels.among(column, "arm", labels, colours, predicted=before)


def _heard(axes: Axes, table: pd.DataFrame) -> None:
    """How far that turn moves answers about gold, against answers about anything else."""
    for arm, colour in COLOUR.items():
        steps, gold = course(table, "heard_gold", arm=arm, voice=AFTER)
        _, rest = course(table, "heard_else", arm=arm, voice=AFTER)
        means = rest.mean(0), gold.mean(0)
        axes.plot(*means, "o-", color=colour, ms=3, lw=1, label=f"with a {arm}")
        axes.plot(rest, gold, ".", color=colour, ms=2, alpha=0.4)
        for step, x, y in zip(steps, *means, strict=True):
            axes.annotate(str(step), (x, y), (3, -5), textcoords="offset points", fontsize=4.5)
    axes.plot([0, 1], [0, 1], color=DARK, lw=0.8, label="one belief about the speaker")
    axes.set(xlabel="how far answers come to the other's, asked about anything else",
             ylabel="asked about gold", xlim=(-0.05, 1.1), ylim=(-0.05, 1.1))  # fmt: skip


def _left(axes: Axes, table: pd.DataFrame) -> None:
    """What mixtures leave, and beside it the two ends of formation."""
    for arm, aside in ASIDE.items():
        mean = where(table, arm=arm).groupby("voice")[["F4 flat", "F3"]].mean().loc[list(SHOWN)]
        label = "formation, F4 flat to F3" if arm == STRANGERS[0] else ""
        at = np.arange(len(SHOWN)) + aside - 0.1
        axes.vlines(at, *mean.T.to_numpy(), color=COLOUR[arm], lw=2.5, alpha=0.45, label=label)
    _by_voice(axes, table, _by_cast("F1", "floor_F1"), SHOWN)


def analyse(records: Records) -> Analysis:
    """Figure and table of the finished seeds."""
    table = records.table(COLUMNS, _read)
    table = table.groupby(["arm", "seed", "step", "voice"], sort=False, as_index=False).mean()
    table["ignored"] = table.nats_else - table.nats_gold
    return Analysis(figure=draw(table), table=table, columns=COLUMNS)
