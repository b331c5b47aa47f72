from pathlib import Path as File

import numpy as np
import pandas as pd

from experiments.scaling.sweep import AXES, MIDDLE, POINTS, along
from toylab.lab.records import Record, Records, crossing, where
from toylab.report import panels
from toylab.report.claims import load
from toylab.report.figures import COLOURS, GREY, Axes, Figure, page, panel

LEVEL = 2.0  # nats per document: the move by sixteen documents at which models are compared
READ = ("kind", "point", "seed", "step", "F0", "F2", "weight", "outside", "drop", "excess")
COLUMNS = {
    "kind": "two: fresh documents, half of them by another character; memorised: sixteen documents "
    "of one character, over and over",
    "point": "what differs from the middle: width 64, 2 layers, 16 characters, 2 turns",
    "seed": "seed of everything but the cast",
    "width": "width of the model",
    "layers": "its layers",
    "characters": "how many are in the cast",
    "turns": "turns per document",
    "excess": "excess loss of the pretrained model on answers, nats per token",
    "moved": "F0 at the end, nats per document",
    "left": "of memorised: F2 - that of the pretrained model where F0 passes 2 nats per document, "
    "interpolated between readings; empty if F0 ends below",
    "weight": "w* of the first author at the end, in F1",
    "between": "of two: recombination, F2 - F3 at the end, less that of the pretrained model, nats "
    "per document",
    "outside": "mean probability of words that the grammar forbids: of two at the end, of "
    "memorised where F0 passes 2 nats, if it does",
}
LABELS = {axis: axis for axis in AXES} | {"turns": "turns per document"}


def _read(record: Record) -> dict:
    kind, point = record.arm.split("-", 1)
    whole = record.found.get("ladder", {}).get("learned")
    return {
        "kind": kind,
        "point": point,
        **record.read("F0", "F2", "outside", whose=record.stages[0].author),
        "drop": whole["F2"] - whole["F3"] if whole else np.nan,
        "excess": record.base["excess"]["answers"],
    }


def tabulate(records: Records) -> pd.DataFrame:
    sizes = {point.name: point._asdict() for point in POINTS}
    read = records.table(dict.fromkeys(READ, ""), _read)
    rows = []
    for (kind, point, seed), way in read.groupby(["kind", "point", "seed"], sort=False):
        first, last = way.iloc[0], way.iloc[-1]
        row = {"kind": kind, "point": point, "seed": seed, **sizes[point]}
        row |= {name: last[name] for name in ("excess", "weight", "outside")} | {"moved": last.F0}
        row["between"] = last["drop"] - first["drop"]
        if kind == "memorised" and last.F0 >= LEVEL:
            row["left"] = crossing(way, "F2", "F0", LEVEL) - first.F2
            row["outside"] = crossing(way, "outside", "F0", LEVEL)
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def draw(table: pd.DataFrame) -> Figure:
    claims = {each.name: each for each in load(File(__file__).parent / "claims.toml")[0]}
    bound, two = claims["between"].threshold, where(table, kind="two")
    left = where(table, kind="memorised"), "width", "left"
    title = f"moved by {LEVEL:g} nats: left by mixtures"
    shown = [panel(title, _along, *left, legend="lower right", ylabel="F2 − floor, nats", ylim=0)]
    levels = [(0,), (bound, "claimed below", "--", COLOURS[1])]
    style = {"ylabel": "F2 − F3, nats", "ylim": (-0.2 * bound, 1.1 * bound), "levels": levels}
    for axis in AXES:
        style["legend"] = "" if len(shown) > 1 else "center left"
        shown.append(panel(f"two authors, {LABELS[axis]}", _along, two, axis, "between", **style))
    missed = two, "width", "excess"
    style = {"ylabel": "excess loss, nats per token", "ylim": 0, "legend": ""}
    shown.append(panel("missed by the pretrained model", _along, *missed, **style))
    return page(shown, columns=3, ratio=0.8)


def _along(axes: Axes, table: pd.DataFrame, axis: str, value: str) -> None:
    points = [point.name for point in along(axis)]
    grid = table.pivot(index="seed", columns="point", values=value)[points].to_numpy()
    style = {"color": COLOURS[0], "marker": "o", "ms": 2.5, "label": "mean, 95 % interval"}
    panels.interval(axes, AXES[axis], grid, **style)
    middle = MIDDLE._asdict()[axis]
    axes.axvline(middle, color=GREY, lw=0.5, ls=":", label="the middle point")
    axes.set_xscale("log", base=2)
    axes.set_xticks(AXES[axis], [str(each) for each in AXES[axis]])
    axes.set_xlabel(LABELS[axis])
