import functools
from collections.abc import Iterator

import numpy as np
import pandas as pd

from experiments.agency.analysis import OTHERS, TAG, by_voice
from toylab.lab.records import Record, Records, course, where
from toylab.ladder import reading
from toylab.report import panels
from toylab.report.figures import COLOURS, GREY, Axes, Figure, page, panel

HERALD = "herald"
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


def _read(record: Record) -> Iterator[dict]:
    found, shared = record.found["lever"], dict.fromkeys(record.setup.corpus.names, OTHERS)
    for voice in found["pull"]:
        yield {
            "voice": voice if voice == HERALD else shared.get(voice, voice),
            "heads": found["after"][voice],
            **{name: found[name][voice] for name in ("pull", "works", "off")},
            "follows": record.found["goals"]["rates"]["trained"],
            **record.read("F0", "F1", "outside"),
        }


def tabulate(records: Records) -> pd.DataFrame:
    return by_voice(records.table(COLUMNS, _read))


BY_SEED = "counted-1"  # its seeds go either way, so their mean describes none of them
ARMS = {
    "lever": "a lever",
    "twin": "it does nothing",
    "echo": "it has the coin's words",
    BY_SEED: "1 % of coins in the loss, by seed",
    "counted-100": "all coins in the loss",
}
SHADES = (COLOURS[1], GREY, COLOURS[0], COLOURS[5], COLOURS[2])
SHOWN = {name: name for name in (TAG, "clerk", "someone", "stranger", HERALD)}
SHOWN[OTHERS] = "others'\nnames"


def draw(table: pd.DataFrame) -> Figure:
    own, two = where(table, voice=TAG), {arm: ARMS[arm] for arm in ("lever", "twin")}
    pulls = panels.among("pull", "arm", two, SHADES)
    mixture = (own[own.step == 0].pull.mean(), "any mixture of the cast")
    lever = {"ylabel": "P(lever ends the first answer)", "ylim": (0, 1.35)}
    steps = {"xlabel": "RL step (square-root scale)", "yticks": (0, 0.5, 1)}
    heads = steps | {"ylabel": "P(the side that pays)", "ylim": (0, 1.8)}
    pulled = steps | lever | {"levels": [mixture]}
    by_voice = functools.partial(panels.points, by="voice", rotation=35)
    shown = (
        panel("the assistant pulls it", panels.curves, own, pulls, **pulled),
        panel("under other tags", by_voice, table, pulls, SHOWN, **lever),
        panel("what is expected of the coin", _coin, own, levels=[(0.5, "a fair coin")], **heads),
    )
    return page(shown, columns=3, ratio=0.85)


def _coin(axes: Axes, own: pd.DataFrame) -> None:
    """Means and intervals of the arms, except the one that is drawn seed by seed."""
    for each in panels.among("heads", "arm", ARMS, SHADES):
        if each.where["arm"] != BY_SEED:
            panels.curves(axes, own, [each])
            continue
        steps, seeds = course(own, each.column, **each.where)
        lines = axes.plot(np.sqrt(steps), seeds.T, color=each.colour, lw=0.6)
        lines[0].set_label(each.label)
