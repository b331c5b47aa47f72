"""What all figures share: style, colours, lettered panels, and writing to bytes."""

import contextlib
import io
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tueplots import bundles, figsizes

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
def style(rows: int, columns: int, ratio: float) -> Iterator[None]:
    """Sets fonts and size for a figure that spans both columns of a page."""
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
        "legend.columnspacing": 0.8,
        "legend.handlelength": 1.5,
        "pdf.fonttype": 42,
        "svg.hashsalt": "toylab",
    }
    with mpl.rc_context(settings):
        yield


@contextlib.contextmanager
def grid(
    count: int, columns: int = 2, ratio: float = 0.62, **share: Any
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure with `count` panels, `columns` in a row. `share` goes to `plt.subplots`."""
    rows = -(-count // columns)
    with style(rows=rows, columns=columns, ratio=ratio):
        figure, axes = plt.subplots(rows, columns, layout="constrained", squeeze=False, **share)
        for blank in axes.flat[count:]:
            blank.set_axis_off()
        yield figure, list(axes.flat[:count])


def letter(axes: Axes, which: str, title: str) -> None:
    axes.set_title(rf"$\bf{{{which}}}$ {title}")


def level(axes: Axes, y: float, label: str = "", line: str = ":", colour: str = GREY) -> None:
    axes.axhline(y, color=colour, lw=0.8, ls=line, label=label or None)


Panel = tuple[str, Callable[..., None]]  # a title, and what paints the axes


def panel(
    title: str,
    paint: Callable[..., None],
    *given: object,
    levels: Sequence[tuple[Any, ...]] = (),
    legend: str = "upper left",
    ncols: int = 1,
    **settings: Any,
) -> Panel:
    """A panel for `page`: `paint` gets the axes, the `shown` of `page`, and `given`.

    `levels` are the arguments of `level`, for each horizontal line. `settings` go to `Axes.set`. If
    anything has a label, a legend is drawn at `legend`.
    """
    place: dict[str, Any] = {"loc": legend, "ncols": ncols}

    def painted(axes: Axes, *shown: object) -> None:
        paint(axes, *shown, *given)
        for each in levels:
            level(axes, *each)
        axes.set(**settings)
        if legend and axes.get_legend_handles_labels()[1]:
            axes.legend(**place)

    return title, painted


def page(
    panels: Sequence[Panel], *shown: object, columns: int = 2, ratio: float = 0.62, **share: Any
) -> Figure:
    """A figure of lettered panels, which all get `shown`. Other arguments are as in `grid`."""
    with grid(len(panels), columns, ratio, **share) as (figure, axes):
        for each, which, (title, paint) in zip(axes, string.ascii_lowercase, panels, strict=False):
            paint(each, *shown)
            letter(each, which, title)
    return figure


def stamp_quick(figure: Figure) -> None:
    place = {"rotation": 20, "ha": "center", "va": "center"}
    mark = {"color": RUNGS["left"], "alpha": 0.25, "size": 26, "weight": "bold"}
    figure.text(0.5, 0.5, "QUICK: plumbing, not science", place | mark)


def render(figure: Figure, kind: str) -> bytes:
    """The figure as the bytes of a file; the same figure gives the same bytes."""
    stream = io.BytesIO()
    metadata = {"CreationDate": None} if kind == "pdf" else {"Software": None}
    figure.savefig(stream, format=kind, dpi=200, metadata=metadata)
    return stream.getvalue()
