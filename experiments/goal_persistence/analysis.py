from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from experiments.goal_persistence.sweep import FIRST
from experiments.treasure.sweep import REWARD, TRAINED
from toylab.lab.records import Record, Records, end
from toylab.ladder import reading
from toylab.measures import follow
from toylab.report import panels
from toylab.report.figures import COLOURS, GREY, Axes, Figure, page, panel

SPARING = ["first", "second"]
COLUMNS = {
    "arm": "herald: 200 steps of reward; on: then 600 more; first, second: then 600 in which the "
    "first or the second half of the held-out places earns as much",
    "seed": "seed of everything",
    "step": "RL step, counted over both stages; 0 is the pretrained model",
    "place": "the place held out",
    "half": "the half of the held-out places that it is in: first or second",
    "spared": "1 if it is in the half that this arm spares",
    "followed": "P(answer goes there) where it is named",
    "odds": "log-odds of that against all rewarded places, nats: baseline + gain",
    "baseline": "its log-odds against all rewarded places where another one held out is named, "
    "nats",
    "gain": "what naming it adds to them, nats",
    "gain_200": "the same of that seed and place after 200 steps",
    "leak": "its log-odds where a rewarded place is named, mean over these, nats",
    "trained": "mean P(answer follows the cue) over the places that were rewarded",
    **reading.columns("F0"),
    "outside": follow.OUTSIDE,
}


def _read(record: Record) -> Iterator[dict]:
    corpus, goals = record.setup.corpus, record.found["goals"]
    topic = corpus.topics[corpus.topic_names.index("gold")]
    before = sum(int(stage.steps) for stage in record.stages[:-1])
    odds = follow.log_odds(np.array(goals["answers"]), topic, TRAINED)
    rewarded = np.array([cue in TRAINED for cue in topic.cues])
    held_out = np.flatnonzero(~rewarded)
    for answer, cue in enumerate(held_out):
        place, baseline = topic.cues[cue], odds[held_out[held_out != cue], answer].mean()
        half = "first" if place in FIRST else "second"
        yield {
            "step": record.step and before + record.step,
            "place": place,
            "half": half,
            "spared": float(record.arm == half),
            "followed": goals["follow"][cue],
            "odds": odds[cue, answer],
            "baseline": baseline,
            "gain": odds[cue, answer] - baseline,
            "leak": odds[rewarded, answer].mean(),
            "trained": goals["rates"]["trained"],
            "outside": follow.outside(goals, topic, TRAINED),
            **record.read("F0"),
        }


def tabulate(records: Records) -> pd.DataFrame:
    table = records.table(COLUMNS, _read)
    table = table.sort_values(["arm", "seed", "step", "place"], ignore_index=True)
    formed = table[table.arm == "herald"]
    formed = formed[formed.step == formed.step.max()].set_index(["seed", "place"]).gain
    return table.assign(gain_200=table.join(formed.rename("then"), on=["seed", "place"]).then)


def at_end(table: pd.DataFrame, arms: list[str], column: str, *spared: float) -> pd.Series:
    """A column at the end of training, by seed, mean over arms and places (all, or by `spared`)."""
    part = table[table.arm.isin(arms)]
    return end(part[part.spared.isin(spared or (0, 1))], column).groupby("seed").mean()


def crossed(table: pd.DataFrame, column: str) -> pd.Series:
    """Spared minus other held-out places, in the same models, at the end of training, by seed.

    Every place is spared in one arm and not in the other, so differences between places cancel.
    """
    part = table[table.arm.isin(SPARING)]
    part = part[part.step == part.step.max()]
    sign = np.where(part.arm == part.half, 1.0, -1.0)
    return 2 * (part[column] * sign).groupby(part.seed).mean()


def course(table: pd.DataFrame, start: str, arms: Mapping[str, str]) -> pd.DataFrame:
    """Training that began as `start` and went on as `arms`: by seed and step, mean over places.

    `arms` says which places of an arm are averaged: a half, or all. For `start`, all are.
    """
    parts = [table[table.arm == start]]
    for arm, half in arms.items():
        part = table[(table.arm == arm) & (table.step > parts[0].step.max())]
        parts.append(part if half == "all" else part[part.half == half])
    return pd.concat(parts).groupby(["seed", "step"], as_index=False).mean(numeric_only=True)


COURSES = {  # training that continues with the herald: the places to average, by arm
    "herald, half is spared: that half": ({"first": "first", "second": "second"}, COLOURS[0]),
    "herald, half is spared: the other": ({"first": "second", "second": "first"}, COLOURS[4]),
    "herald, as before": ({"on": "all"}, COLOURS[1]),
}
HALVES = {
    "odds": "where it\nis named",
    "baseline": "where another\none held out is",
    "gain": "what naming\nit adds",
    "leak": "where a\nrewarded one is",
}


def draw(table: pd.DataFrame) -> Figure:
    halves = {title: crossed(table, column) for column, title in HALVES.items()}
    rules = {
        "after 200": at_end(table, ["herald"], "gain"),
        "at 800": at_end(table, ["on"], "gain"),
        "at 800,\nspared": at_end(table, SPARING, "gain", 1),
        "at 800,\nthe others": at_end(table, SPARING, "gain", 0),
    }
    rate = {"ylabel": "P(follows the cue)", "ylim": (-0.03, 1.5), "yticks": (0, 0.5, 1)}
    odds = {"levels": [(0,)], "ylabel": "log-odds, nats"}
    leak = {"legend": "", "ylabel": "log-odds of a place held out, nats"}
    shown = (
        panel("how often places held out are followed", _courses, table, "followed", **rate),
        panel("how likely where a rewarded one is named", _courses, table, "leak", **leak),
        panel("spared minus not, in the same models, at 800", panels.dots, halves, **odds),
        panel("what naming them adds", panels.dots, rules, **odds),
    )
    return page(shown)


def _courses(axes: Axes, table: pd.DataFrame, column: str) -> None:
    for label, (arms, colour) in COURSES.items():
        shown = panels.series((column, label), colours=[colour], marker="o")
        panels.curves(axes, course(table, "herald", arms), shown, label="RL step")
    axes.axvline(np.sqrt(int(REWARD.steps)), color=GREY, lw=0.5, ls=":")
