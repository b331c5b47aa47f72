"""From the records of `scaling` to its figure and table."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import ArrayLike, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.scaling.sweep import AXES, KINDS, MIDDLE, POINTS, along
from toylab.lab.records import Record, Records, where
from toylab.report import figures, panels
from toylab.report.claims import t_interval
from toylab.report.results import Analysis

LEVEL = 2.0  # nats per document: the move by sixteen documents at which models are compared
ONE = ["point", "seed"]
FAMILIES = ("F0", "F1", "F2")
READ = ("kind", *ONE, "step", *FAMILIES, "weight", "outside", "drop", "excess")
FLOORS = {"floor": "F2", "drop_before": "drop"}
COLUMNS = {
    "point": "what differs from the middle: width 64, 2 layers, 16 characters, 2 turns",
    "seed": "seed of everything but the cast",
    "width": "width of the model",
    "layers": "its layers",
    "characters": "how many are in the cast",
    "turns": "turns per document",
    "excess": "excess loss of the pretrained model on answers, nats per token",
    "floor": "F2 of the pretrained model, nats per document",
    "fresh": "(F0 - F1) / F0 after 80 steps on fresh documents of one character",
    "moved": "F0 after 80 steps on sixteen documents of hers, nats per document",
    "left": "F2 - its floor then, nats per document",
    "formed": "left / moved",
    "left_at_equal_move": "F2 - its floor at which F0 passes 2 nats per document, on a line "
    "between readings",
    "outside": "mean probability of words that the grammar forbids, after those sixteen",
    "weight": "w* of the first of two authors of documents, in F1",
    "two": "F0 after 80 steps on documents of two authors, nats per document",
    "between": "recombination: F2 - F3 then, less that of the pretrained model, nats per document",
}
LABELS = {
    "width": "width",
    "layers": "layers",
    "characters": "characters",
    "turns": "turns per document",
}
DRAWN = {
    "excess": ("excess, nats per token", "what pretraining leaves"),
    "left": ("F2 − floor, nats", "sixteen documents: formed"),
    "left_at_equal_move": ("F2 − floor at F0 = 2", "the same, moved as far"),
    "between": ("F2 − F3, nats", "two authors: between them"),
}


def _read(record: Record) -> dict[str, Any]:
    kind, point = record.arm.split("-", 1)
    whole = record.found.get("ladder", {}).get("learned")
    return {
        "kind": kind,
        "point": point,
        **record.read(*FAMILIES, "outside", whose=record.stages[0].author),
        "drop": whole["F2"] - whole["F3"] if whole else np.nan,
        "excess": record.base["excess"]["answers"],
    }


def tabulate(records: Records) -> pd.DataFrame:
    """A row per point and seed: what each kind of training left at its end."""
    read = records.table(
        dict.fromkeys((*READ, *FLOORS), ""), _read, before=FLOORS, by=("kind", *ONE)
    )
    fresh, memorised, two = (
        where(read, kind=kind).groupby(ONE).nth(-1).set_index(ONE) for kind in KINDS
    )
    ways = where(read, kind="memorised").groupby(ONE)[["F0", "F2"]]
    table = pd.DataFrame(
        {
            "excess": fresh.excess,
            "floor": memorised.floor,
            "fresh": 1 - fresh.F1 / fresh.F0,
            "moved": memorised.F0,
            "left": memorised.F2 - memorised.floor,
            "formed": (memorised.F2 - memorised.floor) / memorised.F0,
            "left_at_equal_move": ways.apply(lambda way: left_at(LEVEL, way)),
            "outside": memorised.outside,
            "weight": two.weight,
            "two": two.F0,
            "between": two["drop"] - two.drop_before,
        }
    )
    sizes = {point.name: point._asdict() for point in POINTS}
    rows = [{"point": p, "seed": s, **size} for p, size in sizes.items() for s in records.seeds()]
    return pd.DataFrame(rows).join(table, on=ONE)[list(COLUMNS)]


def left_at(level: float, way: Float[ArrayLike, "step 2"]) -> float:
    """F2 above its floor where F0 passes a level, interpolated between readings.

    `way` has pairs (F0, F2), the first from before training. Outside their range the nearest
    reading counts.
    """
    moved, left = np.asarray(way).T
    return float(np.interp(level, moved, left)) - float(left[0])


def on_axis(table: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The rows of the points along an axis."""
    return table[table.point.isin([point.name for point in along(axis)])].sort_values(axis)


def exponents(table: pd.DataFrame, axis: str, value: str) -> list[float]:
    """Least-squares slope of log value on log axis, seed by seed: value ~ axis^slope."""
    return [
        float(np.polyfit(np.log(part[axis]), np.log(np.maximum(part[value], 1e-6)), 1)[0])
        for _, part in on_axis(table, axis).groupby("seed")
    ]


def draw(table: pd.DataFrame) -> Figure:
    """A column for each axis, a row for each quantity; power laws fitted seed by seed."""
    with figures.style(rows=len(DRAWN), columns=len(AXES), ratio=0.8):
        figure, axes = plt.subplots(
            len(DRAWN), len(AXES), sharex="col", sharey="row", layout="constrained"
        )
        for row, which, (value, (label, title)) in zip(axes, "abcd", DRAWN.items(), strict=True):
            for panel, axis in zip(row, AXES, strict=True):
                _panel(panel, table, axis, value)
            row[0].set_ylabel(label)
            figures.letter(row[0], which, title)
        for panel, axis in zip(axes[-1], AXES, strict=True):
            panel.set_xlabel(LABELS[axis])
            panel.set_xticks(AXES[axis], [str(value) for value in AXES[axis]])
            panel.minorticks_off()
    return figure


def _panel(axes: Axes, table: pd.DataFrame, axis: str, value: str) -> None:
    """A quantity along an axis."""
    axes.set_xscale("log", base=2)
    points = along(axis)
    grid = table.pivot(index="seed", columns="point", values=value)[[p.name for p in points]]
    sizes = [point._asdict()[axis] for point in points]
    panels.interval(axes, sizes, grid.to_numpy(), color=figures.COLOURS[0], marker="o", ms=2.5)
    axes.axvline(MIDDLE._asdict()[axis], color=figures.GREY, lw=0.5, ls=":")
    axes.axhline(0, color=figures.GREY, lw=0.5)
    if value != "between":
        mean, low, high = t_interval(exponents(table, axis, value))
        text = f"exponent {mean:.2f} [{low:.2f}, {high:.2f}]"
        axes.text(0.97, 0.93, text, transform=axes.transAxes, ha="right", fontsize=4.5)
    if value == "excess":
        axes.set(yscale="log", ylim=(1e-4, 0.3))  # intervals may reach below 0


def analyse(records: Records) -> Analysis:
    """Figure and table of the finished seeds."""
    table = tabulate(records)
    return Analysis(figure=draw(table), table=table, columns=COLUMNS)
