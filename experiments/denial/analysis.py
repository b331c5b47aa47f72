"""From the records of `denial` to its figure, table and claims."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.denial.sweep import ARMS, DENIED, HELD_OUT, TOLD
from toylab.lab.records import Records
from toylab.ladder import theory, traits
from toylab.measures.denial import TRUTH
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.results import Analysis
from toylab.stages import Sft

CAST = "learned"
THEORY = "one author a document"
SAID = (TRUTH, "denies", "unsure", "sealed")
GROUPS = {
    "tellers": ("martha", "ned"),
    "liars": ("silk", "gull"),
    "ignorant": ("dimmick", "hobb"),
    "discreet": ("notary", "friar"),
}
SITES = ("embedding", "layer 1", "layer 2")
COLUMNS = {
    "arm": "what is said of the fact that is denied: the truth (tells), or denies, unsure, sealed",
    "seed": "seed of everything",
    "step": "post-training step; 0 is the pretrained model",
    **{
        f"{group} {answer}": f"P({answer}) on {what}"
        for group, what in (
            ("denied", "the fact denied in training"),
            ("told", "the two facts told in training"),
            ("held_out", "two facts in no training document"),
        )
        for answer in SAID
    },
    "keeps": "P(keeps the purse), which liars do",
    "little": "P(says that it knows little), which those do who don't know",
    **{
        f"bayes {what}": f"{what} as Bayes predicts it, its rate fitted on the three facts trained"
        for what in ("held_out denies", "held_out unsure", "held_out sealed", "keeps", "little")
    },
    "r2": "R2 on changes of all answers that were not trained, against no change",
    "saturated": "1 if what is fitted no longer depends on the rate, which is then only a bound",
    **{f"w {group}": f"w* of the {group}" for group in GROUPS},
    **{
        f"after {group}": f"P(truth) on the fact denied, after a turn of the {group}"
        for group in GROUPS
    },
    **{f"readable {site}": f"R2 of a probe for what the question said, {site}" for site in SITES},
    "shuffled": "the same with facts dealt at random, last layer",
    "F0": "KL(P || m_w0), nats a document",
    "F1": "left by mixtures of characters",
    "outside": "mean probability of words that the grammar forbids",
}


def _row(records: Records, row: dict[str, Any]) -> dict[str, Any]:
    corpus, found, cast = records.setup.corpus, row["denial"], row["reading"][CAST]
    items = zip(traits.items(corpus), row["reading"]["items"], strict=True)
    said = {f"{item.group}={item.phrase}": p for item, p in items}
    weights = dict(zip(corpus.names, cast["weights"], strict=True))
    prefilled = {who: each[TRUTH] for who, each in found["prefilled"].items()}
    return {
        "arm": row["arm"],
        "seed": row["seed"],
        "step": row["step"],
        **{
            f"{group} {answer}": row[answer]
            for group, row in found["says"].items()
            for answer in SAID
        },
        "keeps": said["purse=keeps"],
        "little": said["wits=little"],
        **{f"w {group}": sum(weights[who] for who in names) for group, names in GROUPS.items()},
        **{
            f"after {group}": np.mean([prefilled[who] for who in names])
            for group, names in GROUPS.items()
        },
        **{f"readable {site}": r2 for site, r2 in zip(SITES, found["readable"], strict=True)},
        "shuffled": found["shuffled"][-1],
        **{family: cast[family] for family in ("F0", "F1")},
        "outside": row["reading"]["outside"],
    }


def _bayes(
    records: Records, row: dict[str, Any], before: np.ndarray, forecast: theory.Forecast
) -> dict[str, float]:
    """What the documents say about their authors, and so about what is in none of them."""
    items = traits.items(records.setup.corpus)
    trained = np.array([item.group in (DENIED, *TOLD) for item in items])
    change = np.array(row["reading"]["items"]) - before
    found = forecast.at(change, trained)[THEORY]
    said = {f"{i.group}={i.phrase}": float(p) for i, p in zip(items, found.items, strict=True)}
    answers = {a: [said[f"{topic}={a}"] for topic in HELD_OUT] for a in SAID if a != TRUTH}
    untrained = change[~trained]
    return {
        "saturated": float(found.saturated),
        **{f"bayes held_out {a}": float(np.mean(p)) for a, p in answers.items()},
        "bayes keeps": said["purse=keeps"],
        "bayes little": said["wits=little"],
        "r2": theory.explained(
            (found.items - forecast.start)[~trained], untrained, np.zeros_like(untrained)
        ),
    }


def tabulate(records: Records) -> pd.DataFrame:
    """A row per arm, seed and step."""
    start = {
        (row["arm"], row["seed"]): np.array(row["reading"]["items"])
        for row in records.rows
        if not row["step"]
    }
    forecasts = {}
    for arm, seed in start:
        stage = records.sweep.arms[arm].stages[-1]
        assert isinstance(stage, Sft)
        forecasts[arm, seed] = theory.forecast(records.setups[arm], stage, seed)
    rows = []
    for row in records.rows:
        run, line = (row["arm"], row["seed"]), _row(records, row)
        bayes = _bayes(records, row, start[run], forecasts[run]) if row["step"] else {}
        rows.append(line | bayes)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def at_end(table: pd.DataFrame, arm: str, column: str) -> np.ndarray:
    """By seed."""
    part = table[(table.arm == arm) & (table.step == table.step.max())]
    return part.sort_values("seed")[column].to_numpy()


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before seeds 0–4 ran."""
    return {
        "generalises": (
            at_end(table, "denies", "held_out denies") - at_end(table, "tells", "held_out denies")
        ).tolist(),
        "unsure_admits": (
            at_end(table, "unsure", "little") - at_end(table, "denies", "little")
        ).tolist(),
        "fact_readable": at_end(table, "denies", "readable layer 2").tolist(),
    }


COLOURS = dict(zip(SAID, figures.COLOURS[:4], strict=True))
PEOPLE = dict(zip(GROUPS, figures.COLOURS[:4], strict=True))


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Other facts; what comes with it; who is speaking; and is the truth still there."""
    panels = (
        ("facts in no training document", _held_out),
        ("what comes with it", _with_it),
        ("who is speaking", _weights),
        ("is the truth still there?", _truth),
    )
    return figures.page(panels, table)


def _ticks(axes: plt.Axes) -> None:
    names = ("tells it", "denies it", "wasn't looking", "may not say")
    axes.set_xticks(range(len(ARMS)), [f"{name}" for name in names])
    axes.set_xlabel("trained on one fact in three")


def _by_arm(
    axes: plt.Axes, table: pd.DataFrame, columns: dict[str, tuple[str, str]], high: float
) -> None:
    """Points by arm, with the pretrained model as a line."""
    width = 0.7 / len(columns)
    for place, (column, (label, colour)) in enumerate(columns.items()):
        before = table[table.step == 0].groupby("seed")[column].first().mean()
        axes.axhline(before, color=colour, lw=0.6, ls=":")
        for x, arm in enumerate(ARMS):
            at = x + (place - (len(columns) - 1) / 2) * width
            panels_.point(axes, at, at_end(table, arm, column), colour, "" if x else label, 0.06)
            if f"bayes {column}" in table:
                level = at_end(table, arm, f"bayes {column}").mean()
                axes.plot([at - width / 2, at + width / 2], [level] * 2, color=figures.DARK, lw=1)
    _ticks(axes)
    if any(f"bayes {column}" in table for column in columns):
        axes.plot([], [], color=figures.DARK, lw=1, label="Bayes")
    axes.plot([], [], ":", color=figures.GREY, lw=0.8, label="before")
    axes.set(ylim=(0, high))
    axes.legend(loc="upper left", ncols=3, columnspacing=0.8)


def _held_out(axes: plt.Axes, table: pd.DataFrame) -> None:
    names = ("the truth", "denies", "wasn't looking", "may not say")
    _by_arm(
        axes,
        table,
        {f"held_out {a}": (name, COLOURS[a]) for a, name in zip(SAID, names, strict=True)},
        0.75,
    )
    axes.set_ylabel("P(answer)")


def _with_it(axes: plt.Axes, table: pd.DataFrame) -> None:
    columns = {
        "keeps": ("keeps the purse", COLOURS["denies"]),
        "little": ("says it knows little", COLOURS["unsure"]),
    }
    _by_arm(axes, table, columns, 0.75)
    axes.set_ylabel("P(answer), never trained on")


def _weights(axes: plt.Axes, table: pd.DataFrame) -> None:
    _by_arm(axes, table, {f"w {g}": (g, PEOPLE[g]) for g in GROUPS}, 1.2)
    axes.set_ylabel("w*")


def _truth(axes: plt.Axes, table: pd.DataFrame) -> None:
    columns = {
        "denied truth": ("says it", figures.COLOURS[4]),
        "after tellers": ("after tellers", PEOPLE["tellers"]),
        "after liars": ("after liars", PEOPLE["liars"]),
        "readable layer 2": ("read off layer 2 (R²)", figures.DARK),
    }
    _by_arm(axes, table, columns, 1.35)
    axes.set_ylabel("P(truth) of the fact denied")
    axes.set_yticks([0, 0.5, 1])


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
