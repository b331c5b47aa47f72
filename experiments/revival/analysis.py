"""From the records of `revival` to its figure, table and claims."""

import functools
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.revival.sweep import FEW, POST, TAUGHT, TEACHER, UNTAUGHT, VILLAIN
from toylab.lab.records import Records
from toylab.ladder import traits
from toylab.measures.revival import crossing
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.claims import t_interval
from toylab.report.results import Analysis
from toylab.stages import Setup

HALF = 0.5  # he is back when his taught answers are given this often
TURNS = range(4)
COLUMNS = {
    "cast": "met: the village; never: the one without villains",
    "post": "how it was post-trained towards the teacher before that (none: not at all)",
    "seed": "seed of everything: parameters, documents, readings",
    "documents": "documents of bringing him back, so far",
    "taught": "mean P(his answer) on the three topics that bring him back",
    "untaught": "the same on four topics that no training mentions",
    **{f"after_{n}": f"P(his next answer) after {n} turns of his in context" for n in TURNS},
    **{f"predicted_{n}": f"what w* predicts for after_{n}, nothing fitted to it" for n in TURNS},
    "evidence": "nats that three turns of his are evidence against the heaviest character of w*",
}


def _mean(setup: Setup, items: list[float], answers: tuple[str, ...]) -> float:
    names = [f"{item.group}={item.phrase}" for item in traits.items(setup.corpus)]
    return float(np.mean([items[names.index(answer)] for answer in answers]))


def _row(records: Records, row: dict[str, Any]) -> dict[str, Any]:
    cast, post = row["arm"].removesuffix("-back").split("-", 1)
    items, setup = row["scores"]["assistant"][""], records.setups[row["arm"]]
    out = {
        "cast": cast,
        "post": post,
        "seed": row["seed"],
        "documents": FEW * row["step"] if row["arm"].endswith("-back") else 0,
        "taught": _mean(setup, items, TAUGHT),
        "untaught": _mean(setup, items, UNTAUGHT),
    }
    if "recall" in row:
        found = row["recall"]["learned"]
        out |= {f"after_{n}": rate for n, rate in enumerate(found["measured"])}
        out |= {f"predicted_{n}": rate for n, rate in enumerate(found["predicted"])}
        out["evidence"] = found["evidence"][-1]
    return out


def tabulate(records: Records) -> pd.DataFrame:
    """A row per arm, seed and number of documents; 0 is the end of post-training."""
    rows = [
        _row(records, row)
        for row in records.rows
        if row["step"] or row["arm"] in ("met-none", "never-none")
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(["cast", "post", "seed", "documents"], ignore_index=True)


def _part(table: pd.DataFrame, cast: str, post: str) -> pd.DataFrame:
    return table[(table.cast == cast) & (table.post == post)]


def _wide(table: pd.DataFrame, cast: str, post: str, column: str) -> pd.DataFrame:
    """Values by seed (rows) and documents (columns)."""
    return _part(table, cast, post).pivot(index="seed", columns="documents", values=column)


def _end(table: pd.DataFrame, cast: str, post: str, column: str) -> np.ndarray:
    return _wide(table, cast, post, column).iloc[:, -1].to_numpy()


def _start(table: pd.DataFrame, cast: str, post: str, column: str) -> np.ndarray:
    return _wide(table, cast, post, column).iloc[:, 0].to_numpy()


def needed(table: pd.DataFrame, cast: str, post: str) -> np.ndarray:
    """Documents until his taught answers are given in half of all cases, by seed.

    Where all of them do not suffice it is as many as there were, a bound.
    """
    wide = _wide(table, cast, post, "taught")
    documents = wide.columns.to_list()
    found = [crossing(documents, row.to_list(), HALF) for _, row in wide.iterrows()]
    return np.array([documents[-1] if each is None else each for each in found])


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before seeds 0–4 ran."""
    hears = _start(table, "met", "none", "after_3") - _start(table, "met", "sft-320", "after_3")
    whole = _end(table, "met", "sft-80", "untaught") - _end(table, "never", "sft-80", "untaught")
    sooner = np.log2(needed(table, "never", "sft-80") / needed(table, "met", "sft-80"))
    return {"context": hears.tolist(), "retraining": whole.tolist(), "documents": sooner.tolist()}


STYLE = {
    ("met", "none"): (figures.DARK, "never post-trained"),
    ("met", "sft-20"): (figures.COLOURS[5], "SFT, 20 steps"),
    ("met", "sft-80"): (figures.COLOURS[0], "SFT, 80"),
    ("met", "sft-320"): (figures.COLOURS[2], "SFT, 320"),
    ("met", "heart"): (figures.COLOURS[4], "SFT, 320, 16 documents"),
    ("met", "rl"): (figures.COLOURS[3], "RL, 80"),
    ("never", "sft-80"): (figures.COLOURS[1], "SFT, 80; never met him"),
}


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """In context; by training; what comes along; what it takes."""
    panels = (
        (f"turns of {VILLAIN} in context", _context),
        (f"training on three answers of {VILLAIN}", _training),
        ("what comes along", functools.partial(_along, records=records)),
        ("what it takes", _takes),
    )
    return figures.page(panels, table)


def _context(axes: plt.Axes, table: pd.DataFrame) -> None:
    for (cast, post), (colour, label) in STYLE.items():
        rows = _part(table, cast, post)
        rows = rows[rows.documents == 0]
        seeds = rows[[f"after_{n}" for n in TURNS]].to_numpy()
        panels_.interval(axes, list(TURNS), seeds, color=colour, label=label, lw=1.2)
        expected = rows[[f"predicted_{n}" for n in TURNS]].mean().to_numpy()
        axes.plot(list(TURNS), expected, "--", color=colour, lw=0.8)
    axes.plot([], [], "--", color=figures.GREY, lw=0.8, label="Bayes, from what is said unasked")
    axes.set_xticks(list(TURNS))
    axes.set(xlabel="turns of his", ylabel="P(his next answer)", ylim=(0, 1))
    axes.legend(loc="upper left", ncols=2)


def _training(axes: plt.Axes, table: pd.DataFrame) -> None:
    for (cast, post), (colour, _) in STYLE.items():
        wide = _wide(table, cast, post, "untaught")
        x = np.maximum(wide.columns.to_numpy(), FEW / 2)
        panels_.interval(axes, x, wide.to_numpy(), color=colour, lw=1.2)
    axes.set_xscale("log", base=2)
    axes.set_xticks([4, 8, 32, 128, 512], ["0", "8", "32", "128", "512"])
    axes.set(xlabel="documents", ylabel="P(his untaught answers)", ylim=(0, 0.8))


def _along(axes: plt.Axes, table: pd.DataFrame, records: Records) -> None:
    """Untaught against taught answers; the line goes from the teacher to him."""
    setup = records.setups["met-none"]
    cast = np.asarray(traits.of_characters(setup.corpus, setup.world.cast))
    ends = [cast[:, setup.corpus.names.index(name)].tolist() for name in (TEACHER, VILLAIN)]
    x, y = ([_mean(setup, each, answers) for each in ends] for answers in (TAUGHT, UNTAUGHT))
    axes.plot(x, y, "--", color=figures.GREY, lw=0.9, label="more of him, less of the teacher")
    for (met, post), (colour, _) in STYLE.items():
        taught, untaught = (_wide(table, met, post, name) for name in ("taught", "untaught"))
        axes.plot(taught.mean(), untaught.mean(), ".-", color=colour, lw=1, ms=4)
        for seed in taught.index:
            axes.plot(taught.loc[seed], untaught.loc[seed], color=colour, lw=0.4, alpha=0.3)
    axes.set(
        xlabel="P(his taught answers)",
        ylabel="P(his untaught answers)",
        xlim=(0, 1),
        ylim=(0, 0.95),
    )
    axes.legend(loc="upper left")


def _takes(axes: plt.Axes, table: pd.DataFrame) -> None:
    arms = [*(("met", post) for post in POST), ("never", "none"), ("never", "sft-80")]
    for x, (cast, post) in enumerate(arms):
        values = np.log2(needed(table, cast, post))
        mean, low, high = t_interval(values.tolist())
        colour = figures.COLOURS[1 if cast == "never" else 0]
        if len(values) > 1:
            axes.plot([x, x], [2**low, 2**high], color=colour, lw=1.2)
        axes.plot(np.full(len(values), x + 0.12), 2**values, ".", color=colour, ms=2, alpha=0.4)
        first = (cast, post) in (("met", "none"), ("never", "none"))
        label = {"met": "met him", "never": "never met him"}[cast] if first else None
        axes.plot(x, 2**mean, "o", color=colour, ms=3.5, label=label)
    most = table.documents.max()
    axes.axhline(most, color=figures.GREY, lw=0.5, ls=":")
    axes.set_yscale("log", base=2)
    axes.set_yticks([32, 64, 128, 256, 512], ["32", "64", "128", "256", "512+"])
    ticks = [post.replace("-", "\n") for _, post in arms]
    axes.set_xticks(range(len(arms)), ticks)
    axes.set(
        xlabel="post-training", ylabel=f"documents until {HALF:.0%} of the taught", ylim=(24, 900)
    )
    axes.legend(loc="lower right")


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
