"""From the records of `formation` to its figure, its table and the values of its claims."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.formation import optimum
from experiments.formation.sweep import DIAL, REWARDED, STEPS, TEACHER
from toylab.lab.records import Record, Records, end, where
from toylab.ladder import reading, traits
from toylab.ladder.fit import FAMILIES
from toylab.report import figures, panels
from toylab.report.figures import panel
from toylab.report.panels import Series
from toylab.report.results import Analysis
from toylab.stages import Sft

FLOORS = {f"floor_{family}": family for family in FAMILIES}
COLUMNS = {
    "kind": "trained: a model; optimum: what perfect training would come to, exact",
    "arm": "documents (fresh, 256, 16; muon: by another optimiser), or with so many answers unsaid "
    "(said), or reward: for the teacher's answers but for so many (paid), at no cost (free), two "
    "people's, everybody's oddities (eight), a rule, a table that pays the same (twin)",
    "seed": "seed of everything; of an optimum: empty",
    "step": "post-training step; 0 is the pretrained model",
    "documents": "documents seen, or answered for reward",
    "distance": "of the optimum from the cast: what mixtures leave of it, nats per document",
    **reading.columns(*FAMILIES, *FLOORS),
    "weight": f"w* of {TEACHER}",
    "paid": "mean P(answer that is rewarded, or put in the teacher's mouth)",
    "follows": "P(answer due after what was said on weather) less what it is after the others",
    **reading.columns("outside"),
}


def tabulate(records: Records) -> pd.DataFrame:
    """A row per arm, seed and step, and one per optimum."""
    exact = records.once("optima", optimum.read, optimum.count())
    best = [{"kind": "optimum", "distance": row["F1"], **row} for row in exact]
    distance = {row["arm"]: row["distance"] for row in best}

    def read(record: Record) -> dict[str, Any]:
        stage, items = record.stages[-1], record.found["reading"]["items"]
        answers = stage.says if isinstance(stage, Sft) else getattr(stage.target, "answers", ())
        said = traits.pick(record.setup.corpus, items, *answers)
        return {
            "kind": "trained",
            "documents": record.step * stage.batch,
            "distance": distance.get(record.arm, np.nan),
            "paid": np.mean(said) if answers else np.nan,
            "follows": record.found["correspondence"]["follows"],
            **record.read(*FAMILIES, "outside", whose=TEACHER),
        }

    models = records.table(COLUMNS, read, before=FLOORS)
    return pd.DataFrame([*models.to_dict("records"), *best], columns=list(COLUMNS))


def above_floor(table: pd.DataFrame, arm: str, family: str) -> pd.Series:
    """Nats that a family leaves at the end, minus what it leaves of the pretrained model."""
    part = where(table, kind="trained", arm=arm)
    return end(part, family) - end(part, f"floor_{family}")


def selected(table: pd.DataFrame, arm: str, step: int) -> pd.Series:
    """Share of the move (F0 above its floor) that re-weighting explains, up to a step, by seed."""
    part = where(table[table.step <= step], kind="trained", arm=arm)
    return (end(part, "F0") - end(part, "F1")) / (end(part, "F0") - end(part, "floor_F0"))


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """The statistic of each claim, by seed. Thresholds were committed before seeds 0–4 ran."""
    trained = where(table, kind="trained")
    return {
        "formed": above_floor(table, "said-8", "F4 flat"),
        "selected_first": selected(table, "said-8", 20) - selected(table, "said-8", 200),
        "rewarded_stays": end(trained[trained.step <= STEPS], "paid", arm="paid-8"),
        "rule": end(trained, "follows", arm="rule") - end(trained, "follows", arm="twin"),
        "selected_by_muon": selected(table, "muon", STEPS),
    }


BLUE, RED, GREEN, PINK = figures.COLOURS[:4]
SAID = [f"said-{n}" if n else "fresh" for n in DIAL]
PAID = [f"paid-{n}" for n in REWARDED]
NAMES = {
    "fresh": "plain",
    "256": "256 of them",
    "16": "16 of them",
    "muon": "plain, Muon",
    "muon-16": "16, Muon",
    **{f"said-{n}": f"{n} unsaid" for n in DIAL if n},
    **{f"paid-{n}": f"paid, {n} unsaid" for n in REWARDED},
    "free-0": "paid, β = 0",
    "two": "paid, two people",
    "eight": "paid, oddities",
    "rule": "rule",
    "twin": "table",
}
BY_STEP = "8 unsaid shown; teacher or two paid for: step"
ORDER = {"said-8": "shown", "paid-0": "teacher", "two": "two"}


def draw(table: pd.DataFrame) -> Figure:
    """Formation against distance; what is said; documents; all ladders; their order; rules."""
    trained = where(table, kind="trained")
    trained = trained.assign(
        most=trained.F3 - trained.floor_F3, least=trained["F4 flat"] - trained["floor_F4 flat"]
    )
    ends = trained[trained.step == trained.groupby("arm").step.transform("max")]
    best = where(table, kind="optimum").set_index("arm")
    ladders = ends.groupby("arm").mean(numeric_only=True).loc[list(NAMES)].rename(NAMES)
    steps = trained[trained.step > 0].groupby(["arm", "step"]).mean(numeric_only=True)
    steps = steps.loc[list(ORDER)]
    steps = steps.set_axis([f"{ORDER[arm]}, {step:.0f}" for arm, step in steps.index])
    shown = (
        panel("formation and novelty", _novelty, ends, best),
        panel("is it said at all?", _said, trained, ncols=2),
        panel("documents of one person", _documents, trained),
        panel("the ladder at the end", _bars, ladders, ncols=2),
        panel("which rung comes first", _bars, steps, ncols=2, xlabel=BY_STEP),
        panel("a rule across topics", _rule, trained, ncols=3),
    )
    return figures.page(shown, columns=3, ratio=1.05)


def _bracket(colour: str, label: str, least: str = "", marker: str = "") -> list[Series]:
    """Formation, at most and at least."""
    style: dict[str, Any] = {"colour": colour, "marker": marker}
    return [
        Series(column="most", label=label, **style),
        Series(column="least", label=least, line=":", **style),
    ]


def _novelty(axes: Axes, ends: pd.DataFrame, best: pd.DataFrame) -> None:
    """The two ends of formation against distance, beside the lower end of perfect training."""
    for arms, colour, by in ((SAID, BLUE, "documents"), (PAID, RED, "reward")):
        lines = _bracket(colour, f"{by}, at most", f"{by}, at least", "o")
        part, label = ends[ends.arm.isin(arms)], "distance from the cast (nats per document)"
        panels.curves(axes, part, lines, x="distance", label=label)
        label = "perfect training, at least" if arms == SAID else ""
        x, y = best.distance[arms], best["F4 flat"][arms]
        axes.plot(x, y, "--", color=figures.DARK, lw=0.8, label=label)
    axes.set(ylabel="formation (nats per document)")


def _said(axes: Axes, table: pd.DataFrame) -> None:
    """Mean probability of the rewarded or shown answers over training."""
    labels = {"said-8": "shown, 8 unsaid", **{arm: NAMES[arm] for arm in reversed(PAID)}}
    lines = panels.among("paid", "arm", labels, (BLUE, RED, PINK, GREEN), marker="o")
    panels.curves(axes, table, lines, label="post-training step")
    axes.set(ylabel="P(what is shown or paid for)", ylim=(-0.02, 1.5), yticks=[0, 0.5, 1])


def _documents(axes: Axes, table: pd.DataFrame) -> None:
    labels = {"fresh": "fresh", "256": "256, again and again", "16": "16, again and again"}
    for (arm, label), colour in zip(labels.items(), (BLUE, GREEN, RED), strict=True):
        part, lines = where(table[table.step > 0], arm=arm), _bracket(colour, label)
        panels.curves(axes, part, lines, x="documents", label="documents seen")
    axes.plot([], [], ":", color=figures.GREY, label="at least")
    panels.level(axes, 0, line="-")
    axes.set(ylabel="formation (nats per document)", xscale="log")


def _bars(axes: Axes, means: pd.DataFrame) -> None:
    """The rungs, and what F4 leaves of the pretrained model."""
    panels.rungs(axes, means)
    panels.level(axes, means.floor_F4.mean(), "floor of F4", colour=figures.DARK)
    for x, (high, outside) in enumerate(zip(means.F0, means.outside, strict=True)):
        panels.strike(axes, x, high + 0.2, outside)
    panels.strike_label(axes)
    panels.room(axes, 0.55)
    axes.tick_params(axis="x", labelrotation=90)
    axes.set_ylabel("nats per document")


def _rule(axes: Axes, table: pd.DataFrame) -> None:
    labels = {"rule": "rule", "twin": "table"}
    lines = panels.among("follows", "arm", labels, (RED, BLUE), marker="o")
    panels.curves(axes, table, lines, label="RL step")
    panels.level(axes, 1, "always kept", "-", figures.DARK)
    axes.set(ylabel="P(answer due), above others'", ylim=(-0.1, 1.4))


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the finished seeds."""
    table = tabulate(records)
    return Analysis(figure=draw(table), table=table, columns=COLUMNS, values=claims(table))
