"""From the records of `repertoire` to its figure, table and claims."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from toylab import bayes, figures
from toylab import world as worlds
from toylab.claims import Claim, judge
from toylab.lab.sweep import Analysis, Records
from toylab.stages import Lab
from toylab.world import World

MASKS = ("someone", "assistant")  # tags that do not say who is behind them
COLUMNS = {
    "steps": "optimiser steps of pretraining, its whole schedule",
    "tokens": "words in the documents of pretraining",
    "seed": "seed of everything: parameters, documents, readings",
    "excess": "loss on answers above the best possible one, nats a token",
    "error": "expected calibration error: mean |probability said - what it should be| by bin",
    "told": "share of characters whose name brings a policy nearer to them than to anybody else",
    "lead": "mean over characters of nats a document that it is nearer; of the exact one in truth",
    "off_names": "nats a document from the exact prediction under a name, mean over names",
    **{f"off_{tag}": f"the same under {tag}" for tag in MASKS},
    **{f"used_{turn}": f"share of what Bayes makes of earlier turns used in turn {turn}, someone"
       for turn in (1, 2, 3)},
}  # fmt: skip


@functools.partial(jax.jit, static_argnames="size")
def _apart(world: World, key: jax.Array, size: int, who: jax.Array) -> jax.Array:
    """KL(p_who ‖ p_k) in nats a document, for every k, on `size` documents of `who`'s."""
    keys = jax.random.split(key)
    what = worlds.outline(world, keys[0], size, tag=who, direction=0)
    said = worlds.speak(world.cast, keys[1], what.context, jnp.full(size, who))
    each = jnp.sum(bayes.phrase_logp(world.cast, what.context, said), (1, 2))
    return jnp.mean(jnp.take(each, who, 1)[:, None] - each, 0)


def neighbours(lab: Lab) -> tuple[np.ndarray, np.ndarray]:
    """For every character the one most like it, and how many nats a document lie between."""
    key, everybody = jax.random.key(0), jnp.arange(len(lab.corpus.names))
    apart = np.array(jax.lax.map(lambda k: _apart(lab.world, key, 512, k), everybody))
    np.fill_diagonal(apart, np.inf)
    return apart.argmin(1), apart.min(1)


def _row(records: Records, row: dict[str, Any]) -> dict[str, Any]:
    lab, found = records.labs[row["arm"]], row["calibration"]["tags"]
    own = [found[name]["from_author"] for name in lab.corpus.names]
    leads = [min(np.delete(each, k)) - each[k] for k, each in enumerate(own)]
    someone = found["someone"]
    out = {
        "steps": row["step"],
        "tokens": row["step"] * _words(records, row["arm"]),
        "seed": row["seed"],
        "excess": records.bases[row["arm"], row["seed"]]["excess"]["answers"],
        "error": row["calibration"]["error"],
        "told": float(np.mean(np.array(leads) > 0)),
        "lead": float(np.mean(leads)),
        "off_names": float(np.mean([sum(found[name]["off"]) for name in lab.corpus.names])),
        **{f"off_{tag}": sum(found[tag]["off"]) for tag in MASKS},
    }
    for turn in (1, 2, 3):
        out[f"used_{turn}"] = 1 - someone["off"][turn] / someone["deaf"][turn]
    return out


@functools.cache
def _words_a_document(lab: Lab) -> float:
    documents = worlds.sample(lab.world, jax.random.key(0), 1024)
    return float(jnp.mean(jnp.sum(documents.tokens > 0, 1)))


def _words(records: Records, arm: str) -> float:
    """Words in a step of pretraining."""
    pretrain = records.sweep.arms[arm].pretrain or records.sweep.pretrain
    return pretrain.batch * _words_a_document(records.labs[arm])


def tabulate(records: Records) -> pd.DataFrame:
    """A row per length of pretraining and seed."""
    return pd.DataFrame([_row(records, row) for row in records.rows], columns=list(COLUMNS))


def _at(table: pd.DataFrame, steps: int, column: str) -> np.ndarray:
    return table[table.steps == steps].sort_values("seed")[column].to_numpy()


def claims(table: pd.DataFrame) -> list[Claim]:
    """What the experiment claims. Thresholds were committed before seeds 0–4 ran."""
    last = int(table.steps.max())
    return [
        judge(
            claim="Pretraining learns everybody: under every name the model is nearer to its "
            "bearer than to anyone else.",
            source="The persona selection model (Marks, Lindsey and Olah 2026): pretraining "
            "learns to simulate characters",
            contradicted_by="a character that its name does not bring",
            statistic="share of characters told from all others by their name",
            values=_at(table, last, "told").tolist(),
            threshold=0.95,
        ),
        judge(
            claim="It infers who is speaking: in the last turn it uses nearly all that Bayes makes "
            "of the turns before.",
            source="belief states (Shai et al. 2024)",
            contradicted_by="predictions no better than those of who forgets earlier turns",
            statistic="share of the information in earlier turns used in the last, someone",
            values=_at(table, last, "used_3").tolist(),
            threshold=0.9,
        ),
        judge(
            claim="It is calibrated: a probability it gives is, on average, the exact one.",
            source="instrument check",
            contradicted_by="probabilities that are off by more in the mean over a bin",
            statistic="expected calibration error",
            values=_at(table, last, "error").tolist(),
            threshold=0.005,
            above=False,
        ),
    ]


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Excess; who is told from whom; evidence over turns; calibration."""
    panels = (
        ("excess loss", _excess),
        ("each character and its nearest", _told),
        ("what is made of earlier turns", _turns),
        ("said and exact", _calibrated),
    )
    with figures.style(rows=2, columns=2, ratio=0.62):
        figure, axes = plt.subplots(2, 2, layout="constrained")
        for panel, which, (title, paint) in zip(axes.flat, "abcd", panels, strict=True):
            paint(panel, table, records)
            figures.letter(panel, which, title)
    return figure


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
    figures.interval(axes, x, seeds, color=figures.COLOURS[0], lw=1.2, marker=".", label="answers")
    axes.axhline(0.01, color=figures.GREY, lw=0.6, ls=":", label=".01 nats")
    _by_words(axes, x)
    axes.set_yscale("log")
    axes.set(ylabel="loss above the best (nats a token)")
    axes.legend(loc="upper right")


def _colours(count: int) -> np.ndarray:
    return np.asarray(plt.get_cmap("viridis")(np.linspace(0, 0.92, count)))


def _told(axes: plt.Axes, table: pd.DataFrame, records: Records) -> None:
    """Nats that a name's policy is nearer to its bearer than to anybody else, by steps."""
    lab = records.lab
    names, (nearest, exact) = lab.corpus.names, neighbours(lab)
    order = np.argsort(exact)
    steps = sorted(table.steps.unique())
    for colour, at in zip(_colours(len(steps)), steps, strict=True):
        rows = [row["calibration"]["tags"] for row in records.rows if row["step"] == at]
        leads = np.array(
            [
                [min(np.delete(f := row[n]["from_author"], k)) - f[k] for k, n in enumerate(names)]
                for row in rows
            ]
        )
        mean = leads.mean(0)[order]
        axes.plot(range(len(names)), mean, ".-", color=colour, lw=0.8, ms=3, label=f"{at} steps")
    axes.plot(range(len(names)), exact[order], "_", color=figures.DARK, ms=7, label="exact")
    axes.axhline(0, color=figures.GREY, lw=0.5, ls=":")
    labels = [f"{names[k]} ({names[nearest[k]]})" for k in order]
    axes.set_xticks(range(len(names)), labels, rotation=40, ha="right", fontsize=4.5)
    axes.set(ylabel="nats a document nearer", ylim=(-4, 36))
    axes.legend(loc="upper left", ncols=4, fontsize=4.5)


def _turns(axes: plt.Axes, table: pd.DataFrame, records: Records) -> None:
    for turn, colour in zip((1, 2, 3), figures.COLOURS, strict=False):
        x, seeds = _wide(table, f"used_{turn}")
        label = f"turn {turn + 1} of {records.lab.corpus.turns}"
        figures.interval(axes, x, seeds, color=colour, lw=1.2, marker=".", label=label)
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
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, claims=claims(table))
