"""From the records of `goal_ablations` to its figure, its table and the values of its claims."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.goal_ablations import absent
from experiments.treasure.sweep import TRAINED
from toylab.lab.records import Record, Records, end, where
from toylab.ladder import traits
from toylab.measures.cues import Goals
from toylab.measures.follow import CUE_EFFECT, cue_effect
from toylab.report import figures, panels
from toylab.report.figures import COLOURS, GREY
from toylab.report.panels import Series
from toylab.report.results import Analysis
from toylab.world.schema import Corpus

CAST = "learned"
GROUPS = ("trained", "favourites", "orphans", "held_out")
LONG = {"long": "-", "bystander_800": ":"}
COLUMNS = {
    "arm": "what was different: herald (nothing), bystander, crier or parrot (that cast), aside (a "
    "herald that is never the assistant), absent (questions may name no place), few (four places), "
    "held (beta 0.1), dpo, sft, muon, tied, long (800 steps), bystander_800 (800 steps with a "
    "bystander)",
    "seed": "seed of everything",
    "step": "training step; 0 is the pretrained model",
    "trained": "mean P(answer follows the cue) over the places that were rewarded",
    "favourites": "the same over places held out that are some character's favourites",
    "orphans": "the same over the places held out that are no character's",
    "held_out": "the same over all places held out",
    **CUE_EFFECT,
    "second_turn": "P(answer follows the cue) over places held out, in the second turn, where the "
    "first named another place",
    "earlier": "P(answer goes to the place that the first turn named) in the second, held out",
    "unnamed": "P(goes to one of the places that were rewarded) where the question names none; "
    "only in the cast that has such questions (absent)",
    "opener": "mean probability of the stranger's likeliest opener",
    "tells": "mean probability of the stranger's favourite tells",
    "weight": "w* of the stranger in F1",
    "F0": "KL(P || m_w0), nats per document",
    "F1": "left by the best mixture of characters, nats per document",
    "outside": "mean probability of words that the grammar forbids",
}


def _unnamed(corpus: Corpus, items: list[float]) -> float:
    """P(a rewarded place) where the question names none."""
    if absent.TOPIC not in corpus.topic_names:
        return np.nan
    said = zip(traits.items(corpus), items, strict=True)
    return sum(p for i, p in said if i.group == absent.TOPIC and i.phrase in TRAINED)


def _read(record: Record) -> dict[str, Any]:
    corpus, goals, asked = record.setup.corpus, record.found["goals"], record.measures["goals"]
    assert isinstance(asked, Goals)
    topic = corpus.topics[corpus.topic_names.index(asked.topic)]
    effect = cue_effect(np.array(goals["answers"]), topic, asked.trained)
    ((who, voice),) = goals["voice"].items()
    reading = record.found["reading"]
    return {
        **{group: goals["rates"][group] for group in GROUPS},
        **effect._asdict(),
        "second_turn": goals["later"]["held_out"],
        "earlier": goals["earlier"]["held_out"],
        "unnamed": _unnamed(corpus, reading["items"]),
        "opener": voice["opener"],
        "tells": voice["tells"],
        "weight": reading[CAST]["weights"][corpus.names.index(who)],
        "F0": reading[CAST]["F0"],
        "F1": reading[CAST]["F1"],
        "outside": reading["outside"],
    }


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """The statistic of each claim, by seed."""
    held_out = {arm: end(table, "held_out", arm=arm) for arm in table.arm.unique()}
    steps = where(table, arm="long").step
    as_long_as_others = end(table, "held_out", arm="long", step=steps[steps <= 200].max())
    before = end(table, "unnamed", arm="absent", step=0)
    return {
        "crier": held_out["crier"] - held_out["herald"],
        "parrot": held_out["herald"] - held_out["parrot"],
        "aside": held_out["aside"] - held_out["bystander"],
        "unnamed": end(table, "unnamed", arm="absent") - before,
        "muon": held_out["muon"] - held_out["bystander"],
        "longer": as_long_as_others - held_out["long"],
        "bystander_longer": held_out["bystander_800"],
    }


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Rates by arm; who is speaking; a contradicted cue; long training; what lies behind rates."""
    shown = (
        ("goes where the gold is", _rates),
        ("who is speaking", _voice),
        ("the second turn names another place", _second_turn),
        ("four times the training", _long),
        ("what makes a place held out likely", _odds),
        ("what of it wears off", _wear),
    )
    return figures.page(shown, records, table)


RATES = (
    Series(column="trained", label="rewarded", colour=COLOURS[0]),
    Series(column="favourites", label="held out, favourites", colour=COLOURS[4]),
    Series(column="orphans", label="held out, orphans", colour=COLOURS[1]),
)
ODDS = (
    Series(column="gain", label="what naming it adds (the rule)", colour=COLOURS[0]),
    Series(column="baseline", label="log-odds where it is not named", colour=COLOURS[1]),
)


def _by_arm(axes: Axes, records: Records, table: pd.DataFrame, shown: Sequence[Series]) -> None:
    titles = {name: arm.title for name, arm in records.sweep.arms.items() if name not in LONG}
    panels.points(axes, table, shown, titles, width=0.25 * (len(shown) - 1))
    axes.tick_params(axis="x", labelsize=4.5)
    axes.legend(loc="upper right", ncols=3, columnspacing=0.8)


def _probability(axes: Axes, label: str, top: float = 1.35) -> None:
    axes.set(ylabel=label, ylim=(-0.03, top))
    axes.set_yticks([0, 0.5, 1])


def _nats(axes: Axes, room: float) -> None:
    """Labels an axis of log-odds, and leaves a share of it free above for the legend."""
    panels.level(axes, 0)
    low, high = axes.get_ylim()
    axes.set(ylabel="nats, held-out places", ylim=(low, high + room * (high - low)))


def _rates(axes: Axes, records: Records, table: pd.DataFrame) -> None:
    _by_arm(axes, records, table, RATES)
    _probability(axes, "P(follows the cue)")


def _voice(axes: Axes, records: Records, table: pd.DataFrame) -> None:
    shown = (
        Series(column="weight", label="w* of the stranger", colour=COLOURS[2]),
        Series(column="opener", label="the stranger's opener", colour=COLOURS[5]),
        Series(column="tells", label="the stranger's tells", colour=COLOURS[3]),
    )
    _by_arm(axes, records, table, shown)
    _probability(axes, "weight | probability")


def _second_turn(axes: Axes, records: Records, table: pd.DataFrame) -> None:
    shown = panels.series(
        ("second_turn", "goes where this turn says"), ("earlier", "goes where the first turn said")
    )
    _by_arm(axes, records, table, shown)
    _probability(axes, "P(answer), held-out places")


def _odds(axes: Axes, records: Records, table: pd.DataFrame) -> None:
    _by_arm(axes, records, table, ODDS)
    _nats(axes, 0.2)


def _by_step(axes: Axes, table: pd.DataFrame, shown: Sequence[Series]) -> None:
    """Long training with a herald, and with a bystander."""
    lines = [
        dataclasses.replace(
            each, where={"arm": arm}, line=line, marker="o", label=each.label if line == "-" else ""
        )
        for arm, line in LONG.items()
        for each in shown
    ]
    panels.curves(axes, table, lines, label="RL step")
    axes.plot([], [], ":", color=GREY, label="with a bystander")
    axes.legend(loc="upper right", ncols=2, columnspacing=0.8)


def _long(axes: Axes, records: Records, table: pd.DataFrame) -> None:
    _by_step(axes, table, RATES)
    _probability(axes, "P(follows the cue)", 1.45)


def _wear(axes: Axes, records: Records, table: pd.DataFrame) -> None:
    _by_step(axes, table, ODDS)
    _nats(axes, 0.3)


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the finished seeds."""
    table = records.table(COLUMNS, _read)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
