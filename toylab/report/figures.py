"""What all figures share: style, colours, intervals, and the parts that more than one draws."""

import contextlib
import io
import string
from collections.abc import Callable, Iterator, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tueplots import bundles, figsizes

from toylab.report.claims import t_interval

# Okabe & Ito (2008): distinct for every kind of colour vision.
RUNGS = {
    "selection": "#0072B2",
    "exaggeration": "#E69F00",
    "recombination": "#009E73",
    "patchwork": "#CC79A7",
    "left": "#D55E00",
}
GREY, GOOD, DARK = "#999999", "#009E73", "#222222"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#222222")


@contextlib.contextmanager
def style(rows: int = 1, columns: int = 2, ratio: float = 0.75) -> Iterator[None]:
    """Sets fonts and size for a figure as wide as a page of two columns."""
    settings = bundles.icml2022(column="full", nrows=rows, ncols=columns, usetex=False)
    settings |= figsizes.icml2022_full(nrows=rows, ncols=columns, height_to_width_ratio=ratio)
    settings |= {
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "mathtext.fontset": "dejavusans",
        "font.size": 6,
        "axes.labelsize": 6,
        "axes.titlesize": 6.5,
        "xtick.labelsize": 5,
        "ytick.labelsize": 5,
        "legend.fontsize": 5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "legend.frameon": False,
        "pdf.fonttype": 42,
        "svg.hashsalt": "toylab",
    }
    with mpl.rc_context(settings):
        yield


def interval(axes: Axes, x: Sequence[float], seeds: np.ndarray, **line: object) -> None:
    """Draws a mean over seeds [seed, point] with its 95 % t interval, and every seed faintly."""
    bounds = np.array([t_interval(column) for column in seeds.T])
    (drawn,) = axes.plot(x, bounds[:, 0], **line)  # type: ignore[arg-type]
    colour = drawn.get_color()
    if len(seeds) > 1:
        axes.fill_between(x, bounds[:, 1], bounds[:, 2], color=colour, alpha=0.25, lw=0)
    for row in seeds:
        axes.plot(x, row, color=colour, alpha=0.25, lw=0.5)


def point(
    axes: Axes, x: float, values: np.ndarray, colour: str, label: str = "", aside: float = 0.12
) -> None:
    """Draws a mean over seeds [seed] with its 95 % t interval, and every seed faintly beside it.

    Seeds without a value (NaN) are left out.
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if not len(values):
        return
    mean, low, high = t_interval(values.tolist())
    if len(values) > 1:
        axes.plot([x, x], [low, high], color=colour, lw=1.2)
    axes.plot(np.full(len(values), x + aside), values, ".", color=colour, ms=2, alpha=0.4)
    axes.plot(x, mean, "o", color=colour, ms=3.5, label=label or None)


OFF_GRAMMAR = 0.01  # more probability than that on forbidden words: the ladder gives no verdict


def strike(axes: Axes, x: float, y: float, outside: float) -> None:
    """Marks a reading of the ladder that is no verdict, if too much is off the grammar."""
    if outside > OFF_GRAMMAR:
        axes.text(x, y, "×", ha="center", fontsize=5)


def strike_label(axes: Axes) -> None:
    """Adds that mark to the legend."""
    axes.plot([], [], "x", color=DARK, ms=3, label="off grammar, no verdict")


BANDS = (
    ("selection", "F0", "F1"),
    ("exaggeration", "F1", "F2"),
    ("recombination", "F2", "F3"),
    ("patchwork", "F3", "F4"),
    ("left", "F4", None),
)


def rungs(axes: Axes, table: pd.DataFrame) -> None:
    """The rungs of the whole ladder as stacked bars, one for each row of a table of families."""
    x = np.arange(len(table))
    for rung, high, low in reversed(BANDS):
        base = table[low].to_numpy() if low else np.zeros(len(table))
        height = np.maximum(table[high].to_numpy() - base, 0)
        label = "not explained (F4)" if rung == "left" else rung
        axes.bar(x, height, bottom=base, color=RUNGS[rung], width=0.7, label=label)
    axes.plot(x, table["F4 flat"], "_", color=DARK, ms=7, label="lower end")
    axes.set_xticks(x, [str(label) for label in table.index])


def letter(axes: Axes, which: str, title: str) -> None:
    """Titles a panel."""
    axes.set_title(rf"$\bf{{{which}}}$ {title}")


def page(panels: Sequence[tuple[str, Callable[..., None]]], *shown: object) -> Figure:
    """Lettered panels, two side by side; each is a title, and what paints the axes with `shown`."""
    rows = len(panels) // 2
    with style(rows=rows, columns=2, ratio=0.62):
        figure, axes = plt.subplots(rows, 2, layout="constrained")
        for panel, which, (title, paint) in zip(
            axes.flat, string.ascii_lowercase[: 2 * rows], panels, strict=True
        ):
            paint(panel, *shown)
            letter(panel, which, title)
    return figure


def stamp_quick(figure: Figure) -> None:
    """Says on the figure that it shows plumbing, not science."""
    figure.text(
        0.5,
        0.5,
        "QUICK: plumbing, not science",
        rotation=20,
        ha="center",
        va="center",
        color="#D55E00",
        alpha=0.25,
        fontsize=26,
        weight="bold",
    )


def render(figure: Figure, kind: str) -> bytes:
    """The figure as a file's bytes, the same for the same figure."""
    stream = io.BytesIO()
    metadata = {"CreationDate": None} if kind == "pdf" else {"Software": None}
    figure.savefig(stream, format=kind, dpi=200, metadata=metadata)
    return stream.getvalue()
