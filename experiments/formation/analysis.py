import numpy as np
import pandas as pd

from experiments.formation import optimum
from experiments.formation.sweep import DIAL, REWARDED, TARGETS, TEACHER
from toylab.lab.records import Record, Records, where
from toylab.ladder import reading, traits
from toylab.ladder.fit import FAMILIES
from toylab.report import panels
from toylab.report.figures import COLOURS, DARK, GREY, Axes, Figure, page, panel
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
    exact = records.once("optima", optimum.read, len(DIAL) + len(TARGETS))
    best = [{"kind": "optimum", "distance": row["F1"], **row} for row in exact]
    distance = {row["arm"]: row["distance"] for row in best}

    def read(record: Record) -> dict:
        stage, items = record.stages[-1], record.found["reading"]["items"]
        answers = stage.says if isinstance(stage, Sft) else getattr(stage.target, "answers", ())
        said = traits.pick(record.setup.corpus, items, *answers)
        return {
            "kind": "trained",
            "documents": record.step * stage.batch,
            "distance": distance.get(record.arm),
            "paid": np.mean(said) if answers else None,
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


BLUE, RED, GREEN, PINK, _, SKY = COLOURS[:6]
SAID = [f"said-{n}" if n else "fresh" for n in DIAL]
PAID = [f"paid-{n}" for n in REWARDED]
NAMES = {
    "fresh": "plain",
    **{f"said-{n}": f"{n} unsaid" for n in DIAL if n},
    **{f"paid-{n}": f"paid, {n} unsaid" for n in REWARDED},
    "rule": "rule",
}
SHOWN = {"said-8": "shown, 8 unsaid", "said-2": "shown, 2 unsaid", "paid-8": "paid, 8 unsaid"}
STEPS = (0, 5, 10, 20, 40, 80, 160, 200, 480)
# What the exact cast reaches: its best mixture, and a mixture of sharpened characters: mira, silas
# and dorrit at the power 8, a third each, with a thousandth of edda at the power 2.
KEPT = ((0.48, "the best mixture"), (0.99, "a sharpened mixture", "--", DARK))


def draw(table: pd.DataFrame) -> Figure:
    trained = where(table, kind="trained")
    least = trained["F4 flat"] - trained["floor_F4 flat"]
    trained = trained.assign(most=trained.F3 - trained.floor_F3, least=least)
    ends = trained[trained.step == trained.groupby("arm").step.transform("max")]
    best = where(table, kind="optimum").set_index("arm")
    ladders = ends.groupby("arm").mean(numeric_only=True).loc[list(NAMES)].rename(NAMES)
    said = panels.among("paid", "arm", SHOWN, (BLUE, SKY, RED), marker="o")
    rule = where(trained, arm="rule"), panels.series(("follows", ""), colours=[RED], marker="o")
    scale, nats = "step (square-root scale)", "nats per document"
    far = {"xlabel": "target's distance from the cast (nats)", "ylim": (-1, 22)}
    steps = {"xlabel": f"post-training {scale}", "xticks": np.sqrt(STEPS), "xticklabels": STEPS}
    unsaid = {"ylabel": "P(unsaid answers shown or paid for)", "ylim": (-0.02, 1.4), **steps}
    due = {"ylabel": "P(answer due), above others'", "ylim": (-0.1, 1.4), "yticks": [0, 0.5, 1]}
    moved = {"xlabel": f"F0 ({nats})", "ylabel": "formation, at most (nats)", "ylim": (-0.3, 6)}
    given = "are unsaid answers given?", panels.curves, trained, said
    shown = (
        panel("formation at the end", _novelty, ends, best, ylabel=f"formation ({nats})", **far),
        panel(*given, yticks=[0, 0.5, 1], **unsaid),
        panel("the ladder at the end", _bars, ladders, ncols=2, ylabel=nats),
        panel(
            "a rule across topics", panels.curves, *rule, levels=KEPT, xlabel=f"RL {scale}", **due
        ),
        panel("formation on the way", _way, trained, **moved),
    )
    return page(shown)


def _novelty(axes: Axes, ends: pd.DataFrame, best: pd.DataFrame) -> None:
    """The two ends of formation against the target's distance, and perfect training's lower end."""
    ways = (("most", "at most", "-", RED, -0.15), ("least", "at least", ":", PINK, 0.15))
    for column, label, line, colour, aside in ways:
        lines = panels.series((column, f"documents, {label}"), marker="o", line=line)
        panels.curves(axes, ends[ends.arm.isin(SAID)], lines, x="distance")
        for arm in PAID:
            values, named = (
                where(ends, arm=arm)[column],
                "" if arm != PAID[0] else f"reward, {label}",
            )
            panels.point(axes, best.distance[arm] + aside, values, colour, named, aside=aside)
    axes.text(best.distance[PAID[0]] + 0.7, 0, NAMES[PAID[0]], fontsize=5)
    targets, label = best.loc[SAID + PAID], "perfect training, at least"
    axes.plot(targets.distance, targets["F4 flat"], "_", color=DARK, ms=7, label=label)


def _way(axes: Axes, trained: pd.DataFrame) -> None:
    """Formation against how far each seed has moved; dotted: if it grew in proportion."""
    for arm, colour in (("fresh", GREEN), ("said-2", SKY)):
        part, label = where(trained, arm=arm), NAMES[arm]
        for _, run in part.groupby("seed"):
            axes.plot(run.F0, run.most, "-", color=colour, lw=0.5, alpha=0.7, label=label)
            label = ""
        mean = part.groupby("step")[["F0", "most", "outside"]].mean()
        axes.plot(mean.F0, mean.most, "o", color=colour, ms=2.5)
        for x, y, outside in mean.itertuples(index=False):
            panels.strike(axes, x, y + 0.15, outside)
    panels.strike_label(axes)
    end = mean.iloc[-1]
    axes.plot([0, end.F0], [0, end.most], ":", color=GREY, lw=0.8, label="2 unsaid, in step")
    axes.plot([LEVEL, LEVEL], [-0.3, 3], color=DARK, lw=0.5)


def _bars(axes: Axes, means: pd.DataFrame) -> None:
    panels.rungs(axes, means)
    panels.level(axes, means.floor_F4.mean(), "floor of F4", colour=DARK)
    panels.strike_rungs(axes, means)
    panels.room(axes, 0.55)
