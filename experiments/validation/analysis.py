"""From the records of `validation`, and the plants as exact distributions, to figure and claims."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from experiments.validation import exact
from experiments.validation.plants import PLANTS
from toylab.lab.records import Records
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.claims import t_interval
from toylab.report.results import Analysis

CAST = "learned"
FAMILIES = ("F0", "F1", "F2", "F3", "F4", "F4 flat")
PLACEBO_EXPLAINS = ("F1", "F2", "F3")  # rungs at which a plant should need its own cast

COLUMNS = {
    "plant": "what was planted",
    "corpus": "the corpus it lives in",
    "explained_by": "the first family that contains it; empty: none does",
    "kind": "exact: the distribution itself; size: the same from fewer documents; population: the "
    "same from 16 times as many and the best of five starts, on the documents that `exact` scored; "
    "placebo: against a cast whose tables are dealt anew to its characters; ablation: with a "
    "denser grid of powers; share: mixed with `nothing`; trained: a model fine-tuned on its "
    "documents; pretrained: the model before, whose readings are the floors",
    "seed": "seed of the model, or number of the draw or placebo",
    "documents": "how many the families were fitted on",
    "share": "of documents that are by the plant, where it is mixed with `nothing`",
    "F0": "KL(P || m_w0), nats a document",
    "F1": "left by mixtures of characters",
    "F2": "left by mixtures of tempered characters",
    "F3": "left by switching authors and by composition; the upper end of formation",
    "F4": "left by an author for every (topic, slot)",
    "F4 flat": "left with flattened atoms, too; the lower end of formation",
    "error": "standard error of F4 flat over documents",
    "outside": "mean probability of words that the grammar forbids",
}


def tabulate(records: Records) -> pd.DataFrame:
    """A row for every reading of every plant."""
    lines = tqdm(
        exact.read(records), desc="exact plants", total=exact.plan(records), mininterval=0.5
    )
    rows = list(lines)
    for row in records.rows:
        plant = records.sweep.arms[row["arm"]].title
        found = row["reading"][CAST]
        line = {
            "plant": plant,
            "corpus": PLANTS[plant].corpus,
            "explained_by": PLANTS[plant].explained_by or "",
            "kind": "trained" if row["step"] else "pretrained",
            "seed": row["seed"],
            "documents": records.sweep.reading.fit,
        }
        line |= {family: found[family] for family in FAMILIES}
        line |= {"error": found["F4 flat_error"], "outside": row["reading"]["outside"]}
        rows.append(line)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def detected(table: pd.DataFrame) -> pd.DataFrame:
    """For every share: the lower end, and that of `nothing` with two standard errors of both."""
    nothing = table[(table.plant == "nothing") & (table.kind == "exact")]
    mixed = table[table.kind == "share"].groupby("share", as_index=False)
    found = mixed[["F4 flat", "error"]].mean()
    error = np.hypot(found["error"], nothing["error"].mean())
    return found.assign(needed=nothing["F4 flat"].mean() + 2 * error)


def off(table: pd.DataFrame) -> pd.Series:
    """How far each exact reading's families are from the population's, in what is tolerated.

    The largest over families, in units of .05 nats or 3 %, whichever is more.
    """
    wanted, got = (
        table[table.kind == kind].set_index(["plant", "seed"])[list(FAMILIES)]
        for kind in ("population", "exact")
    )
    return ((got - wanted).abs() / np.maximum(0.05, 0.03 * wanted)).max(axis=1)


def _worst(part: pd.DataFrame, column: str) -> list[float]:
    """The largest value over plants, for each seed."""
    return part.groupby("seed")[column].max().to_list()


def _needed_cast(table: pd.DataFrame) -> list[float]:
    """For each draw the smallest excess, over plants, of a placebo's remainder over the cast's."""
    part = table[table.explained_by.isin(PLACEBO_EXPLAINS)]
    real = part[part.kind == "exact"].set_index(["plant", "seed"])["F3"]
    placebo = part[part.kind == "placebo"]
    each = placebo.seed.nunique() // part[part.kind == "exact"].seed.nunique()  # of a draw
    lowest = placebo.assign(seed=placebo.seed // each).groupby(["plant", "seed"])["F3"]
    return (lowest.min() - real).groupby("seed").min().to_list()


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the ladder must do to be believed."""
    plain = table[(table.kind == "exact") & (table.explained_by != "")]
    rung = plain.assign(left=[row[row.explained_by] for _, row in plain.iterrows()])
    strange = table[table.plant.isin(["unsaid stance", "by history"]) & (table.kind == "exact")]
    return {
        "no_false_formation": _worst(plain, "F4 flat"),
        "own_rung": _worst(rung, "left"),
        "unsaid_seen": strange.groupby("seed")["F4 flat"].min().to_list(),
        "population": off(table).groupby("seed").max().to_list(),
        "placebo": _needed_cast(table),
    }


def draw(table: pd.DataFrame) -> Figure:
    """The rungs of every plant, exact and trained, and how small a share is detected."""
    with figures.style(rows=2, columns=2, ratio=0.75):
        figure, panels = plt.subplot_mosaic("aaaaa\nbbbcc", layout="constrained")
        _bars(panels["a"], table, "exact")
        _placebo(panels["a"], table)
        figures.letter(panels["a"], "a", "exact distributions (numbers: lower end)")
        panels["a"].legend(loc="upper left", ncols=7, columnspacing=1.2, handlelength=1.2)
        top = panels["a"].get_ylim()[1]
        panels["a"].set_ylim(0, 1.25 * top)  # room for the legend
        _divide(panels["a"], table, top)
        _bars(panels["b"], table, "trained")
        _floors(panels["b"], table)
        figures.letter(panels["b"], "b", "trained models (numbers: lower end)")
        for which in "ab":
            panels[which].set_ylabel("left unexplained (nats a document)")
        _detection(panels["c"], table)
        figures.letter(panels["c"], "c", "an unsaid stance in part of the documents")
    return figure


def _divide(axes: Axes, table: pd.DataFrame, height: float) -> None:
    """A line between the plants that some family contains and those that none does."""
    exact_rows = table[table.kind == "exact"].drop_duplicates("plant")
    at = int((exact_rows.explained_by != "").sum()) - 0.5 + 0.2
    axes.plot([at, at], [0, height], color=figures.GREY, lw=0.6, ls=(0, (4, 3)))
    for shift, side, text in ((-0.1, "right", "in a family"), (0.1, "left", "in none")):
        axes.text(at + shift, height, text, ha=side, va="top", fontsize=5, color=figures.GREY)


def _floors(axes: Axes, table: pd.DataFrame) -> None:
    """What the lower end is before training, across each bar."""
    part = table[table.kind == "pretrained"].groupby("plant", sort=False)["F4 flat"].mean()
    x = np.arange(len(part))
    lines = axes.hlines(part, x - 0.45, x + 0.45, ls=":", color=figures.DARK, lw=0.8)
    axes.legend([lines], ["floor (pretrained, lower end)"], loc="upper right")


def _bars(axes: Axes, table: pd.DataFrame, kind: str) -> None:
    part = table[table.kind == kind]
    names = list(dict.fromkeys(part.plant))
    mean = part.groupby("plant")[list(FAMILIES)].mean().loc[names]
    panels_.rungs(axes, mean)
    for i, name in enumerate(names):
        seeds = part[part.plant == name]
        middle, lowest, highest = t_interval(seeds["F4 flat"].to_list())
        bounds = [[middle - lowest], [highest - middle]] if np.isfinite(lowest) else None
        axes.errorbar(i, middle, yerr=bounds, fmt="_", color=figures.DARK, ms=7, lw=0.8)
        high = max(mean.loc[name, "F0"], middle)
        axes.annotate(
            f"{middle:.2g}" if middle >= 1 else f"{middle:.3f}".removeprefix("0"),
            (i, high),
            xytext=(0, 1.5),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=4.5,
        )
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(names) - 0.3)
    axes.axhline(0, color=figures.DARK, lw=0.5)


def _placebo(axes: Axes, table: pd.DataFrame) -> None:
    """What F3 leaves with placebo casts, beside each bar: their mean, least and most."""
    part = table[table.kind == "placebo"].groupby("plant", sort=False)["F3"]
    mean, low, high = part.mean(), part.min(), part.max()
    axes.errorbar(
        np.arange(len(mean)) + 0.42,
        mean,
        yerr=[mean - low, high - mean],
        fmt="o",
        ms=1.5,
        lw=0.8,
        color=figures.GREY,
        label="left by F3 with placebo casts",
    )


def _detection(axes: Axes, table: pd.DataFrame) -> None:
    found = detected(table)
    percent = 100 * found["share"]
    axes.errorbar(
        percent,
        found["F4 flat"],
        yerr=2 * found["error"],
        fmt="o-",
        ms=2.5,
        lw=0.8,
        color=figures.RUNGS["left"],
        label="lower end ± 2 s.e.",
    )
    axes.plot(percent, found["needed"], "--", color=figures.DARK, lw=0.8, label="detection limit")
    floor = table[(table.kind == "pretrained") & (table.plant == "unsaid stance")]["F4 flat"].mean()
    axes.axhline(floor, ls=":", color=figures.DARK, lw=0.8, label="floor of trained models")
    axes.set(xscale="log", yscale="log", xlabel="share of documents (%)", ylabel="nats a document")
    axes.set_xticks(percent, [f"{each:g}" for each in percent])
    axes.minorticks_off()
    axes.legend(loc="lower right")


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(table), table=table, columns=COLUMNS, values=claims(table))
