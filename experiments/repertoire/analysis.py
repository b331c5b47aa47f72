"""From the records of `repertoire` to its figure, table and claims."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from toylab.lab.records import Records
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.results import Analysis
from toylab.stages import Setup
from toylab.world import documents as docs

MASKS = ("someone", "assistant")  # tags that do not say who is behind them
COLUMNS = {
    "steps": "optimiser steps of pretraining, its whole schedule",
    "tokens": "words in the documents of pretraining",
    "seed": "seed of everything: parameters, documents, readings",
    "excess": "loss on answers above the best possible one, nats a token",
    "error": "expected calibration error: mean |probability said - what it should be| by bin",
    "effect": "of how much farther the first turn should be from a name's bearer under the name of "
    "who is most like it, the share that it is; mean over characters",
    "least": "the same of the character whose name has the least",
    "off_names": "nats a document from the exact prediction under a name, mean over names",
    **{f"off_{tag}": f"the same under {tag}" for tag in MASKS},
    **{f"used_{turn}": f"share of what Bayes makes of earlier turns used in turn {turn}, someone"
       for turn in (1, 2, 3)},
}  # fmt: skip


def effects(found: dict[str, Any]) -> np.ndarray:
    """Effect [K] of each name against the name of the character most like its bearer.

    1 is exact, 0 a model that takes no heed of names, whatever it infers from what was said.
    """
    called, apart = np.array(found["called"]), np.array(found["apart"])
    own, nearest = np.arange(len(apart)), _nearest(apart)
    return np.asarray((called[own, nearest] - called[own, own]) / apart[own, nearest])


def _nearest(apart: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(np.eye(len(apart), dtype=bool), np.inf, apart).argmin(1))


def _row(records: Records, row: dict[str, Any]) -> dict[str, Any]:
    setup, found = records.setups[row["arm"]], row["calibration"]["tags"]
    effect = effects(row["calibration"])
    someone = found["someone"]
    out = {
        "steps": row["step"],
        "tokens": row["step"] * _words(records, row["arm"]),
        "seed": row["seed"],
        "excess": records.bases[row["arm"], row["seed"]]["excess"]["answers"],
        "error": row["calibration"]["error"],
        "effect": float(np.mean(effect)),
        "least": float(np.min(effect)),
        "off_names": float(np.mean([sum(found[name]["off"]) for name in setup.corpus.names])),
        **{f"off_{tag}": sum(found[tag]["off"]) for tag in MASKS},
    }
    for turn in (1, 2, 3):
        out[f"used_{turn}"] = 1 - someone["off"][turn] / someone["deaf"][turn]
    return out


@functools.cache
def _words_a_document(setup: Setup) -> float:
    documents = docs.sample(setup.world, jax.random.key(0), 1024)
    return float(jnp.mean(jnp.sum(documents.tokens > 0, 1)))


def _words(records: Records, arm: str) -> float:
    """Words in a step of pretraining."""
    pretrain = records.sweep.arms[arm].pretrain or records.sweep.pretrain
    return pretrain.batch * _words_a_document(records.setups[arm])


def tabulate(records: Records) -> pd.DataFrame:
    """A row per length of pretraining and seed. (With --quick several arms are as short.)"""
    table = pd.DataFrame([_row(records, row) for row in records.rows], columns=list(COLUMNS))
    return table.drop_duplicates(["steps", "seed"], ignore_index=True)


def _at(table: pd.DataFrame, steps: int, column: str) -> np.ndarray:
    return table[table.steps == steps].sort_values("seed")[column].to_numpy()


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before seeds 0–4 ran."""
    last = int(table.steps.max())
    return {
        "names": _at(table, last, "least").tolist(),
        "turns": _at(table, last, "used_3").tolist(),
    }


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Excess; who is told from whom; evidence over turns; calibration."""
    panels = (
        ("excess loss", _excess),
        ("each name (and who is most like its bearer)", _told),
        ("what is made of earlier turns", _turns),
        ("said and exact", _calibrated),
    )
    return figures.page(panels, table, records)


def _wide(table: pd.DataFrame, column: str) -> tuple[list[float], np.ndarray]:
    """Tokens, and values by seed (rows) and tokens (columns)."""
    grid = table.pivot(index="seed", columns="tokens", values=column)
    return grid.columns.to_list(), grid.to_numpy()


def _by_words(axes: plt.Axes, words: list[float]) -> None:
    """A logarithmic axis with a tick for each length of pretraining."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(words, [f"{each / 1e6:.2g}" for each in words])
    axes.set_xlabel("words of pretraining (millions)")


def _excess(axes: plt.Axes, table: pd.DataFrame, records: Records) -> None:
    x, seeds = _wide(table, "excess")
    panels_.interval(axes, x, seeds, color=figures.COLOURS[0], lw=1.2, marker=".", label="answers")
    axes.axhline(0.01, color=figures.GREY, lw=0.6, ls=":", label=".01 nats")
    _by_words(axes, x)
    axes.set_yscale("log")
    axes.set(ylabel="loss above the best (nats a token)")
    axes.legend(loc="upper right")


def _colours(count: int) -> np.ndarray:
    return np.asarray(plt.get_cmap("viridis")(np.linspace(0, 0.92, count)))


def _told(axes: plt.Axes, table: pd.DataFrame, records: Records) -> None:
    """The effect of every name, by steps, those with the nearest likeness first."""
    names = records.setup.corpus.names
    apart = np.mean([row["calibration"]["apart"] for row in records.rows], 0)
    nearest = _nearest(apart)
    order = np.argsort(apart[np.arange(len(names)), nearest])
    steps = sorted(table.steps.unique())
    for colour, at in zip(_colours(len(steps)), steps, strict=True):
        rows = [effects(row["calibration"]) for row in records.rows if row["step"] == at]
        mean = np.mean(rows, 0)[order]
        axes.plot(range(len(names)), mean, ".-", color=colour, lw=0.8, ms=3, label=f"{at} steps")
    axes.axhline(1, color=figures.DARK, lw=0.9, label="exact")
    axes.axhline(0, color=figures.GREY, lw=0.6, ls=":", label="no heed of names")
    labels = [f"{names[k]} ({names[nearest[k]]})" for k in order]
    axes.set_xticks(range(len(names)), labels, rotation=40, ha="right", fontsize=4.5)
    axes.set(ylabel="effect of the name", ylim=(-0.1, 1.75), yticks=(0, 0.5, 1))
    axes.legend(loc="upper left", ncols=4, fontsize=4.5)


def _turns(axes: plt.Axes, table: pd.DataFrame, records: Records) -> None:
    for turn, colour in zip((1, 2, 3), figures.COLOURS, strict=False):
        x, seeds = _wide(table, f"used_{turn}")
        label = f"turn {turn + 1} of {records.setup.corpus.turns}"
        panels_.interval(axes, x, seeds, color=colour, lw=1.2, marker=".", label=label)
    axes.axhline(1, color=figures.DARK, lw=0.9, label="Bayes")
    axes.axhline(0, color=figures.GREY, lw=0.6, ls=":", label="who forgets earlier turns")
    _by_words(axes, x)
    axes.set(ylabel="share of the information used", ylim=(-0.6, 1.15))
    axes.legend(loc="lower right")


def _calibrated(axes: plt.Axes, table: pd.DataFrame, records: Records) -> None:
    axes.plot([0, 1], [0, 1], color=figures.DARK, lw=0.9, label="calibrated")
    steps = sorted(table.steps.unique())
    for colour, at in zip(_colours(len(steps)), steps, strict=True):
        rows = [row["calibration"]["tags"] for row in records.rows if row["step"] == at]
        sums = {
            name: np.array([[tag[name] for tag in row.values()] for row in rows]).sum((0, 1))
            for name in ("branches", "said", "exact")
        }
        some = sums["branches"] > 0
        said, exact = (sums[name][some] / sums["branches"][some] for name in ("said", "exact"))
        axes.plot(said, exact, ".-", color=colour, lw=0.8, ms=3, label=f"{at} steps")
    axes.set(xlabel="probability the model gives", ylabel="what it should be (mean)")
    axes.legend(loc="upper left")


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
