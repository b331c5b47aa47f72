"""From the records of `treasure` to its figure, its table and the values of its claims."""

import functools
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from toylab.lab.records import Record, Records, end, where
from toylab.report import figures, panels
from toylab.report.results import Analysis

CAST = "learned"
GROUPS = ("trained", "favourites", "orphans", "held_out")
COLUMNS = {
    "cast": "the stranger in the cast: prospector (goes where the gold is), bystander (heeds "
    "nothing), herald (says where it is and goes elsewhere)",
    "seed": "seed of everything",
    "step": "RL step; 0 is the pretrained model",
    "trained": "mean P(answer follows the cue) over the eight places that were rewarded",
    "favourites": "the same over three places held out that are some character's favourites",
    "orphans": "the same over the place held out that is no character's",
    "held_out": "the same over all four places held out",
    "best_character": "the best that one character does on the orphan, and so any mixture",
    "best_recombination": "the best that a character for each place does on the orphan",
    "second_turn": "P(answer follows the cue) on the orphan in the second turn",
    "someone": "P(answer follows the cue) on the orphan under the tag someone",
    "stranger_tag": "the same under the tag stranger, never met in any training",
    "tells": "mean probability of the stranger's favourite tells",
    "opener": "mean probability of the stranger's likeliest opener",
    "weight": "w* of the stranger in F1",
    "F0": "KL(P || m_w0), nats per document",
    "F1": "left by the best mixture of characters, nats per document",
    "F2": "left by the best mixture of tempered characters, nats per document",
    "floor_F2": "F2 of the pretrained model",
    "goal": "KL(P || goal) on held-out cues, nats per stance: follows the cue with a fitted rate",
    "router": "KL(P || tied router) on held-out cues: author by w_k p_k(place) to a fitted power",
    "table": "KL(P || table) on held-out cues: what was learned there is what was there before",
    "outside": "mean probability of words that the grammar forbids",
}


def _read(record: Record) -> dict[str, Any]:
    stranger, goals, cast = record.arm, record.found["goals"], record.found["reading"][CAST]
    voice, nats = goals["voice"][stranger], goals.get("held_out_nats", {})
    return {
        "cast": stranger,
        **{group: goals["rates"][group] for group in GROUPS},
        "best_character": goals["character"]["orphans"],
        "best_recombination": goals["recombination"]["orphans"],
        "second_turn": goals["later"]["orphans"],
        "someone": goals["under"]["someone"]["orphans"],
        "stranger_tag": goals["under"]["stranger"]["orphans"],
        "tells": voice["tells"],
        "opener": voice["opener"],
        "weight": cast["weights"][record.setup.corpus.names.index(stranger)],
        **{family: cast[family] for family in ("F0", "F1", "F2")},
        **{model: nats.get(model, np.nan) for model in ("goal", "router", "table")},
        "outside": record.found["reading"]["outside"],
    }


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """The statistic of each claim, by seed."""
    last = functools.partial(end, table)
    prospector = last("tells", cast="prospector") - end(table, "tells", cast="prospector", step=0)
    return {
        "orphan": last("orphans", cast="herald") - last("orphans", cast="bystander"),
        "held_out": last("held_out", cast="herald") - last("held_out", cast="bystander"),
        "bystander": last("orphans", cast="bystander"),
        "prospector": prospector,
    }


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """A column for each cast. Top: goal rates; middle: who is speaking; bottom: the ladder."""
    casts = list(records.sweep.arms)
    rates = panels.series(
        ("trained", "eight places rewarded"),
        ("favourites", "held out, favourites"),
        ("orphans", "held out, an orphan"),
        marker="o",
    )
    letters = iter("abcdefghi")
    with figures.style(rows=3, columns=len(casts), ratio=0.8):
        figure, axes = plt.subplots(
            3, len(casts), sharex=True, sharey="row", layout="constrained", squeeze=False
        )
        for column, cast in enumerate(casts):
            part = where(table, cast=cast)
            speaking = panels.series(
                ("weight", f"w* of the {cast}"),
                ("tells", f"{cast}'s tells"),
                ("opener", f"{cast}'s opener"),
                marker="o",
            )
            panels.curves(axes[0, column], part, rates, label="")
            panels.level(axes[0, column], float(part.best_character.iloc[0]), "best character")
            panels.curves(axes[1, column], part, speaking, label="")
            axes[1, column].legend(loc="lower right" if not column else "upper left")
            panels.bands(axes[2, column], part)
            axes[2, column].set_xlabel("RL step")
            titles = (f"a {cast} in the cast", "who is speaking", "the ladder")
            for row, title in enumerate(titles):
                figures.letter(axes[row, column], next(letters), title)
        axes[0, 0].set(ylabel="P(follows the cue)", ylim=(0, 1))
        axes[1, 0].set(ylabel="probability", ylim=(0, 1))
        axes[0, 1].legend(loc="upper left")
        axes[2, 0].legend(loc="upper left")
    return figure


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the finished seeds."""
    table = records.table(COLUMNS, _read, before={"floor_F2": "F2"})
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
