"""The panels that all figures are made of. An analysis says which columns go where.

curves   mean and 95 % t interval over seeds, along steps (square-root scale) or another column
points   the same at named places (arms, casts, topics), side by side
dashes   predictions at such places
bands    the ladder along steps, stacked
rungs    the whole ladder as stacked bars
against  measured against predicted
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from toylab.lab.records import course, end, where
from toylab.report.claims import OFF_GRAMMAR, t_interval
from toylab.report.figures import COLOURS, DARK, GREY, RUNGS, level

BANDS = (
    ("selection", "F0", "F1"),
    ("exaggeration", "F1", "F2"),
    ("recombination", "F2", "F3"),
    ("patchwork", "F3", "F4"),
    ("left", "F4", None),
)
SHORT = (*BANDS[:2], ("left", "F2", None))  # of readings that stop at F2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """How one column of a table is drawn, for the rows that have the values in `where`.

    `predicted` is the column of a prediction. Without `spread` only the mean over seeds is drawn.
    """

    column: str
    label: str = ""
    predicted: str = ""
    colour: str = COLOURS[0]
    marker: str = ""
    line: str = "-"
    spread: bool = True
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def series(
    *columns: tuple[str, ...], colours: Sequence[str] = COLOURS, **style: Any
) -> list[Series]:
    """A series for each (column, label) or (column, label, predicted)."""
    shown = []
    for each, colour in zip(columns, colours, strict=False):
        named: dict[str, Any] = dict(zip(("column", "label", "predicted"), each, strict=False))
        shown.append(Series(**named, colour=colour, **style))
    return shown


def among(
    column: str, by: str, labels: Mapping[Any, Any], colours: Sequence[str] = COLOURS, **style: Any
) -> list[Series]:
    """A series of `column` for each key of `labels`. A key is a value of the column `by`.

    Instead of a label, `labels` may have (label, colour, line).
    """
    shown = []
    for (value, label), colour in zip(labels.items(), colours, strict=False):
        look = (label, colour) if isinstance(label, str) else label
        named: dict[str, Any] = dict(zip(("label", "colour", "line"), look, strict=False))
        shown.append(Series(column=column, where={by: value}, **named, **style))
    return shown


def _theory(column: str, label: str, colour: str, line: str) -> Series:
    return Series(column=column, label=label, colour=colour, line=line, spread=False)


THEORIES = (  # predictions, named as in `ladder.theory.Forecast.at`
    _theory("one_author", "Bayes, one author", DARK, "-"),
    _theory("a_document", "Bayes, one author per document", DARK, "--"),
    _theory("pairwise", "pairwise composition of traits", GREY, ":"),
)


def interval(axes: Axes, x: Sequence[float] | np.ndarray, seeds: np.ndarray, **line: Any) -> None:
    """Draws a mean over seeds [seed, point] with its 95 % t interval, and each seed faintly."""
    bounds = np.array([t_interval(column) for column in seeds.T])
    (drawn,) = axes.plot(x, bounds[:, 0], **line)
    colour = drawn.get_color()
    if len(seeds) > 1:
        axes.fill_between(x, bounds[:, 1], bounds[:, 2], color=colour, alpha=0.25, lw=0)
    for row in seeds:
        axes.plot(x, row, color=colour, alpha=0.25, lw=0.5)


def point(
    axes: Axes, x: float, values: Any, colour: str, label: str = "", aside: float = 0.12
) -> None:
    """Draws a mean over seeds with its 95 % t interval, and each seed faintly; omits NaN."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if not len(values):
        return
    mean, low, high = t_interval(values.tolist())
    if len(values) > 1:
        axes.plot([x, x], [low, high], color=colour, lw=1.2)
    axes.plot(np.full(len(values), x + aside), values, ".", color=colour, ms=2, alpha=0.4)
    axes.plot(x, mean, "o", color=colour, ms=3.5, label=label or None)


def doublings(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """log2 of counts. A count of 0 is put one doubling below the smallest other."""
    counts = np.asarray(values, float)
    return np.log2(np.maximum(counts, counts[counts > 0].min() / 2))


def count_axis(
    axes: Axes,
    counts: Sequence[float] | np.ndarray,
    label: str,
    scale: Callable[[np.ndarray], np.ndarray] = np.sqrt,
) -> None:
    """Writes each count where `scale` puts it, unless it would be too close to the one before."""
    counts = np.asarray(counts)
    at = scale(counts)
    shown, last = [], -np.inf
    for place in at:
        shown.append(place - last > 0.07 * (at[-1] - at[0]))
        last = place if shown[-1] else last
    names = [f"{count:g}" if show else "" for count, show in zip(counts, shown, strict=True)]
    axes.set_xticks(at, names)
    axes.set_xlabel(label)


def curves(
    axes: Axes,
    table: pd.DataFrame,
    lines: Sequence[Series],
    *,
    x: str = "step",
    label: str = "training step",
    scale: Callable[[np.ndarray], np.ndarray] | None = None,
) -> None:
    """Draws each series along `x`, on `scale` (by default, square roots of steps)."""
    grids = [course(table, each.column, x, **each.where) for each in lines]
    seen = np.unique(np.concatenate([points for points, _ in grids]))
    scale = scale or (np.sqrt if x == "step" else None)
    at = dict(zip(seen, scale(seen) if scale else seen, strict=True))
    for each, (points, seeds) in zip(lines, grids, strict=True):
        positions = [at[point] for point in points]
        style: dict[str, Any] = {"color": each.colour, "label": each.label or None, "ls": each.line}
        if each.spread:
            interval(axes, positions, seeds, lw=1, marker=each.marker or None, ms=2.5, **style)
        else:
            axes.plot(positions, seeds.mean(0), lw=0.8, **style)
    if scale:
        count_axis(axes, seen, label, scale)
    else:
        axes.set_xlabel(label)


def places(axes: Axes, names: Sequence[str], rotation: float = 0) -> None:
    axes.set_xticks(
        range(len(names)), list(names), rotation=rotation, ha="right" if rotation else "center"
    )


def points(
    axes: Axes,
    table: pd.DataFrame,
    shown: Sequence[Series],
    at: Mapping[Any, str],
    *,
    by: str = "arm",
    width: float = 0.5,
    rotation: float = 0,
    prediction: str = "predicted",
) -> None:
    """Draws each series at its last step, side by side, at a place for each key of `at`.

    A key is a value of the column `by`; `at` has its title. A dash marks the mean prediction, with
    label `prediction`.
    """
    offsets = np.linspace(-width / 2, width / 2, len(shown)) if len(shown) > 1 else [0.0]
    for place, value in enumerate(at):
        part = where(table, **{by: value})
        for offset, each in zip(offsets, shown, strict=True):
            values = end(part, each.column, **each.where) if len(part) else []
            label = "" if place else each.label
            point(axes, place + offset, values, each.colour, label, aside=0.08)
    for offset, each in zip(offsets, shown, strict=True):
        if each.predicted:
            said = dataclasses.replace(each, column=each.predicted, colour=DARK, label=prediction)
            dashes(axes, table, [said], at, by=by, width=width / len(shown), aside=offset)
            prediction = ""
    places(axes, list(at.values()), rotation)


def dots(axes: Axes, values: Mapping[str, Any]) -> None:
    """Draws the values of all seeds, at a place for each key."""
    for x, each in enumerate(values.values()):
        point(axes, x, each, COLOURS[0])
    places(axes, list(values))


def dashes(
    axes: Axes,
    table: pd.DataFrame,
    shown: Sequence[Series],
    at: Mapping[Any, str],
    *,
    by: str = "arm",
    width: float = 0.6,
    aside: float = 0.0,
) -> None:
    """Draws the mean of each series at its last step as a dash; places are as in `points`."""
    for each in shown:
        for place, value in enumerate(at):
            part = where(table, **{by: value})
            mean = end(part, each.column, **each.where).mean() if len(part) else np.nan
            ends = [place + aside - width / 2, place + aside + width / 2]
            axes.plot(ends, [mean, mean], each.line, color=each.colour, lw=0.9)
        if each.label:
            axes.plot([], [], each.line, color=each.colour, lw=0.9, label=each.label)


def strike(axes: Axes, x: float, y: float, outside: float) -> None:
    """Crosses out a reading if more than 1 % of its probability is off the grammar."""
    if outside > OFF_GRAMMAR:
        axes.text(x, y, "×", ha="center", fontsize=5)


def strike_label(axes: Axes) -> None:
    """Explains × in the legend, if any was drawn."""
    if any(text.get_text() == "×" for text in axes.texts):
        axes.plot([], [], "x", color=DARK, ms=3, label="off grammar, no verdict")


def strike_points(
    axes: Axes, table: pd.DataFrame, arms: Iterable[Any], columns: Sequence[str]
) -> None:
    """In a panel of `points` of these columns, puts a × above each arm without a verdict."""
    gap = 0.03 * np.ptp(axes.get_ylim())
    for x, arm in enumerate(arms):
        part = where(table, arm=arm)
        high = max(end(part, column).max() for column in columns)
        strike(axes, x, high + gap, end(part, "outside").mean())
    strike_label(axes)


def strike_rungs(axes: Axes, table: pd.DataFrame) -> None:
    """Crosses out bars of `rungs` that have no verdict, and turns the labels of all bars by 90°."""
    for x, (high, outside) in enumerate(zip(table.F0, table.outside, strict=True)):
        strike(axes, x, high + 0.1, outside)
    strike_label(axes)
    axes.tick_params(axis="x", labelrotation=90)


def bands(axes: Axes, table: pd.DataFrame) -> None:
    """Draws the rungs to F2 along steps, as stacked means over seeds, and the floor of F2.

    `table` has a row per seed and step, with F0, F1, F2, floor_F2 and `outside`.
    """
    mean = table.groupby("step")[["F0", "F1", "F2", "outside"]].mean()
    x, f0, f1, f2 = np.sqrt(mean.index.to_numpy()), mean.F0, mean.F1, mean.F2
    stacked = (("left", 0 * f2, f2), ("exaggeration", f2, f1), ("selection", f1, f0))
    for rung, low, high in stacked:
        label = "not explained (F2)" if rung == "left" else rung
        axes.fill_between(x, low, high, color=RUNGS[rung], alpha=0.6, lw=0, label=label)
    for name, rung in (("F2", "left"), ("F0", "selection")):
        for row in course(table, name)[1]:
            axes.plot(x, row, color=RUNGS[rung], lw=0.5)
    for at, height, outside in zip(x[1:], f0.iloc[1:], mean.outside.iloc[1:], strict=True):
        strike(axes, at - 0.25, height, outside)
    level(axes, table.floor_F2.mean(), "floor of F2", colour=DARK)
    axes.set(ylabel="nats per document", xlim=(0, x[-1]))
    count_axis(axes, mean.index, "training step")
    strike_label(axes)


def rungs(
    axes: Axes, table: pd.DataFrame, rungs: Sequence[tuple[str, str, str | None]] = BANDS
) -> None:
    """Draws the ladder as stacked bars, one for each row; a table has a column for each family."""
    x = np.arange(len(table))
    for rung, high, low in reversed(rungs):
        base = table[low].to_numpy() if low else np.zeros(len(table))
        height = np.maximum(table[high].to_numpy() - base, 0)
        label = f"not explained ({high})" if rung == "left" else rung
        axes.bar(x, height, bottom=base, color=RUNGS[rung], width=0.7, label=label)
    if rungs is BANDS:
        axes.plot(x, table["F4 flat"], "_", color=DARK, ms=7, label="lower end")
    axes.set_xticks(x, [str(label) for label in table.index])


def against(
    axes: Axes,
    table: pd.DataFrame,
    kinds: Sequence[tuple[str, Any, str, str]],
    predicted: str = "predicted",
    measured: str = "measured",
    by: str = "",
) -> None:
    """Draws measured against predicted, with the diagonal.

    A kind is a label, a mask of the table's rows, a colour and a marker. With `by`, rows are drawn
    small and faint, and the means of rows with the same `by` larger.
    """
    both = table[[predicted, measured]].to_numpy()
    low, high = float(np.nanmin(both)), float(np.nanmax(both))
    room = 0.05 * (high - low)
    axes.plot([low, high], [low, high], color=DARK, lw=0.8)
    for label, mask, colour, marker in kinds:
        part = table[mask]
        style: dict[str, Any] = {"color": colour, "marker": marker, "lw": 0.5}
        size, alpha, name = (2, 0.4, None) if by else (4, 0.6, label)
        axes.scatter(part[predicted], part[measured], s=size, alpha=alpha, label=name, **style)
        if by:
            mean = part.groupby(by)[[predicted, measured]].mean()
            axes.scatter(mean[predicted], mean[measured], s=12, label=label, **style)
    bounds = (low - room, high + room)
    axes.set(xlabel="predicted", ylabel="measured", xlim=bounds, ylim=bounds)


def room(axes: Axes, share: float) -> None:
    """Leaves a share of the height free at the top, for a legend."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + share * (high - low))
