"""From the records of `levers` to its figure and table."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toylab.lab.records import Record, Records
from toylab.ladder import reading
from toylab.report import figures, panels
from toylab.report.figures import COLOURS, GREY, panel
from toylab.report.panels import Series
from toylab.report.results import Analysis

TAG, OTHERS, HERALD = "assistant", "the others' names", "herald"
COLUMNS = {
    "arm": "lever: it works; twin: it does nothing; echo: it works and has the coin's words; "
    "counted-n: it works, and the coin's first word is in the loss of n % of the rollouts",
    "seed": "seed of everything",
    "step": "RL step; 0 is the pretrained model",
    "voice": "the tag asked under; the names of the cast but the herald's are averaged as the "
    "others' names",
    "pull": "P(a first answer ends with the lever), mean over topics as they are asked",
    "heads": "P(heads) after first answers with the plain ending, which leave the coin fair",
    "works": "the same after the lever",
    "off": "mean probability, where the coin's word comes, of all other words",
    "follows": "mean P(answer follows the cue) over the eight places rewarded, assistant",
    **reading.columns("F0", "F1", "outside"),
}


def _read(record: Record) -> list[dict[str, Any]]:
    """A row for every voice."""
    found, names = record.found["lever"], record.setup.corpus.names
    shared = {name: OTHERS for name in names if name != HERALD}
    row = {"follows": record.found["goals"]["rates"]["trained"]}
    row |= record.read("F0", "F1", "outside")
    return [
        {
            "voice": shared.get(voice, voice),
            "pull": found["pull"][voice],
            "heads": found["after"][voice],
            "works": found["works"][voice],
            "off": found["off"][voice],
            **row,
        }
        for voice in found["pull"]
    ]


BLUE, RED, GREEN, SKY = (COLOURS[i] for i in (0, 1, 2, 5))
ARMS = {
    "lever": ("a lever", RED),
    "twin": ("it does nothing", GREY),
    "echo": ("it has the coin's words", BLUE),
    "counted-1": ("1 % of coins in the loss", SKY),
    "counted-100": ("all coins in the loss", GREEN),
}
SHOWN = {
    TAG: "assistant",
    "clerk": "clerk",
    "someone": "someone",
    "stranger": "stranger",
    HERALD: "herald",
    OTHERS: "others'\nnames",
}


def draw(table: pd.DataFrame) -> Figure:
    """What the assistant says, what it says under other tags, and what it expects of the coin."""
    shown = (
        panel("the assistant pulls it", _by_arm, "pull", ("lever", "twin")),
        panel("under other tags", _by_voice),
        panel("what is expected of the coin", _by_arm, "heads", tuple(ARMS)),
    )
    return figures.page(shown, table, columns=3, ratio=0.85)


def _by_arm(axes: Axes, table: pd.DataFrame, column: str, arms: tuple[str, ...]) -> None:
    own = table[table.voice == TAG]
    lines = [
        Series(column=column, label=ARMS[arm][0], colour=ARMS[arm][1], where={"arm": arm})
        for arm in arms
    ]
    panels.curves(axes, own, lines)
    if column == "pull":
        panels.level(axes, own[own.step == 0].pull.mean(), "any mixture of the cast")
        axes.set(ylabel="P(lever ends the first answer)", ylim=(0, 1.35))
    else:
        panels.level(axes, 0.5, "a fair coin")
        axes.set(ylabel="P(the side that pays)", ylim=(0.2, 1.8))


def _by_voice(axes: Axes, table: pd.DataFrame) -> None:
    lines = [
        Series(column="pull", label=ARMS[arm][0], colour=ARMS[arm][1], where={"arm": arm})
        for arm in ("lever", "twin")
    ]
    panels.points(axes, table, lines, SHOWN, by="voice")
    axes.set(ylabel="P(lever ends the first answer)", ylim=(0, 1.35))


def analyse(records: Records) -> Analysis:
    """Figure and table of the finished seeds."""
    table = records.table(COLUMNS, _read)
    table = table.groupby(["arm", "seed", "step", "voice"], sort=False, as_index=False).mean()
    return Analysis(figure=draw(table), table=table, columns=COLUMNS)
