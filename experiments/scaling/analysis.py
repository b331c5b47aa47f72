"""From the records of `scaling` to its figure, table and claims."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.scaling.sweep import ALONG, AXES, CORNERS, MIDDLE, POINTS, Point, along
from toylab.lab.records import Records
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.claims import t_interval
from toylab.report.results import Analysis
from toylab.stages import Sft

CAST = "learned"
LEVEL = 2.0  # nats a document that every model is moved by sixteen documents
COLUMNS = {
    "point": "what differs from the middle: width 64, 2 layers, 16 characters, 2 turns, 800 steps",
    "seed": "seed of everything but the cast",
    **{
        "width": "width of the model",
        "layers": "its layers",
        "characters": "how many are in the cast",
        "turns": "turns a document",
        "steps": "steps of pretraining, 64 documents each",
    },
    "excess": "excess loss of the pretrained model on answers, nats a token",
    "floor": "F2 of the pretrained model, nats a document",
    "fresh": "(F0 - F1) / F0 after 80 steps on fresh documents of one character",
    "moved": "F0 after 80 steps on sixteen documents of hers, nats a document",
    "left": "F2 - its floor then, nats a document",
    "formed": "left / moved",
    "alike": "F2 - its floor at which F0 passes 2 nats a document, on a line between readings",
    "outside": "mean probability of words that the grammar forbids, after those sixteen",
    "weight": "w* of the first of two authors of documents, in F1",
    "two": "F0 after 80 steps on documents of two authors, nats a document",
    "between": "recombination: F2 - F3 then, less that of the pretrained model, nats a document",
}
DRAWN = (
    ("excess", "excess, nats a token", "what pretraining leaves"),
    ("left", "F2 − floor, nats", "sixteen documents: formed"),
    ("alike", "F2 − floor at F0 = 2", "the same, moved as far"),
    ("between", "F2 − F3, nats", "two authors: between them"),
)


def tabulate(records: Records) -> pd.DataFrame:
    """A row per point and seed."""
    lines: dict[tuple[Point, int], dict[str, Any]] = {
        (point, seed): {"point": point.name, "seed": seed} | point._asdict()
        for point in POINTS
        for seed in records.seeds()
    }
    ways: dict[tuple[Point, int], list[tuple[float, float]]] = {}  # (F0, F2) as training goes
    by_arm = {f"{kind}-{p.name}": (kind, p) for kind in ("fresh", "heart", "two") for p in POINTS}
    for row in records.rows:
        arm, seed = row["arm"], row["seed"]
        kind, point = by_arm[arm]
        stage = records.sweep.arms[arm].stages[-1]
        assert isinstance(stage, Sft)
        if (point, seed) not in lines:
            continue
        if kind == "heart":
            ways.setdefault((point, seed), []).append(
                (row["reading"][CAST]["F0"], row["reading"][CAST]["F2"])
            )
        if row["step"] not in (0, int(stage.steps)):
            continue
        line, read, last = lines[point, seed], row["reading"][CAST], row["step"] > 0
        if kind == "fresh" and last:
            line["fresh"] = 1 - read["F1"] / read["F0"]
            line["excess"] = records.bases[arm, seed]["excess"]["answers"]
        if kind == "heart":
            line["left" if last else "floor"] = read["F2"]
        if kind == "heart" and last:
            line |= {"moved": read["F0"], "outside": row["reading"]["outside"]}
        if kind == "two":
            whole = row["ladder"][CAST]
            drop = whole["F2"] - whole["F3"]
            line["between" if last else "between_before"] = drop
        if kind == "two" and last:
            author = records.setups[arm].corpus.names.index(stage.author)
            line |= {"weight": read["weights"][author], "two": read["F0"]}
    for key, way in ways.items():
        lines[key]["alike"] = left_at(LEVEL, way)
    table = pd.DataFrame(list(lines.values()))
    table["left"] -= table["floor"]
    table["between"] -= table["between_before"]
    table["formed"] = table["left"] / table["moved"]
    return table[list(COLUMNS)]


def left_at(level: float, way: list[tuple[float, float]]) -> float:
    """F2 - its floor where F0 passes a level, of pairs (F0, F2) from before training on.

    On a line between readings; what the first or last reading has, where F0 is never there.
    """
    moved, left = np.array(way).T
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


def width_exponents(table: pd.DataFrame, layers: int, value: str) -> list[float]:
    """Exponent in width, from 16 to 128, of models with so many layers, seed by seed."""
    least, most = (MIDDLE._replace(width=width, layers=layers).name for width in (16, 128))
    by_seed = table.pivot(index="seed", columns="point", values=value)
    return (np.log(by_seed[most] / by_seed[least]) / np.log(128 / 16)).tolist()


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before seeds 0 to 2 ran."""
    on_axes = table[table.point.isin([point.name for point in ALONG])]
    width = on_axis(table, "width").pivot(index="seed", columns="width", values="alike")
    return {
        "width": exponents(table, "width", "left"),
        "depth": np.minimum(*(width_exponents(table, deep, "left") for deep in (1, 4))).tolist(),
        "matched": (width[128] - width[16]).tolist(),
        "between": on_axes.groupby("seed").between.max().tolist(),
        "pretraining": exponents(table, "steps", "left"),
    }


LABELS = {
    "width": "width",
    "layers": "layers (at three widths)",
    "characters": "characters",
    "turns": "turns a document",
    "steps": "steps of pretraining",
}


def draw(table: pd.DataFrame) -> Figure:
    """A column for each axis, a row for each quantity; power laws fitted seed by seed."""
    with figures.style(rows=len(DRAWN), columns=len(AXES), ratio=0.8):
        figure, axes = plt.subplots(
            len(DRAWN), len(AXES), sharex="col", sharey="row", layout="constrained"
        )
        for row, (value, label, title) in zip(axes, DRAWN, strict=True):
            for panel, axis in zip(row, AXES, strict=True):
                _panel(panel, table, axis, value)
            row[0].set_ylabel(label)
            row[0].set_title(rf"$\bf{{{'abcd'[list(axes[:, 0]).index(row[0])]}}}$ {title}")
        for panel, axis in zip(axes[-1], AXES, strict=True):
            panel.set_xlabel(LABELS[axis])
            panel.set_xticks(AXES[axis], [str(value) for value in AXES[axis]], minor=False)
            panel.minorticks_off()
    return figure


def _panel(panel: plt.Axes, table: pd.DataFrame, axis: str, value: str) -> None:
    panel.set_xscale("log", base=2)
    lines = {MIDDLE.width: along(axis)}
    if axis == "layers":
        lines |= {
            width: [MIDDLE._replace(width=width, layers=layers) for layers in AXES["layers"]]
            for width in sorted({corner.width for corner in CORNERS})
        }
    for (width, points), colour in zip(lines.items(), figures.COLOURS, strict=False):
        grid = table.pivot(index="seed", columns="point", values=value)[[p.name for p in points]]
        sizes = [point._asdict()[axis] for point in points]
        panels_.interval(panel, sizes, grid.to_numpy(), color=colour, marker="o", ms=2.5)
        if len(lines) > 1:
            at = grid.iloc[:, -1].mean()
            panel.annotate(
                f"{width}", (sizes[-1], at), (3, 0), textcoords="offset points",
                color=colour, fontsize=5, va="center",
            )  # fmt: skip
    panel.axvline(MIDDLE._asdict()[axis], color=figures.GREY, lw=0.5, ls=":")
    panel.axhline(0, color=figures.GREY, lw=0.5)
    if value in ("excess", "left", "alike"):
        mean, low, high = t_interval(exponents(table, axis, value))
        panel.text(
            0.97,
            0.93,
            f"exponent {mean:.2f} [{low:.2f}, {high:.2f}]",
            transform=panel.transAxes,
            ha="right",
            fontsize=4.5,
        )
    if value == "excess":
        panel.set_yscale("log")
        panel.set_ylim(1e-4, 0.3)  # intervals of three seeds may reach below 0


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(table), table=table, columns=COLUMNS, values=claims(table))
