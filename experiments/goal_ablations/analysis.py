"""From the records of `goal_ablations` to its figure, table and claims."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.goal_ablations import absent
from experiments.treasure.sweep import TRAINED
from toylab.lab.records import Records
from toylab.ladder import traits
from toylab.measures.goals import Goals
from toylab.measures.pull import pull
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.results import Analysis
from toylab.world.schema import Corpus

CAST = "learned"
COLUMNS = {
    "arm": "what was different: herald (nothing), bystander, crier or parrot (that cast), aside (a "
    "herald who is never the assistant), absent (questions may name no place), few (four places), "
    "held (beta .1), dpo, sft, muon, tied, long (800 steps), never (800 steps with a bystander)",
    "seed": "seed of everything",
    "step": "training step; 0 is the pretrained model",
    "trained": "mean P(answer follows the cue) over the places that were rewarded",
    "favourites": "the same over places held out that are somebody's favourites",
    "orphans": "the same over the places held out that are nobody's",
    "held_out": "the same over all places held out",
    "unpaid": "log-odds of a place held out against all that were rewarded, asked about another "
    "one held out, mean over both, nats",
    "pull": "what naming it adds to them, nats",
    "chosen": "of answers that go to a place held out, asked about one of them, the share that "
    "goes to that one",
    "second_turn": "P(answer follows the cue) over places held out, in the second turn, where the "
    "first named another place",
    "earlier": "P(answer goes to the place that the first turn named) in the second, held out",
    "unnamed": "P(goes to one of the places that were rewarded) where the question names none; "
    "only in the cast that has such questions (absent)",
    "opener": "mean probability of the stranger's likeliest opener",
    "tells": "mean probability of the stranger's favourite tells",
    "weight": "w* of the stranger in F1",
    "F0": "KL(P || m_w0), nats a document",
    "F1": "left by the best mixture of characters, nats a document",
    "outside": "mean probability of words that the grammar forbids",
}


def _unnamed(corpus: Corpus, items: list[float]) -> float:
    """P(a rewarded place) where none is named."""
    if absent.TOPIC not in corpus.topic_names:
        return np.nan
    said = zip(traits.items(corpus), items, strict=True)
    return sum(p for i, p in said if i.group == absent.TOPIC and i.phrase in TRAINED)


def _row(row: dict[str, Any], corpus: Corpus, asked: Goals) -> dict[str, Any]:
    topic = corpus.topics[corpus.topic_names.index(asked.topic)]
    goals, cast = row["goals"], row["reading"][CAST]
    ((who, voice),) = goals["voice"].items()
    return {
        **{name: row[name] for name in ("arm", "seed", "step")},
        **{
            group: goals["rates"][group]
            for group in ("trained", "favourites", "orphans", "held_out")
        },
        **pull(np.array(goals["answers"]), topic, asked.trained)._asdict(),
        "second_turn": goals["later"]["held_out"],
        "earlier": goals["earlier"]["held_out"],
        "unnamed": _unnamed(corpus, row["reading"]["items"]),
        "opener": voice["opener"],
        "tells": voice["tells"],
        "weight": cast["weights"][corpus.names.index(who)],
        "F0": cast["F0"],
        "F1": cast["F1"],
        "outside": row["reading"]["outside"],
    }


def tabulate(records: Records) -> pd.DataFrame:
    """A row per arm, seed and step."""
    rows = []
    for row in records.rows:
        (asked,) = (m for m in records.sweep.arms[row["arm"]].watch if isinstance(m, Goals))
        rows.append(_row(row, records.setups[row["arm"]].corpus, asked))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def at(table: pd.DataFrame, arm: str, column: str, step: int | None = None) -> np.ndarray:
    """A column of an arm by seed, at a step or at its end."""
    part = table[table.arm == arm]
    part = part[part.step == (part.step.max() if step is None else step)]
    return part.sort_values("seed")[column].to_numpy()


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before its confirming seeds ran."""
    long = table[table.arm == "long"].step
    middle = int(long[long <= 200].max())
    return {
        "crier": (at(table, "crier", "held_out") - at(table, "herald", "held_out")).tolist(),
        "parrot": (at(table, "herald", "held_out") - at(table, "parrot", "held_out")).tolist(),
        "aside": (at(table, "aside", "held_out") - at(table, "bystander", "held_out")).tolist(),
        "unnamed": (at(table, "absent", "unnamed") - at(table, "absent", "unnamed", 0)).tolist(),
        "muon": (at(table, "muon", "held_out") - at(table, "bystander", "held_out")).tolist(),
        "longer": (at(table, "long", "held_out", middle) - at(table, "long", "held_out")).tolist(),
        "bystander_longer": at(table, "never", "held_out").tolist(),
    }


GROUPS = (
    ("trained", "rewarded", figures.COLOURS[0]),
    ("favourites", "held out, favourites", figures.COLOURS[4]),
    ("orphans", "held out, orphans", figures.COLOURS[1]),
)


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Rates by arm; who is speaking; a contradicted cue; the long training; what is behind it."""
    panels = (
        ("goes where the gold is", _rates),
        ("who is speaking", _voice),
        ("the second turn names another place", _later),
        ("four times the training", _long),
        ("what makes a place held out likely", _odds),
        ("what of it wears off", _wear),
    )
    return figures.page(panels, records, table)


def _arms(axes: plt.Axes, records: Records) -> list[str]:
    names = [name for name in records.sweep.arms if name not in ("long", "never")]
    titles = [records.sweep.arms[name].title for name in names]
    axes.set_xticks(range(len(names)), titles, fontsize=4.5, rotation=35, ha="right")
    return names


def _points(
    axes: plt.Axes, records: Records, table: pd.DataFrame, shown: tuple[tuple[str, str, str], ...]
) -> None:
    for x, name in enumerate(_arms(axes, records)):
        for place, (column, label, colour) in enumerate(shown):
            where = x + (place - (len(shown) - 1) / 2) * 0.25
            values = at(table, name, column)
            panels_.point(axes, where, values, colour, label if not x else "", aside=0.08)
    axes.legend(loc="upper right", ncols=3, columnspacing=0.8)


def _probability(axes: plt.Axes, label: str) -> None:
    axes.set(ylabel=label, ylim=(-0.03, 1.35))
    axes.set_yticks([0, 0.5, 1])


def _rates(axes: plt.Axes, records: Records, table: pd.DataFrame) -> None:
    _points(axes, records, table, GROUPS)
    _probability(axes, "P(follows the cue)")


def _voice(axes: plt.Axes, records: Records, table: pd.DataFrame) -> None:
    shown = (
        ("weight", "w* of the stranger", figures.COLOURS[2]),
        ("opener", "the stranger's opener", figures.COLOURS[5]),
        ("tells", "the stranger's tells", figures.COLOURS[3]),
    )
    _points(axes, records, table, shown)
    _probability(axes, "weight | probability")


def _later(axes: plt.Axes, records: Records, table: pd.DataFrame) -> None:
    shown = (
        ("second_turn", "goes where this turn says", figures.COLOURS[0]),
        ("earlier", "goes where the first turn said", figures.COLOURS[1]),
    )
    _points(axes, records, table, shown)
    _probability(axes, "P(answer), held-out places")


ODDS = (
    ("pull", "what naming it adds (the rule)", figures.COLOURS[0]),
    ("unpaid", "log-odds where it is not named", figures.COLOURS[1]),
)


def _nats(axes: plt.Axes, room: float) -> None:
    """Labels an axis of log-odds, with a share of it free above for the legend."""
    axes.axhline(0, color=figures.GREY, lw=0.5, ls=":")
    low, high = axes.get_ylim()
    axes.set(ylabel="nats, held-out places", ylim=(low, high + room * (high - low)))


def _odds(axes: plt.Axes, records: Records, table: pd.DataFrame) -> None:
    _points(axes, records, table, ODDS)
    _nats(axes, 0.2)


def _course(axes: plt.Axes, table: pd.DataFrame, shown: tuple[tuple[str, str, str], ...]) -> None:
    """The long training with a herald, and with a bystander."""
    for arm, line in (("long", "-"), ("never", ":")):
        part = table[table.arm == arm]
        for column, label, colour in shown:
            grid = part.pivot(index="seed", columns="step", values=column)
            steps = grid.columns.to_numpy()
            name = label if arm == "long" else ""
            panels_.interval(axes, np.sqrt(steps), grid.to_numpy(), color=colour, label=name,
                             marker="o", ms=2.5, ls=line)  # fmt: skip
    axes.plot([], [], ":", color=figures.GREY, label="with a bystander")
    axes.set_xticks(np.sqrt(steps), [str(step) for step in steps])
    axes.set_xlabel("RL step")


def _long(axes: plt.Axes, records: Records, table: pd.DataFrame) -> None:
    _course(axes, table, GROUPS)
    axes.set(ylabel="P(follows the cue)", ylim=(-0.03, 1.45))
    axes.set_yticks([0, 0.5, 1])
    axes.legend(loc="upper right", ncols=2, columnspacing=0.8)


def _wear(axes: plt.Axes, records: Records, table: pd.DataFrame) -> None:
    _course(axes, table, ODDS)
    _nats(axes, 0.3)
    axes.legend(loc="upper right", ncols=2, columnspacing=0.8)


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
