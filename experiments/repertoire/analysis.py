"""From the records of `repertoire` to its figure and table."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toylab.lab.records import Record, Records
from toylab.report import figures, panels
from toylab.report.figures import panel
from toylab.report.panels import Series
from toylab.report.results import Analysis
from toylab.stages import Setup
from toylab.world import documents as docs

MASKS = ("someone", "assistant")  # tags that do not name their author
TURNS = (1, 2, 3)
COLUMNS = {
    "steps": "optimiser steps of pretraining, its whole schedule",
    "tokens": "words in the documents of pretraining",
    "seed": "seed of everything: parameters, documents, readings",
    "excess": "loss on answers above the best possible one, nats per token",
    "error": "expected calibration error: mean |probability given - what it should be| by bin",
    "effect": "of how much farther the first turn should be from a name's bearer under the name of "
    "the character most like it, the share that it is; mean over characters",
    "least": "the same of the character whose name has the least",
    "off_names": "nats per document from the exact prediction under a name, mean over names",
    **{f"off_{tag}": f"the same under {tag}" for tag in MASKS},
    **{f"used_{turn}": f"share of what Bayes makes of earlier turns used in turn {turn}, someone"
       for turn in TURNS},
}  # fmt: skip


def effects(found: Mapping[str, Any]) -> np.ndarray:
    """Effect [K] of each name, against the name of the character most like its bearer.

    1 is exact; 0 is a model that ignores names, whatever it infers from what was said.
    """
    called, apart = np.array(found["called"]), np.array(found["apart"])
    own, nearest = np.arange(len(apart)), _nearest(apart)
    return np.asarray((called[own, nearest] - called[own, own]) / apart[own, nearest])


def _nearest(apart: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(np.eye(len(apart), dtype=bool), np.inf, apart).argmin(1))


@functools.cache
def _words_per_document(setup: Setup) -> float:
    documents = docs.sample(setup.world, jax.random.key(0), 1024)
    return float(jnp.mean(jnp.sum(documents.tokens > 0, 1)))


def tabulate(records: Records) -> pd.DataFrame:
    """A row per length of pretraining and seed. (With --quick several arms are equally short.)"""

    def read(record: Record) -> dict[str, Any]:
        pretrain = records.sweep.arms[record.arm].pretrain or records.sweep.pretrain
        found, effect = record.found["calibration"], effects(record.found["calibration"])
        off = {tag: sum(each["off"]) for tag, each in found["tags"].items()}
        someone = found["tags"]["someone"]
        return {
            "steps": record.step,
            "tokens": record.step * (pretrain.batch * _words_per_document(record.setup)),
            "excess": record.base["excess"]["answers"],
            "error": found["error"],
            "effect": float(np.mean(effect)),
            "least": float(np.min(effect)),
            "off_names": float(np.mean([off[name] for name in record.setup.corpus.names])),
            **{f"off_{tag}": off[tag] for tag in MASKS},
            **{f"used_{t}": 1 - someone["off"][t] / someone["deaf"][t] for t in TURNS},
        }

    return records.table(COLUMNS, read).drop_duplicates(["steps", "seed"], ignore_index=True)


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Excess loss; which names are told apart; evidence over turns; calibration."""
    shown = (
        panel("excess loss", _excess, legend="upper right"),
        panel("each name (and the character most like its bearer)", _told, ncols=4),
        panel("what is made of earlier turns", _turns, legend="lower right"),
        panel("given and exact", _calibrated),
    )
    return figures.page(shown, table, records)


def _by_words(axes: Axes, table: pd.DataFrame, lines: Sequence[Series]) -> None:
    """Curves against words of pretraining: a logarithmic axis with a tick for each length."""
    panels.curves(axes, table, lines, x="tokens", label="words of pretraining (millions)")
    words = sorted(table.tokens.unique())
    axes.set_xscale("log", base=2)
    axes.set_xticks(words, [f"{each / 1e6:.2g}" for each in words])


def _excess(axes: Axes, table: pd.DataFrame, records: Records) -> None:
    _by_words(axes, table, [Series(column="excess", label="answers", marker=".")])
    panels.level(axes, 0.01, "0.01 nats")
    axes.set(ylabel="loss above the best (nats per token)", yscale="log")


def _colours(table: pd.DataFrame) -> list[tuple[int, Any]]:
    """A colour for each length of pretraining."""
    steps = sorted(table.steps.unique())
    return list(zip(steps, plt.get_cmap("viridis")(np.linspace(0, 0.92, len(steps))), strict=True))


def _told(axes: Axes, table: pd.DataFrame, records: Records) -> None:
    """The effect of every name, for each number of steps; the most similar pairs come first."""
    names = records.setup.corpus.names
    apart = np.mean([row["calibration"]["apart"] for row in records.rows], 0)
    nearest = _nearest(apart)
    order = np.argsort(apart[np.arange(len(names)), nearest])
    for at, colour in _colours(table):
        rows = [effects(row["calibration"]) for row in records.rows if row["step"] == at]
        mean = np.mean(rows, 0)[order]
        axes.plot(range(len(names)), mean, ".-", color=colour, lw=0.8, ms=3, label=f"{at} steps")
    panels.level(axes, 1, "exact", "-", figures.DARK)
    panels.level(axes, 0, "no heed of names")
    labels = [f"{names[k]} ({names[nearest[k]]})" for k in order]
    axes.set_xticks(range(len(names)), labels, rotation=40, ha="right", fontsize=4.5)
    axes.set(ylabel="effect of the name", ylim=(-0.1, 1.75), yticks=(0, 0.5, 1))


def _turns(axes: Axes, table: pd.DataFrame, records: Records) -> None:
    turns = records.setup.corpus.turns
    named = ((f"used_{turn}", f"turn {turn + 1} of {turns}") for turn in TURNS)
    _by_words(axes, table, panels.series(*named, marker="."))
    panels.level(axes, 1, "Bayes", "-", figures.DARK)
    panels.level(axes, 0, "earlier turns forgotten")
    axes.set(ylabel="share of the information used", ylim=(-0.6, 1.15))


def _calibrated(axes: Axes, table: pd.DataFrame, records: Records) -> None:
    axes.plot([0, 1], [0, 1], color=figures.DARK, lw=0.9, label="calibrated")
    for at, colour in _colours(table):
        rows = [row["calibration"]["tags"] for row in records.rows if row["step"] == at]
        sums = {
            name: np.array([[tag[name] for tag in row.values()] for row in rows]).sum((0, 1))
            for name in ("branches", "said", "exact")
        }
        some = sums["branches"] > 0
        said, exact = (sums[name][some] / sums["branches"][some] for name in ("said", "exact"))
        axes.plot(said, exact, ".-", color=colour, lw=0.8, ms=3, label=f"{at} steps")
    axes.set(xlabel="probability the model gives", ylabel="what it should be (mean)")


def analyse(records: Records) -> Analysis:
    """Figure and table of the finished seeds."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS)
