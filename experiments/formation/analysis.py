"""From the records of `formation` to its figure, table and claims."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from experiments.formation import optimum
from experiments.formation.sweep import DIAL, REWARDED, STEPS, TEACHER
from toylab.lab.records import Records
from toylab.ladder import traits
from toylab.ladder.fit import FAMILIES
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.results import Analysis
from toylab.stages import Rl, Sft
from toylab.stages.targets import Says

CAST = "learned"
COLUMNS = {
    "kind": "trained: a model; optimum: what perfect training would come to, exact",
    "arm": "documents (fresh, 256, 16; muon: by another optimiser), or with so many answers unsaid "
    "(said), or reward: for the teacher's answers but for so many (paid), at no cost (free), two "
    "people's, everybody's oddities (eight), a rule, a table that pays the same (twin)",
    "seed": "seed of everything; of an optimum: empty",
    "step": "post-training step; 0 is the pretrained model",
    "documents": "documents seen, or answered for reward",
    "distance": "of the optimum from the cast: what mixtures leave of it, nats a document",
    "F0": "KL(P || m_w0), nats a document",
    "F1": "left by mixtures of characters",
    "F2": "left by mixtures of tempered characters",
    "F3": "left by switching authors and by composition; the upper end of formation",
    "F4": "left by an author for every (topic, slot)",
    "F4 flat": "left with flattened atoms, too; the lower end of formation",
    **{f"floor {f}": f"{f} of the pretrained model" for f in FAMILIES},
    "weight": f"w* of {TEACHER}",
    "paid": "mean P(answer that is rewarded, or put in the teacher's mouth)",
    "follows": "P(answer due after what was said on weather) less what it is after the others",
    "outside": "mean probability of words that the grammar forbids",
}


def _paid(records: Records, arm: str, items: list[float]) -> float:
    """Mean probability of the answers that are rewarded, or put in the teacher's mouth."""
    stage = records.sweep.arms[arm].stages[-1]
    if isinstance(stage, Rl):
        answers = stage.target.answers if isinstance(stage.target, Says) else ()
    else:
        answers = stage.says if isinstance(stage, Sft) else ()
    named = [f"{i.group}={i.phrase}" for i in traits.items(records.setup.corpus)]
    said = [items[named.index(answer)] for answer in answers]
    return float(np.mean(said)) if said else np.nan


def tabulate(records: Records) -> pd.DataFrame:
    """A row per arm, seed and step, and one per optimum."""
    teacher = records.setup.corpus.names.index(TEACHER)
    best = [
        {"kind": "optimum", **row}
        for row in tqdm(
            optimum.read(records), desc="optima", total=optimum.count(), mininterval=0.5
        )
    ]
    distance = {row["arm"]: row["F1"] for row in best}
    best = [{**row, "distance": row["F1"]} for row in best]
    start = {(r["arm"], r["seed"]): r["reading"][CAST] for r in records.rows if not r["step"]}
    rows = []
    for row in records.rows:
        stage = records.sweep.arms[row["arm"]].stages[-1]
        found, floor = row["reading"][CAST], start[row["arm"], row["seed"]]
        rows.append(
            {
                "kind": "trained",
                "arm": row["arm"],
                "seed": row["seed"],
                "step": row["step"],
                "documents": row["step"] * stage.batch,
                "distance": distance.get(row["arm"], np.nan),
                **{family: found[family] for family in FAMILIES},
                **{f"floor {family}": floor[family] for family in FAMILIES},
                "weight": found["weights"][teacher],
                "paid": _paid(records, row["arm"], row["reading"]["items"]),
                "follows": row["correspondence"]["follows"],
                "outside": row["reading"]["outside"],
            }
        )
    return pd.DataFrame([*rows, *best], columns=list(COLUMNS))


def at_end(table: pd.DataFrame, arm: str) -> pd.DataFrame:
    """An arm's last step, by seed."""
    part = table[(table.kind == "trained") & (table.arm == arm)]
    return part[part.step == part.step.max()].sort_values("seed")


def above_floor(table: pd.DataFrame, arm: str, family: str) -> np.ndarray:
    """Nats that a family leaves at the end, minus what it leaves of the pretrained model."""
    end = at_end(table, arm)
    return (end[family] - end[f"floor {family}"]).to_numpy()


def by_step(table: pd.DataFrame, arm: str, step: int) -> pd.DataFrame:
    """An arm at its last reading up to a step (`--quick` trains for fewer), by seed."""
    part = table[(table.kind == "trained") & (table.arm == arm) & (table.step <= step)]
    return part[part.step == part.step.max()].sort_values("seed")


def selected(table: pd.DataFrame, arm: str, step: int) -> np.ndarray:
    """Share of a model's move (F0 above its floor) that re-weighting explains, by seed."""
    part = by_step(table, arm, step)
    return ((part.F0 - part.F1) / (part.F0 - part["floor F0"])).to_numpy()


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """The statistic of each claim, by seed. Thresholds were committed before seeds 0–4 ran."""
    rule, twin = (at_end(table, arm).follows.to_numpy() for arm in ("rule", "twin"))
    reward = by_step(table, "paid-8", STEPS)
    first, last = (selected(table, "said-8", step) for step in (20, 200))
    return {
        "formed": above_floor(table, "said-8", "F4 flat").tolist(),
        "selected_first": (first - last).tolist(),
        "rewarded_stays": reward.paid.to_list(),
        "rule": (rule - twin).tolist(),
        "selected_by_muon": selected(table, "muon", STEPS).tolist(),
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


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Formation against distance; what is said; all ladders; their order; documents; rules."""
    panels = (
        ("formation and novelty", _novelty),
        ("is it said at all?", _said),
        ("documents of one person", _documents),
        ("the ladder at the end", _ladders),
        ("which rung comes first", _order),
        ("a rule across topics", _rule),
    )
    with figures.style(rows=2, columns=3, ratio=1.0):
        figure, axes = plt.subplots(2, 3, layout="constrained")
        for panel, which, (title, paint) in zip(axes.flat, "abcdef", panels, strict=True):
            paint(panel, table)
            figures.letter(panel, which, title)
    return figure


def _novelty(axes: plt.Axes, table: pd.DataFrame) -> None:
    """The two ends of formation against distance, beside those of perfect training."""
    best = table[table.kind == "optimum"].set_index("arm")
    for arms, colour, label in ((SAID, BLUE, "documents"), (PAID, RED, "reward")):
        x = best.distance[arms].to_list()
        for family, line in (("F3", "-"), ("F4 flat", ":")):
            seeds = np.stack([above_floor(table, arm, family) for arm in arms], 1)
            panels_.interval(axes, x, seeds, color=colour, marker="o", ms=3, lw=1, ls=line,
                             label=f"{label}, at {'most' if line == '-' else 'least'}")  # fmt: skip
        axes.plot(x, best["F4 flat"][arms], "--", color=figures.DARK, lw=0.8,
                  label="perfect training, at least" if arms == SAID else None)  # fmt: skip
    axes.set(xlabel="distance from the cast (nats a document)", ylabel="formation (nats)")
    axes.legend(loc="upper left")


def _said(axes: plt.Axes, table: pd.DataFrame) -> None:
    """Mean probability of the rewarded or shown answers over training."""
    for arm, colour in (("said-8", BLUE), ("paid-8", RED), ("paid-2", PINK), ("paid-0", GREEN)):
        part = table[(table.kind == "trained") & (table.arm == arm)]
        grid = part.pivot(index="seed", columns="step", values="paid")
        label = NAMES[arm] if arm.startswith("paid") else f"shown, {NAMES[arm]}"
        panels_.interval(axes, np.sqrt(grid.columns.to_numpy()).tolist(), grid.to_numpy(),
                         color=colour, marker="o", ms=3, lw=1, label=label)  # fmt: skip
    ticks = (0, 20, 80, 200, 480)
    axes.set_xticks(np.sqrt(ticks), [str(t) for t in ticks])
    axes.set(xlabel="post-training step", ylabel="P(what is shown or paid for)", ylim=(-0.02, 1.5))
    axes.set_yticks([0, 0.5, 1])
    axes.legend(loc="upper left", ncols=2)


def _documents(axes: plt.Axes, table: pd.DataFrame) -> None:
    for arm, colour in (("fresh", BLUE), ("256", GREEN), ("16", RED)):
        part = table[(table.kind == "trained") & (table.arm == arm) & (table.step > 0)]
        for family, line in (("F3", "-"), ("F4 flat", ":")):
            gap = part.assign(gap=part[family] - part[f"floor {family}"])
            grid = gap.pivot(index="seed", columns="documents", values="gap")
            name = "fresh" if arm == "fresh" else f"{arm}, again and again"
            panels_.interval(axes, grid.columns.to_list(), grid.to_numpy(), color=colour, ls=line,
                             lw=1, label=name if family == "F3" else None)  # fmt: skip
    axes.plot([], [], ":", color=figures.GREY, label="at least")
    axes.axhline(0, color=figures.GREY, lw=0.5)
    axes.set(xlabel="documents seen", ylabel="formation (nats)", xscale="log")
    axes.legend(loc="upper left")


_NUMBERS = [*FAMILIES, *(f"floor {family}" for family in FAMILIES)]


def _bars(axes: plt.Axes, rows: dict[str, pd.Series]) -> None:
    frame = pd.DataFrame(rows).T
    panels_.rungs(axes, frame)
    axes.axhline(frame["floor F4"].mean(), color=figures.DARK, lw=0.6, ls=":", label="floor of F4")
    axes.tick_params(axis="x", labelrotation=90)
    axes.set(ylabel="nats a document", ylim=(0, axes.get_ylim()[1] * 1.55))
    axes.legend(loc="upper left", ncols=2)


def _ladders(axes: plt.Axes, table: pd.DataFrame) -> None:
    ends = {arm: at_end(table, arm) for arm in NAMES}
    _bars(axes, {NAMES[arm]: end[_NUMBERS].mean() for arm, end in ends.items()})
    for x, end in enumerate(ends.values()):
        panels_.strike(axes, x, end.F0.mean() + 0.2, end.outside.mean())
    panels_.strike_label(axes)
    axes.legend(loc="upper left", ncols=2)


def _order(axes: plt.Axes, table: pd.DataFrame) -> None:
    rows = {}
    for arm, label in (("said-8", "shown"), ("paid-0", "teacher"), ("two", "two")):
        part = table[(table.kind == "trained") & (table.arm == arm) & (table.step > 0)]
        for step, mean in part.groupby("step")[_NUMBERS].mean().iterrows():
            rows[f"{label}, {step:.0f}"] = mean
    _bars(axes, rows)
    axes.set_xlabel("8 unsaid, shown; teacher or two people, paid for: step")


def _rule(axes: plt.Axes, table: pd.DataFrame) -> None:
    for arm, colour in (("rule", RED), ("twin", BLUE)):
        part = table[(table.kind == "trained") & (table.arm == arm)]
        grid = part.pivot(index="seed", columns="step", values="follows")
        panels_.interval(axes, grid.columns.to_list(), grid.to_numpy(), color=colour, marker="o",
                         ms=3, lw=1, label=NAMES[arm])  # fmt: skip
    axes.axhline(1, color=figures.DARK, lw=0.8, label="always kept")
    axes.set(xlabel="RL step", ylabel="P(answer due), above others'", ylim=(-0.1, 1.4))
    axes.legend(loc="upper left", ncols=3)


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the finished seeds."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
