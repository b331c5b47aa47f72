import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from experiments.validation import exact
from experiments.validation.plants import PLANTS
from toylab.lab.records import Record, Records, where
from toylab.ladder import reading
from toylab.ladder.fit import FAMILIES
from toylab.report import panels
from toylab.report.claims import t_interval
from toylab.report.figures import DARK, GREY, RUNGS, Axes, Figure, letter, style

PLACEBO_EXPLAINS = ("F1", "F2", "F3")  # plants in these families should need their cast

COLUMNS = {
    "plant": "what was planted",
    "corpus": "the corpus it lives in",
    "explained_by": "the first family that contains it; empty: none does",
    "kind": "exact: the distribution itself; size: the same from fewer documents; population: the "
    "same from 16 times as many and the best of five starts, on the documents that `exact` scored; "
    "placebo: against a cast whose tables are shuffled among characters; ablation: with a "
    "denser grid of powers; share: mixed with `nothing`; trained: a model fine-tuned on its "
    "documents; pretrained: the model before, whose readings are the floors",
    "seed": "seed of the model, or number of the draw or placebo",
    "draw": "the draw of documents, of exact distributions",
    "contained": "1 if some family contains the plant: it is no formation",
    "off": "of exact readings: largest difference from the population's over families, in units of "
    "max(.05 nats, 3 %)",
    "needed": "of placebos of plants that F1 to F3 contain: what F3 leaves beyond the cast's",
    "seen": "where mixed with `nothing`: F4 flat minus that of `nothing`, minus two errors of both",
    "documents": "how many the families were fitted on",
    "share": "of documents that are by the plant, where it is mixed with `nothing`",
    **reading.columns(*FAMILIES),
    "error": "standard error of F4 flat over documents",
    **reading.columns("outside"),
}


def tabulate(records: Records) -> pd.DataFrame:
    """A row for every reading of every plant: first the exact ones, then those of models."""
    lines = records.once("exact plants", exact.read, exact.plan(records))

    def read(record: Record) -> dict:
        return {
            "plant": records.sweep.arms[record.arm].title,
            "kind": "trained" if record.step else "pretrained",
            "documents": records.sweep.reading.fit,
            "error": record.found["reading"]["learned"]["F4 flat_error"],
            **record.read(*FAMILIES, "outside"),
        }

    models = records.table(COLUMNS, read)
    table = pd.DataFrame([*lines, *models.to_dict("records")], columns=list(COLUMNS))
    plants = table.plant.map(PLANTS | {exact.MIXED: PLANTS["unsaid stance"]})
    families = [plant.explained_by or "" for plant in plants]
    table = table.assign(corpus=[plant.corpus for plant in plants], explained_by=families)
    return with_judged(table.assign(contained=(table.explained_by != "").astype(float)))


def with_judged(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns of claims, which compare each reading with its counterpart."""
    exact, population, placebo, mixed = (
        table[table.kind == kind] for kind in ("exact", "population", "placebo", "share")
    )
    table["draw"] = table.seed
    each = placebo.seed.nunique() // max(exact.seed.nunique(), 1)  # placebos per draw
    table.loc[placebo.index, "draw"] = placebo.seed // each

    def beside(rows: pd.DataFrame, other: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
        """The same plant and draw in another kind of reading."""
        same = list(zip(rows.plant, table.draw[rows.index], strict=True))
        return other.set_index(["plant", "seed"])[columns].loc[same].set_index(rows.index)

    families = list(FAMILIES)
    wanted = beside(exact, population, families)
    far = (exact[families] - wanted).abs() / np.maximum(0.05, 0.03 * wanted)
    table.loc[exact.index, "off"] = far.max(axis=1)
    needs = placebo[placebo.explained_by.isin(PLACEBO_EXPLAINS)]
    table.loc[needs.index, "needed"] = needs.F3 - beside(needs, exact, ["F3"]).F3
    nothing = exact[exact.plant == "nothing"].set_index("seed")
    nothing = nothing.loc[mixed.seed].set_index(mixed.index)
    error = np.hypot(mixed["error"], nothing["error"])
    table.loc[mixed.index, "seen"] = mixed["F4 flat"] - nothing["F4 flat"] - 2 * error
    return table


def draw(table: pd.DataFrame) -> Figure:
    with style(rows=2, columns=2, ratio=0.75):
        figure, axes = plt.subplot_mosaic("aaaaa\nbbbcc", layout="constrained")
        _exact(axes["a"], table)
        _trained(axes["b"], table)
        _detection(axes["c"], table)
        letter(axes["a"], "a", "exact distributions (numbers: lower end)")
        letter(axes["b"], "b", "trained models (numbers: lower end)")
        letter(axes["c"], "c", "an unsaid stance in part of the documents")
    return figure


def _bars(axes: Axes, table: pd.DataFrame, kind: str) -> None:
    seeds = table[table.kind == kind].groupby("plant", sort=False)
    mean = seeds[list(FAMILIES)].mean()
    panels.rungs(axes, mean)
    for x, (values, f0) in enumerate(zip(seeds["F4 flat"], mean.F0, strict=True)):
        middle, low, high = t_interval(values[1].to_list())
        axes.plot([x, x], [low, high], color=DARK, lw=0.8)
        text = f"{middle:.2g}" if middle >= 1 else f"{middle:.3f}"
        above = {"textcoords": "offset points", "ha": "center", "fontsize": 4.5}
        axes.annotate(text, (x, max(f0, high)), (0, 1.5), **above)
    axes.set_xticks(range(len(mean)), mean.index, rotation=40, ha="right", rotation_mode="anchor")
    axes.set(xlim=(-0.6, len(mean) - 0.3), ylabel="left unexplained (nats per document)")
    axes.axhline(0, color=DARK, lw=0.5)
    axes.set_ylim(bottom=0)


def _exact(axes: Axes, table: pd.DataFrame) -> None:
    """Beside each bar what F3 leaves with placebo casts: mean, least and most."""
    _bars(axes, table, "exact")
    part = table[table.kind == "placebo"].groupby("plant", sort=False).F3
    mean, low, high = part.mean(), part.min(), part.max()
    marks = {"fmt": "o", "ms": 1.5, "lw": 0.8, "color": GREY, "yerr": [mean - low, high - mean]}
    label = "left by F3 with placebo casts"
    axes.errorbar(np.arange(len(mean)) + 0.42, mean, label=label, **marks)
    # a line between the plants that some family contains and those that none does
    plants = table[table.kind == "exact"].drop_duplicates("plant")
    axes.set_ylim(top=1.05 * high.max())  # no placebo is cut off
    at, height = (plants.explained_by != "").sum() - 0.3, axes.get_ylim()[1]
    axes.plot([at, at], [0, height], color=GREY, lw=0.6, ls=(0, (4, 3)))
    for shift, side, text in ((-0.1, "right", "in a family"), (0.1, "left", "in none")):
        axes.text(at + shift, height, text, ha=side, va="top", fontsize=5, color=GREY)
    panels.room(axes, 0.12)
    axes.legend(loc="upper left", ncols=7)


def _trained(axes: Axes, table: pd.DataFrame) -> None:
    _bars(axes, table, "trained")
    part = table[table.kind == "pretrained"].groupby("plant", sort=False)["F4 flat"].mean()
    x = np.arange(len(part))
    lines = axes.hlines(part, x - 0.45, x + 0.45, ls=":", color=DARK, lw=0.8)
    panels.room(axes, 0.15)
    axes.legend([lines], ["floor (pretrained, lower end)"], loc="upper right")


def _detection(axes: Axes, table: pd.DataFrame) -> None:
    nothing = where(table, plant="nothing", kind="exact")
    found = where(table, kind="share").groupby("share", as_index=False)[["F4 flat", "error"]].mean()
    error = np.hypot(found["error"], nothing["error"].mean())  # of both
    limit = nothing["F4 flat"].mean() + 2 * error
    percent = 100 * found["share"]
    marks = {"fmt": "o-", "ms": 2.5, "lw": 0.8, "color": RUNGS["left"], "yerr": 2 * found["error"]}
    axes.errorbar(percent, found["F4 flat"], label="lower end ± 2 s.e.", **marks)
    axes.plot(percent, limit, "--", color=DARK, lw=0.8, label="detection limit")
    floor = where(table, kind="pretrained", plant="unsaid stance")["F4 flat"].mean()
    panels.level(axes, floor, "floor of trained models", colour=DARK)
    axes.set(xlabel="share of documents (%)", ylabel="nats per document")
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(percent, [f"{each:g}" for each in percent])
    axes.minorticks_off()
    axes.legend(loc="lower right")
