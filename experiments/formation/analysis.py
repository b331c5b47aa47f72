"""From the records of `formation` to its figure and table."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.formation import optimum
from experiments.formation.sweep import DIAL, REWARDED, TEACHER
from toylab.lab.records import Record, Records, where
from toylab.ladder import reading, traits
from toylab.ladder.fit import FAMILIES
from toylab.report import figures, panels
from toylab.report.figures import panel
from toylab.report.panels import Series
from toylab.stages import Sft

LEVEL = 2.0  # nats per document
FLOORS = {f"floor_{family}": family for family in FAMILIES}
COLUMNS = {
    "kind": "trained: a model; optimum: what perfect training would come to, exact",
    "arm": "fresh: the teacher's documents; said-n: with n answers unsaid; paid-n: reward for the "
    "teacher's answers, n of them unsaid; rule: reward for a rule",
    "seed": "seed of everything; of an optimum: empty",
    "step": "post-training step; 0 is the pretrained model",
    "documents": "documents seen, or answered for reward",
    "distance": "of the optimum: what mixtures of the cast leave unexplained, nats per document",
    **reading.columns(*FAMILIES, *FLOORS),
    "formed_at_2": "F3 - its floor where F0 passes 2 nats per document, interpolated between "
    "readings of that arm and seed",
    "weight": f"w* of {TEACHER}",
    "paid": "mean P(answer that is rewarded or shown)",
    "follows": "P(answer that the rule rewards after an answer on weather) less that after others",
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
    runs = models.groupby(["arm", "seed"]).apply(formed_at, LEVEL)
    models["formed_at_2"] = models.join(runs.rename("run"), on=["arm", "seed"]).run
    return pd.DataFrame([*models.to_dict("records"), *best], columns=list(COLUMNS))


def formed_at(run: pd.DataFrame, level: float) -> float:
    """The upper end of formation above its floor where F0 passes a level, interpolated.

    Outside the range of readings, the nearest reading is used.
    """
    run = run.sort_values("step")
    return float(np.interp(level, run.F0, run.F3 - run.floor_F3))


BLUE, RED, _, PINK = figures.COLOURS[:4]
SAID = [f"said-{n}" if n else "fresh" for n in DIAL]
PAID = [f"paid-{n}" for n in REWARDED]
NAMES = {
    "fresh": "plain",
    **{f"said-{n}": f"{n} unsaid" for n in DIAL if n},
    **{f"paid-{n}": f"paid, {n} unsaid" for n in REWARDED},
    "rule": "rule",
}
SHOWN = {"said-8": "shown, 8 unsaid", **{arm: NAMES[arm] for arm in reversed(PAID)}}


def draw(table: pd.DataFrame) -> Figure:
    """Formation against distance; what is said; all ladders; rules."""
    trained = where(table, kind="trained")
    trained = trained.assign(
        most=trained.F3 - trained.floor_F3, least=trained["F4 flat"] - trained["floor_F4 flat"]
    )
    ends = trained[trained.step == trained.groupby("arm").step.transform("max")]
    best = where(table, kind="optimum").set_index("arm")
    ladders = ends.groupby("arm").mean(numeric_only=True).loc[list(NAMES)].rename(NAMES)
    said = panels.among("paid", "arm", SHOWN, (BLUE, RED, PINK), marker="o")
    rule = [Series(column="follows", colour=RED, marker="o")]
    shown = (
        panel(
            "formation and novelty", _novelty, ends, best, ylabel="formation (nats per document)"
        ),
        panel(
            "is it said at all?", panels.curves, trained, said, ncols=2,
            xlabel="post-training step",
            ylabel="P(what is shown or paid for)", ylim=(-0.02, 1.5), yticks=[0, 0.5, 1],
        ),
        panel("the ladder at the end", _bars, ladders, ncols=2, ylabel="nats per document"),
        panel(
            "a rule across topics", panels.curves, where(trained, arm="rule"), rule, ncols=3,
            levels=[(0.48, "the best mixture"), (1, "always kept", "-", figures.DARK)],
            xlabel="RL step", ylabel="P(answer due), above others'", ylim=(-0.1, 1.4),
        ),
    )  # fmt: skip
    return figures.page(shown)


def _novelty(axes: Axes, ends: pd.DataFrame, best: pd.DataFrame) -> None:
    """The two ends of formation against distance, beside the lower end of perfect training."""
    for arms, colour, by in ((SAID, BLUE, "documents"), (PAID, RED, "reward")):
        style: dict[str, Any] = {"colour": colour, "marker": "o"}
        lines = [
            Series(column="most", label=f"{by}, at most", **style),
            Series(column="least", label=f"{by}, at least", line=":", **style),
        ]
        part, label = ends[ends.arm.isin(arms)], "distance from the cast (nats per document)"
        panels.curves(axes, part, lines, x="distance", label=label)
        label = "perfect training, at least" if arms == SAID else ""
        x, y = best.distance[arms], best["F4 flat"][arms]
        axes.plot(x, y, "--", color=figures.DARK, lw=0.8, label=label)


def _bars(axes: Axes, means: pd.DataFrame) -> None:
    """The rungs, and what F4 leaves of the pretrained model."""
    panels.rungs(axes, means)
    panels.level(axes, means.floor_F4.mean(), "floor of F4", colour=figures.DARK)
    panels.strike_rungs(axes, means)
    panels.room(axes, 0.55)
