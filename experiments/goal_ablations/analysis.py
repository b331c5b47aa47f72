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
from toylab.ladder import reading, traits
from toylab.measures import cues
from toylab.measures.follow import CUE_EFFECT, cue_effect
from toylab.report import figures, panels
from toylab.report.figures import COLOURS, GREY, Panel, panel
from toylab.report.panels import Series
from toylab.report.results import Analysis
from toylab.world.schema import Corpus

GROUPS = ("trained", "favourites", "orphans", "held_out")
COLUMNS = {
    "arm": "what was different: herald (nothing), bystander, crier or parrot (that cast), aside (a "
    "herald that is never the assistant), absent (questions may name no place), few (four places), "
    "held (beta 0.1), dpo, sft, muon, tied, long (800 steps), bystander_800 (800 steps with a "
    "bystander)",
    "seed": "seed of everything",
    "step": "training step; 0 is the pretrained model",
    **{name: cues.GROUPS[name] for name in GROUPS},
    **CUE_EFFECT,
    "second_turn": "P(answer follows the cue) over places held out, in the second turn, where the "
    "first named another place",
    "earlier": "P(answer goes to the place that the first turn named) in the second, held out",
    "unnamed": "P(goes to one of the places that were rewarded) where the question names none; "
    "only in the cast that has such questions (absent)",
    "opener": "mean probability of the stranger's likeliest opener",
    "tells": "mean probability of the stranger's favourite tells",
    "weight": "w* of the stranger in F1",
    **reading.columns("F0", "F1", "outside"),
}


def _unnamed(corpus: Corpus, items: list[float]) -> float:
    """P(a rewarded place) where the question names none."""
    if absent.TOPIC not in corpus.topic_names:
        return np.nan
    rewarded = (f"{absent.TOPIC}={place}" for place in TRAINED)
    return float(traits.pick(corpus, items, *rewarded).sum())


def _read(record: Record) -> dict[str, Any]:
    corpus, goals, asked = record.setup.corpus, record.found["goals"], record.measures["goals"]
    assert isinstance(asked, cues.Goals)
    topic = corpus.topics[corpus.topic_names.index(asked.topic)]
    ((who, voice),) = goals["voice"].items()
    return {
        **{group: goals["rates"][group] for group in GROUPS},
        **cue_effect(goals["answers"], topic, asked.trained)._asdict(),
        "second_turn": goals["later"]["held_out"],
        "earlier": goals["earlier"]["held_out"],
        "unnamed": _unnamed(corpus, record.found["reading"]["items"]),
        "opener": voice["opener"],
        "tells": voice["tells"],
        **record.read("F0", "F1", "outside", whose=who),
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


LONG = {"long": "-", "bystander_800": ":"}
RATES = panels.series(
    ("trained", "rewarded"),
    ("favourites", "held out, favourites"),
    ("orphans", "held out, orphans"),
    colours=(COLOURS[0], COLOURS[4], COLOURS[1]),
)
VOICE = panels.series(
    ("weight", "w* of the stranger"),
    ("opener", "the stranger's opener"),
    ("tells", "the stranger's tells"),
    colours=(COLOURS[2], COLOURS[5], COLOURS[3]),
)
TURN = panels.series(
    ("second_turn", "goes where this turn says"), ("earlier", "goes where the first turn said")
)
ODDS = panels.series(
    ("gain", "what naming it adds (the rule)"), ("baseline", "log-odds where it is not named")
)


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Rates by arm; who is speaking; a contradicted cue; long training; what lies behind rates."""

    def rates(title: str, paint: Any, shown: Sequence[Series], label: str, top: float) -> Panel:
        style: dict[str, Any] = {"ylim": (-0.03, top), "yticks": (0, 0.5, 1), "ncols": 3}
        return panel(title, paint, shown, ylabel=label, legend="upper right", **style)

    def odds(title: str, paint: Any) -> Panel:
        style = {"ylabel": "nats, held-out places", "legend": "upper right"}
        return panel(title, paint, ODDS, ncols=2, **style)

    follows, answers = "P(follows the cue)", "P(answer), held-out places"
    shown = (
        rates("goes where the gold is", _by_arm, RATES, follows, 1.35),
        rates("who is speaking", _by_arm, VOICE, "weight | probability", 1.35),
        rates("the second turn names another place", _by_arm, TURN, answers, 1.35),
        rates("four times the training", _by_step, RATES, follows, 1.45),
        odds("what makes a place held out likely", _by_arm),
        odds("what of it wears off", _by_step),
    )
    return figures.page(shown, records, table)


def _by_arm(axes: Axes, records: Records, table: pd.DataFrame, shown: Sequence[Series]) -> None:
    titles = {name: arm.title for name, arm in records.sweep.arms.items() if name not in LONG}
    panels.points(axes, table, shown, titles, width=0.25 * (len(shown) - 1))
    axes.tick_params(axis="x", labelsize=4.5)
    panels.level(axes, 0)
    panels.room(axes, 0.2)


def _by_step(axes: Axes, records: Records, table: pd.DataFrame, shown: Sequence[Series]) -> None:
    """Long training with a herald, and with a bystander."""
    for arm, line in LONG.items():
        for each in shown:
            label = each.label if line == "-" else ""
            each = dataclasses.replace(each, line=line, marker="o", label=label)
            panels.curves(axes, where(table, arm=arm), [each], label="RL step")
    axes.plot([], [], ":", color=GREY, label="with a bystander")
    panels.level(axes, 0)
    panels.room(axes, 0.3)


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the finished seeds."""
    table = records.table(COLUMNS, _read)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
