import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from toylab.lab.records import Record, Records
from toylab.report import panels
from toylab.report.figures import DARK, GREY, Axes, Figure, page, panel
from toylab.stages import Setup
from toylab.world import documents as docs

MASKS = ("someone", "assistant")  # tags that do not name their author
TURNS = (1, 2, 3)  # those after the first
COLUMNS = {
    "steps": "optimiser steps of pretraining, its whole schedule",
    "tokens": "words in the documents of pretraining",
    "seed": "seed of everything: parameters, documents, readings",
    "excess": "loss on answers above the best possible one, nats per token",
    "error": "expected calibration error: mean |probability given - what it should be| by bin",
    "effect": "KL of the first turn from a name's bearer, added by using the name of the character "
    "most like it instead; as a share of the exact value, mean over characters",
    "least": "the same for the name with the least effect",
    "off_names": "nats per document from the exact prediction under a name, mean over names",
    **{f"off_{tag}": f"the same under {tag}" for tag in MASKS},
    **{f"used_{turn}": f"share of the information in earlier turns used in turn {turn}, someone"
       for turn in TURNS},
}  # fmt: skip
NAMES = {
    "steps": COLUMNS["steps"],
    "seed": COLUMNS["seed"],
    "name": "of a character",
    "like": "the character most like it",
    "apart": "nats between the two over a first turn, mean over models; KL, so not symmetric",
    "effect": "KL of the first turn from the name's bearer, added by using the name of that "
    "character instead; as a share of the exact value",
}
BINS = {
    "steps": COLUMNS["steps"],
    "seed": COLUMNS["seed"],
    "bin": "of the probability that the model gives to a word that may come next",
    "branches": "how many such words, under all tags of pretraining",
    "said": "sum of the probabilities that the model gives them",
    "exact": "sum of what they should be",
}


def effects(found: Mapping) -> np.ndarray:
    """Effect [K] of each name, against the name of the character most like its bearer.

    1 is exact; 0 is a model that ignores names, whatever it infers from what was said.
    """
    called, apart = np.array(found["called"]), np.array(found["apart"])
    own, nearest = np.arange(len(apart)), _nearest(apart)
    return (called[own, nearest] - called[own, own]) / apart[own, nearest]


def _nearest(apart: np.ndarray) -> np.ndarray:
    return np.where(np.eye(len(apart), dtype=bool), np.inf, apart).argmin(1)


@functools.cache
def _words_per_document(setup: Setup) -> float:
    documents = docs.sample(setup.world, jax.random.key(0), 1024)
    return float(jnp.mean(jnp.sum(documents.tokens > 0, 1)))


def tabulate(records: Records) -> pd.DataFrame:
    """A row per length of pretraining and seed. (With --quick several arms are equally short.)"""

    def read(record: Record) -> dict:
        pretrain = records.sweep.arms[record.arm].pretrain or records.sweep.pretrain
        found, effect = record.found["calibration"], effects(record.found["calibration"])
        off = {tag: sum(each["off"]) for tag, each in found["tags"].items()}
        someone = found["tags"]["someone"]
        return {
            "steps": record.step,
            "tokens": record.step * (pretrain.batch * _words_per_document(record.setup)),
            "excess": record.base["excess"]["answers"],
            "error": found["error"],
            "effect": np.mean(effect),
            "least": np.min(effect),
            "off_names": np.mean([off[name] for name in record.setup.corpus.names]),
            **{f"off_{tag}": off[tag] for tag in MASKS},
            **{f"used_{t}": 1 - someone["off"][t] / someone["deaf"][t] for t in TURNS},
        }

    return records.table(COLUMNS, read).drop_duplicates(["steps", "seed"], ignore_index=True)


def _models(records: Records) -> dict[tuple[int, int], Mapping]:
    """The reading of each model, by steps and seed. (With --quick arms share models.)"""
    return {(row["step"], row["seed"]): row["calibration"] for row in records.rows}


def named(records: Records) -> pd.DataFrame:
    """The effect of every name in every model; the most similar pairs come first."""
    names, models, rows = records.setup.corpus.names, _models(records), []
    apart = np.mean([found["apart"] for found in models.values()], 0)
    nearest = _nearest(apart)
    least = apart[np.arange(len(names)), nearest]
    for run, found in models.items():
        effect = effects(found)
        rows += [(*run, names[k], names[nearest[k]], least[k], effect[k]) for k in least.argsort()]
    return pd.DataFrame(rows, columns=list(NAMES))


def binned(records: Records) -> pd.DataFrame:
    """Calibration of each model: exact probabilities by the probability that it gives."""
    rows = []
    for run, found in _models(records).items():
        tags = found["tags"].values()
        sums = [np.sum([tag[name] for tag in tags], 0) for name in ("branches", "said", "exact")]
        rows += [(*run, place, *each) for place, each in enumerate(zip(*sums, strict=True))]
    return pd.DataFrame(rows, columns=list(BINS))


OTHER_TABLES = {"names": (named, NAMES), "bins": (binned, BINS)}


def draw(table: pd.DataFrame, names: pd.DataFrame, bins: pd.DataFrame) -> Figure:
    used = [(f"used_{turn}", f"turn {turn + 1} of {len(TURNS) + 1}") for turn in TURNS]
    loss = {"ylabel": "loss above the best (nats per token)", "yscale": "log"}
    effect = {"ylabel": "effect of the name", "ylim": (-0.1, 1.75), "yticks": (0, 0.5, 1)}
    share = {
        "ylabel": "share of the information used",
        "ylim": (-0.6, 1.15),
        "legend": "lower right",
    }
    given = {"xlabel": "probability the model gives", "ylabel": "what it should be (mean)"}
    loss |= {"levels": [(0.01, "0.01 nats")], "legend": "upper right"}
    effect |= {"levels": [(1, "exact", "-", DARK), (0, "no heed of names")], "ncols": 4}
    share |= {"levels": [(1, "Bayes", "-", DARK), (0, "earlier turns forgotten")]}
    told = "each name (and the character most like its bearer)"
    shown = (
        panel("excess loss", _by_words, table, ("excess", "answers"), **loss),
        panel(told, _told, names, **effect),
        panel("what is made of earlier turns", _by_words, table, *used, **share),
        panel("given and exact", _calibrated, bins, **given),
    )
    return page(shown)


def _by_words(axes: Axes, table: pd.DataFrame, *named: tuple[str, str]) -> None:
    lines = panels.series(*named, marker=".")
    panels.curves(axes, table, lines, x="tokens", label="words of pretraining (millions)")
    words = sorted(table.tokens.unique())
    axes.set_xscale("log", base=2)
    axes.set_xticks(words, [f"{each / 1e6:.2g}" for each in words])


def _colours(table: pd.DataFrame) -> list[tuple]:
    steps = sorted(table.steps.unique())
    return list(zip(steps, plt.get_cmap("viridis")(np.linspace(0, 0.92, len(steps))), strict=True))


def _told(axes: Axes, names: pd.DataFrame) -> None:
    for at, colour in _colours(names):
        mean = names[names.steps == at].groupby("name", sort=False).effect.mean()
        axes.plot(range(len(mean)), mean, ".", color=colour, ms=4, label=f"{at} steps")
    least = names.groupby(["steps", "name"], sort=False).effect.min()
    for at, colour in _colours(names):
        axes.plot(least[at].to_numpy(), "_", color=colour, ms=3, mew=0.7)
    axes.plot([], [], "_", color=GREY, ms=3, mew=0.7, label="least of the seeds")
    pairs = names.drop_duplicates("name")
    labels = pairs.name + " (" + pairs.like + ")"
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right", fontsize=4.5)


def _calibrated(axes: Axes, bins: pd.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], color=DARK, lw=0.9, label="calibrated")
    for at, colour in _colours(bins):
        sums = bins[bins.steps == at].groupby("bin")[["branches", "said", "exact"]].sum()
        sums = sums[sums.branches > 0]
        said, exact = (sums[name] / sums.branches for name in ("said", "exact"))
        axes.plot(said, exact, ".-", color=colour, lw=0.8, ms=3, label=f"{at} steps")
