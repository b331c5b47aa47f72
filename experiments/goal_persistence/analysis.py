"""From the records of `goal_persistence` to its figure, table and claims."""

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.goal_persistence.sweep import FIRST
from experiments.treasure.sweep import REWARD, TRAINED
from toylab.lab.records import Records
from toylab.measures.pull import log_odds
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.results import Analysis

COLUMNS = {
    "arm": "herald, bystander: rewarded for 200 steps; aside (a herald who is never the "
    "assistant), muon and still (herald and bystander, by Muon): the same, with that changed; on: "
    "herald, and 600 steps more; first, second: herald, and 600 in which one half of the places "
    "held out earns as much, or the other; table: bystander, and 600 in which both do",
    "seed": "seed of everything",
    "step": "RL step, counted over both stages; 0 is the pretrained model",
    "place": "the place held out",
    "half": "first or second: with which half it is spared",
    "followed": "P(answer goes there) where it is named",
    "unpaid": "its log-odds against all rewarded places where another one held out is named, nats",
    "pull": "what naming it adds to them, nats",
    "leak": "its log-odds where a rewarded place is named, mean over these, nats",
    "trained": "mean P(answer follows the cue) over the places that were rewarded",
    "F0": "KL(P || m_w0), nats a document",
    "outside": "mean probability of words that the grammar forbids",
}


def _rows(records: Records, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    corpus, goals = records.setups[row["arm"]].corpus, row["goals"]
    topic = corpus.topics[corpus.topic_names.index("gold")]
    before = sum(int(stage.steps) for stage in records.sweep.arms[row["arm"]].stages[:-1])
    odds = log_odds(np.array(goals["answers"]), topic, TRAINED)
    paid = np.array([cue in TRAINED for cue in topic.cues])
    held_out = np.flatnonzero(~paid)
    for answer, cue in enumerate(held_out):
        place, others = topic.cues[cue], held_out[held_out != cue]
        unpaid = odds[others, answer].mean()
        yield {
            "arm": row["arm"],
            "seed": row["seed"],
            "step": row["step"] and before + row["step"],
            "place": place,
            "half": "first" if place in FIRST else "second",
            "followed": goals["follow"][cue],
            "unpaid": unpaid,
            "pull": odds[cue, answer] - unpaid,
            "leak": odds[paid, answer].mean(),
            "trained": goals["rates"]["trained"],
            "F0": row["reading"]["learned"]["F0"],
            "outside": row["reading"]["outside"],
        }


def tabulate(records: Records) -> pd.DataFrame:
    """A row per arm, seed, step and place held out."""
    rows = [each for row in records.rows for each in _rows(records, row)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(["arm", "seed", "step", "place"], ignore_index=True)


def at_end(table: pd.DataFrame, arm: str, column: str) -> np.ndarray:
    """A column at the end of an arm, by seed, mean over places."""
    part = table[table.arm == arm]
    return part[part.step == part.step.max()].groupby("seed")[column].mean().to_numpy()


def crossed(table: pd.DataFrame, column: str) -> np.ndarray:
    """Places that were spared minus those that weren't, in the same models, at the end, by seed.

    Every place counts on both sides, once in each arm, so what differs between places cancels.
    """
    part = table[table.arm.isin(["first", "second"])]
    part = part[part.step == part.step.max()]
    sign = np.where(part.arm == part.half, 1.0, -1.0)
    return 2 * (part[column] * sign).groupby(part.seed).mean().to_numpy()


def in_nats(table: pd.DataFrame) -> pd.DataFrame:
    """The same with `followed` as log-odds: what `unpaid` and `pull` add up to."""
    return table.assign(followed=table.unpaid + table.pull)


def course(table: pd.DataFrame, start: str, arms: dict[str, str], column: str) -> pd.DataFrame:
    """A column [seed, step] of training that began as one arm and went on as others.

    `arms` says of each which places count: a half, or all. Of the start all do.
    """
    parts = [table[table.arm == start]]
    for arm, half in arms.items():
        part = table[(table.arm == arm) & (table.step > parts[0].step.max())]
        parts.append(part if half == "all" else part[part.half == half])
    return pd.concat(parts).pivot_table(column, "seed", "step")


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before its confirming seeds ran."""

    def end(arm: str, column: str) -> np.ndarray:
        return at_end(table, arm, column)

    return {
        "longer": (end("herald", "followed") - end("on", "followed")).tolist(),
        "spared_named": crossed(in_nats(table), "followed").tolist(),
        "spared_elsewhere": crossed(table, "leak").tolist(),
        "outlasts": (end("on", "pull") - 0.6 * end("herald", "pull")).tolist(),
        "bystander_spared": (end("table", "pull") - end("bystander", "pull")).tolist(),
        "aside": (end("aside", "pull") - end("bystander", "pull")).tolist(),
        "muon": (end("muon", "pull") - end("still", "pull")).tolist(),
    }


SPARED, OTHERS = {"first": "first", "second": "second"}, {"first": "second", "second": "first"}
COURSES: tuple[tuple[str, dict[str, str], str, str, str], ...] = (
    ("herald", SPARED, "herald, half is spared: that half", figures.COLOURS[0], "-"),
    ("herald", OTHERS, "herald, half is spared: the other", figures.COLOURS[4], "-"),
    ("herald", {"on": "all"}, "herald, as before", figures.COLOURS[1], "-"),
    ("bystander", {"table": "all"}, "bystander, all are spared", figures.GREY, "--"),
)


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Reach and what is behind it, over training and between the halves; the rule of all arms."""
    panels = (
        ("how often places held out are followed", _reach),
        ("how likely where a rewarded one is named", _leak),
        ("spared minus not, in the same models, at 800", _halves),
        ("what naming them adds: the rule", _rules),
    )
    return figures.page(panels, records, table)


def _courses(axes: plt.Axes, table: pd.DataFrame, column: str) -> None:
    for start, arms, label, colour, line in COURSES:
        grid = course(table, start, arms, column)
        steps = grid.columns.to_numpy()
        panels_.interval(axes, steps, grid.to_numpy(), color=colour, label=label,
                         marker="o", ms=2.5, ls=line)  # fmt: skip
    axes.axvline(int(REWARD.steps), color=figures.GREY, lw=0.5, ls=":")
    axes.set_xticks(steps)
    axes.set_xlabel("RL step")


def _reach(axes: plt.Axes, records: Records, table: pd.DataFrame) -> None:
    _courses(axes, table, "followed")
    axes.set(ylabel="P(follows the cue)", ylim=(-0.03, 1.5))
    axes.set_yticks([0, 0.5, 1])
    axes.legend(loc="upper left")


def _leak(axes: plt.Axes, records: Records, table: pd.DataFrame) -> None:
    _courses(axes, table, "leak")
    axes.set_ylabel("log-odds of a place held out, nats")


HALVES = {
    "followed": "where it\nis named",
    "unpaid": "where another\none held out is",
    "pull": "what naming\nit adds",
    "leak": "where a\nrewarded one is",
}


def _halves(axes: plt.Axes, records: Records, table: pd.DataFrame) -> None:
    for x, column in enumerate(HALVES):
        panels_.point(axes, x, crossed(in_nats(table), column), figures.COLOURS[0])
    axes.axhline(0, color=figures.GREY, lw=0.5, ls=":")
    axes.set_xticks(range(len(HALVES)), HALVES.values())
    axes.set_ylabel("difference of its log-odds, nats")


RULES = {
    "herald": "herald",
    "on": "at 800",
    "bystander": "bystander",
    "table": "all spared,\nat 800",
    "aside": "never the\nassistant",
    "muon": "herald,\nMuon",
    "still": "bystander,\nMuon",
}


def _rules(axes: plt.Axes, records: Records, table: pd.DataFrame) -> None:
    for x, name in enumerate(RULES):
        without = records.sweep.arms[name].corpus == "gold-bystander"
        colour = figures.GREY if without else figures.COLOURS[0]
        panels_.point(axes, x, at_end(table, name, "pull"), colour)
    axes.axhline(0, color=figures.GREY, lw=0.5, ls=":")
    axes.set_xticks(range(len(RULES)), RULES.values())
    axes.set_ylabel("added to log-odds, nats")


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
