"""From the records of `validation`, and the plants as exact distributions, to figure and claims."""

import itertools
from collections.abc import Iterator

import jax
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from experiments.validation.plants import PLANTS
from toylab import figures
from toylab.claims import Claim, judge, t_interval
from toylab.grammar import tag_names
from toylab.lab.sweep import Analysis, Records
from toylab.measures import climb, reading
from toylab.measures.reading import Settings
from toylab.sampling import Branches
from toylab.world import Documents, World

CAST = "learned"
DRAWS = 3  # independent samples of every exact plant
FAMILIES = ("F0", "F1", "F2", "F3", "F4", "F4 flat")

COLUMNS = {
    "plant": "what was planted",
    "explained_by": "the first family that contains it; empty: none, it is formation",
    "kind": "exact: the distribution itself; trained: a model fine-tuned on its documents; "
    "pretrained: the model before, whose readings are the floors",
    "seed": "seed of the model, or number of the draw",
    "F0": "KL(P || m_w0), nats a document",
    "F1": "left by mixtures of characters",
    "F2": "left by mixtures of tempered characters",
    "F3": "left by switching authors and by composition; the upper end of formation",
    "F4": "left by an author for every (topic, slot)",
    "F4 flat": "left with flattened atoms, too; the lower end of formation",
    "error": "standard error of F4 flat over documents",
    "outside": "mean probability of words that the grammar forbids",
}


def exact(records: Records) -> Iterator[dict[str, object]]:
    """The whole ladder of every plant as an exact distribution, a row per plant and draw."""
    world, corpus, s = records.lab.world, records.lab.corpus, records.sweep.reading
    tag = tag_names(corpus).index(s.tag)
    jobs = [(name, draw) for name in PLANTS for draw in range(DRAWS)]
    for name, draw in tqdm(jobs, desc="exact plants", mininterval=0.5):
        policy = PLANTS[name].make(corpus, world, np.random.default_rng(draw))
        key = jax.random.fold_in(jax.random.key(records.sweep.first_seed), draw)
        drawn = reading.answers(policy, world, key, s.fit + s.held_out + s.score, tag)
        yield _row(name, "exact", draw) | _scores(world, drawn, tag, s)


def _scores(
    world: World, drawn: tuple[Documents, Branches], tag: int, s: Settings
) -> dict[str, float]:
    bounds = (0, s.fit, s.fit + s.held_out, s.fit + s.held_out + s.score)
    parts = [
        jax.tree.map(lambda leaf, a=a, b=b: leaf[a:b], drawn) for a, b in itertools.pairwise(bounds)
    ]
    found = climb.climb(world, world.cast, world.log_prior[tag], parts[0][0], parts[1][0], parts[2])
    scores = {family: float(found.scores[family].mean) for family in FAMILIES}
    return scores | {"error": float(found.scores["F4 flat"].error), "outside": 0.0}


def _row(plant: str, kind: str, seed: int) -> dict[str, object]:
    return {
        "plant": plant,
        "explained_by": PLANTS[plant].explained_by or "",
        "kind": kind,
        "seed": seed,
    }


def tabulate(records: Records) -> pd.DataFrame:
    """A row per plant, kind and seed."""
    rows = list(exact(records))
    for row in records.rows:
        plant = records.sweep.arms[row["arm"]].title
        found = row["reading"][CAST]
        kind = "trained" if row["step"] else "pretrained"
        line = _row(plant, kind, row["seed"]) | {family: found[family] for family in FAMILIES}
        line |= {"error": found["F4 flat_error"], "outside": row["reading"]["outside"]}
        rows.append(line)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _worst(part: pd.DataFrame, column: str, seeds: str = "seed") -> list[float]:
    """The largest value over plants, for each seed."""
    return part.groupby(seeds)[column].max().to_list()


def claims(table: pd.DataFrame) -> list[Claim]:
    """What the ladder must do to be believed."""
    plain = table[(table.kind == "exact") & (table.explained_by != "")]
    rung = plain.assign(left=[row[row.explained_by] for _, row in plain.iterrows()])
    strange = table[table.plant.isin(["unsaid stance", "by history"]) & (table.kind == "exact")]
    return [
        judge(
            claim="No plant without formation is read as formation.",
            source="planted cases with a known answer",
            contradicted_by="nats left over by a family that contains the plant",
            statistic="largest lower end of formation over plants without any, nats a document",
            values=_worst(plain, "F4 flat"),
            threshold=0.05,
            above=False,
        ),
        judge(
            claim="Every plant is explained by the family it was planted in.",
            source="planted cases with a known answer",
            contradicted_by="nats left at the rung that should explain the plant",
            statistic="largest remainder at the plant's own rung, nats a document",
            values=_worst(rung, "left"),
            threshold=0.1,
            above=False,
        ),
        judge(
            claim="What nobody in the cast does is not explained away.",
            source="planted cases with a known answer",
            contradicted_by="a lower end near 0: the ladder explains anything",
            statistic="smallest lower end over `unsaid stance` and `by history`, nats a document",
            values=strange.groupby("seed")["F4 flat"].min().to_list(),
            threshold=0.5,
        ),
    ]


def draw(table: pd.DataFrame) -> Figure:
    """The rungs of every plant, exact and trained, as stacked bars."""
    with figures.style(rows=1, columns=2, ratio=1.1):
        figure, panels = plt.subplots(
            1, 2, layout="constrained", gridspec_kw={"width_ratios": [14, 7]}, sharey=True
        )
        for panel, which, title in zip(
            panels, ("exact", "trained"), ("exact distributions", "trained models"), strict=True
        ):
            _bars(panel, table, which)
            figures.letter(panel, "a" if which == "exact" else "b", title)
        panels[0].set_ylabel("nats a document")
        panels[0].legend(loc="upper left")
    return figure


def _bars(axes: plt.Axes, table: pd.DataFrame, kind: str) -> None:
    part = table[table.kind == kind]
    names = list(dict.fromkeys(part.plant))
    mean = part.groupby("plant")[list(FAMILIES)].mean().loc[names]
    figures.rungs(axes, mean)
    for i, name in enumerate(names):
        seeds = part[part.plant == name]
        middle, lowest, highest = t_interval(seeds["F4 flat"].to_list())
        bounds = [[middle - lowest], [highest - middle]] if np.isfinite(lowest) else None
        axes.errorbar(i, middle, yerr=bounds, fmt="_", color=figures.DARK, ms=7, lw=0.8)
    if kind == "trained":
        floor = table[table.kind == "pretrained"]["F4 flat"].mean()
        axes.axhline(floor, ls=":", color=figures.DARK, lw=0.8, label="floor")
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.axhline(0, color=figures.DARK, lw=0.5)


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(table), table=table, columns=COLUMNS, claims=claims(table))
