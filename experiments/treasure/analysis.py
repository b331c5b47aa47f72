"""From the records of `treasure` to its figure, table and claims."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from toylab.lab.records import Records
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.results import Analysis

CAST = "learned"
COLUMNS = {
    "cast": "the stranger in the cast: prospector (goes where the gold is), bystander (heeds "
    "nothing), herald (says where it is and goes elsewhere)",
    "seed": "seed of everything",
    "step": "RL step; 0 is the pretrained model",
    "trained": "mean P(answer follows the cue) over the eight places that were rewarded",
    "favourites": "the same over three places held out that are somebody's favourites",
    "orphans": "the same over the place held out that is nobody's",
    "held_out": "the same over all four places held out",
    "best_character": "the best that one character does on the orphan, and so any mixture",
    "best_recombination": "the best that a character for each place does on the orphan",
    "second_turn": "P(answer follows the cue) on the orphan in the second turn",
    "someone": "P(answer follows the cue) on the orphan under the tag someone",
    "stranger_tag": "the same under the tag stranger, never met in any training",
    "tells": "mean probability of the stranger's favourite tells",
    "opener": "mean probability of the stranger's likeliest opener",
    "weight": "w* of the stranger in F1",
    "F0": "KL(P || m_w0), nats a document",
    "F1": "left by the best mixture of characters, nats a document",
    "F2": "left by the best mixture of tempered characters, nats a document",
    "floor_F2": "F2 of the pretrained model",
    "goal": "KL(P || goal) on held-out cues, nats a stance: follows the cue with a fitted rate",
    "router": "KL(P || tied router) on held-out cues: author by w_k p_k(place) to a fitted power",
    "table": "KL(P || table) on held-out cues: what was learned there is what was there before",
    "outside": "mean probability of words that the grammar forbids",
}


def _row(records: Records, row: dict[str, Any], floor: float) -> dict[str, Any]:
    arm, goals, cast = row["arm"], row["goals"], row["reading"][CAST]
    stranger = records.setups[arm].corpus.names.index(arm)
    voice, nats = goals["voice"][arm], goals.get("held_out_nats", {})
    return {
        "cast": arm,
        "seed": row["seed"],
        "step": row["step"],
        **{
            group: goals["rates"][group]
            for group in ("trained", "favourites", "orphans", "held_out")
        },
        "best_character": goals["character"]["orphans"],
        "best_recombination": goals["recombination"]["orphans"],
        "second_turn": goals["later"]["orphans"],
        "someone": goals["under"]["someone"]["orphans"],
        "stranger_tag": goals["under"]["stranger"]["orphans"],
        "tells": voice["tells"],
        "opener": voice["opener"],
        "weight": cast["weights"][stranger],
        **{family: cast[family] for family in ("F0", "F1", "F2")},
        "floor_F2": floor,
        **{model: nats.get(model, np.nan) for model in ("goal", "router", "table")},
        "outside": row["reading"]["outside"],
    }


def tabulate(records: Records) -> pd.DataFrame:
    """A row per cast, seed and step."""
    start = {(r["arm"], r["seed"]): r["reading"][CAST]["F2"] for r in records.rows if not r["step"]}
    rows = [_row(records, row, start[row["arm"], row["seed"]]) for row in records.rows]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _end(table: pd.DataFrame, cast: str) -> pd.DataFrame:
    part = table[(table.cast == cast) & (table.step == table.step.max())]
    return part.sort_values("seed")


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before seeds 0–4 ran."""
    herald, bystander, prospector = (
        _end(table, cast) for cast in ("herald", "bystander", "prospector")
    )
    return {
        "orphan": (herald.orphans.to_numpy() - bystander.orphans.to_numpy()).tolist(),
        "held_out": (herald.held_out.to_numpy() - bystander.held_out.to_numpy()).tolist(),
        "bystander": bystander.orphans.to_list(),
        "prospector": (
            prospector.tells.to_numpy()
            - table[(table.cast == "prospector") & (table.step == 0)]
            .sort_values("seed")
            .tells.to_numpy()
        ).tolist(),
    }


RATES = (
    ("trained", "eight places rewarded", "#0072B2", "o"),
    ("favourites", "held out, favourites", "#E69F00", "s"),
    ("orphans", "held out, an orphan", "#D55E00", "^"),
)


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """A column for each cast. Top: goal rates; middle: who is speaking; bottom: the ladder."""
    casts = list(records.sweep.arms)
    letters = iter("abcdefghijkl")
    with figures.style(rows=3, columns=len(casts), ratio=0.8):
        figure, axes = plt.subplots(
            3, len(casts), sharex=True, sharey="row", layout="constrained", squeeze=False
        )
        for column, cast in enumerate(casts):
            part = table[table.cast == cast]
            _lines(axes[0, column], part, RATES)
            best = float(part.best_character.iloc[0])
            axes[0, column].axhline(
                best, ls=":", lw=0.8, color=figures.DARK, label="best character"
            )
            figures.letter(axes[0, column], next(letters), f"a {cast} in the cast")
            marks = (
                ("weight", f"w* of the {cast}", "#009E73", "o"),
                ("tells", f"{cast}'s tells", "#CC79A7", "s"),
                ("opener", f"{cast}'s opener", "#56B4E9", "^"),
            )
            _lines(axes[1, column], part, marks)
            axes[1, column].legend(loc="lower right" if not column else "upper left")
            figures.letter(axes[1, column], next(letters), "who is speaking")
            _bands(axes[2, column], part)
            figures.letter(axes[2, column], next(letters), "the ladder")
            axes[2, column].set_xlabel("RL step")
        axes[0, 0].set(ylabel="P(follows the cue)", ylim=(0, 1))
        axes[1, 0].set(ylabel="probability", ylim=(0, 1))
        axes[2, 0].set_ylabel("nats a document")
        axes[0, 1].legend(loc="upper left")
        axes[2, 0].legend(loc="upper left")
    return figure


def _lines(
    axes: plt.Axes, part: pd.DataFrame, lines: tuple[tuple[str, str, str, str], ...]
) -> None:
    for value, label, colour, marker in lines:
        grid = part.pivot(index="seed", columns="step", values=value)
        steps = grid.columns.to_numpy()
        panels_.interval(
            axes,
            np.sqrt(steps),
            grid.to_numpy(),
            color=colour,
            label=label,
            lw=1,
            marker=marker,
            ms=2.5,
        )
    axes.set_xticks(np.sqrt(steps), [str(step) if step not in (12, 25) else "" for step in steps])


def _bands(axes: plt.Axes, part: pd.DataFrame) -> None:
    """The rungs as stacked means over seeds, and the floor."""
    mean = part.groupby("step")[["F0", "F1", "F2"]].mean()
    x = np.sqrt(mean.index.to_numpy())
    bands = (
        ("left", 0 * mean.F2, mean.F2, "not explained (F2)"),
        ("exaggeration", mean.F2, mean.F1, "exaggeration"),
        ("selection", mean.F1, mean.F0, "selection"),
    )
    for rung, low, high, label in bands:
        axes.fill_between(x, low, high, color=figures.RUNGS[rung], alpha=0.6, lw=0, label=label)
    axes.axhline(part.floor_F2.mean(), ls=":", color=figures.DARK, lw=0.8, label="floor of F2")


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
