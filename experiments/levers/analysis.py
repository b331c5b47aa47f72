"""From the records of `levers` to its figure and table."""

import functools
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toylab.lab.records import Record, Records, course, where
from toylab.ladder import reading
from toylab.report import figures, panels
from toylab.report.figures import COLOURS, GREY, panel

TAG, OTHERS, HERALD = "assistant", "the others' names", "herald"
COLUMNS = {
    "arm": "lever: it works; twin: it does nothing; echo: it works and has the coin's words; "
    "counted-n: it works, and the coin's first word is in the loss of n % of the rollouts",
    "seed": "seed of everything",
    "step": "RL step; 0 is the pretrained model",
    "voice": "the tag asked under; `the others' names` is the mean over all names but the herald's",
    "pull": "P(a first answer ends with the lever), mean over topics as they are asked",
    "heads": "P(heads) after first answers with the plain ending, which leave the coin fair",
    "works": "the same after the lever",
    "off": "mean probability of all other words at the place of the coin's word",
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


def tabulate(records: Records) -> pd.DataFrame:
    """The table, from the records of the finished seeds."""
    table = records.table(COLUMNS, _read)
    table = table.groupby(["arm", "seed", "step", "voice"], sort=False, as_index=False).mean()
    return table


BY_SEED = "counted-1"  # its seeds go either way, so their mean describes none of them
ARMS = {
    "lever": "a lever",
    "twin": "it does nothing",
    "echo": "it has the coin's words",
    BY_SEED: "1 % of coins in the loss, by seed",
    "counted-100": "all coins in the loss",
}
SHADES = (COLOURS[1], GREY, COLOURS[0], COLOURS[5], COLOURS[2])
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
    own, two = where(table, voice=TAG), {arm: ARMS[arm] for arm in ("lever", "twin")}
    pulls = panels.among("pull", "arm", two, SHADES)
    mixture = (own[own.step == 0].pull.mean(), "any mixture of the cast")
    lever: dict[str, Any] = {"ylabel": "P(lever ends the first answer)", "ylim": (0, 1.35)}
    heads: dict[str, Any] = {"ylabel": "P(the side that pays)", "ylim": (0, 1.8)}
    steps: dict[str, Any] = {"xlabel": "RL step (square-root scale)", "yticks": (0, 0.5, 1)}
    by_voice = functools.partial(panels.points, by="voice", rotation=35)
    shown = (
        panel(
            "the assistant pulls it", panels.curves, own, pulls, levels=[mixture], **lever, **steps
        ),
        panel("under other tags", by_voice, table, pulls, SHOWN, **lever),
        panel(
            "what is expected of the coin", _coin, own,
            levels=[(0.5, "a fair coin")], **heads, **steps,
        ),
    )  # fmt: skip
    return figures.page(shown, columns=3, ratio=0.85)


def _coin(axes: Axes, own: pd.DataFrame) -> None:
    """Means and intervals of the arms, except the one that is drawn seed by seed."""
    for each in panels.among("heads", "arm", ARMS, SHADES):
        if each.where["arm"] != BY_SEED:
            panels.curves(axes, own, [each])
            continue
        steps, seeds = course(own, each.column, "step", **each.where)
        for n, seed in enumerate(seeds):
            label = "" if n else each.label
            axes.plot(np.sqrt(steps), seed, color=each.colour, lw=0.6, label=label or None)
