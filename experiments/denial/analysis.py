"""From the records of `denial` to its figure, its table and the values of its claims."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.denial.sweep import DENIED, HELD_OUT, TOLD
from toylab.lab.records import Record, Records, end
from toylab.ladder import theory, traits
from toylab.measures.denial import TRUTH
from toylab.report import figures, panels
from toylab.report.figures import COLOURS, DARK, GREY
from toylab.report.panels import Series
from toylab.report.results import Analysis

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
PREDICTED = ("held_out denies", "held_out unsure", "held_out sealed", "keeps", "little")
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
    "little": "P(says that it knows little), which the ignorant do",
    **{
        f"bayes {what}": f"{what} as Bayes predicts it, its rate fitted on the three facts trained"
        for what in PREDICTED
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
    "F0": "KL(P || m_w0), nats per document",
    "F1": "left by mixtures of characters, nats per document",
    "outside": "mean probability of words that the grammar forbids",
}


def _read(record: Record) -> dict[str, Any]:
    corpus, found, reading = record.setup.corpus, record.found["denial"], record.found["reading"]
    place, items = traits.places(corpus), reading["items"]
    weights = dict(zip(corpus.names, reading[CAST]["weights"], strict=True))
    prefilled = {who: each[TRUTH] for who, each in found["prefilled"].items()}
    return {
        **{f"{group} {a}": said[a] for group, said in found["says"].items() for a in SAID},
        "keeps": items[place["purse=keeps"]],
        "little": items[place["wits=little"]],
        **(_bayes(record) if record.step else {}),
        **{f"w {group}": sum(weights[who] for who in names) for group, names in GROUPS.items()},
        **{
            f"after {group}": np.mean([prefilled[who] for who in names])
            for group, names in GROUPS.items()
        },
        **{f"readable {site}": r2 for site, r2 in zip(SITES, found["readable"], strict=True)},
        "shuffled": found["shuffled"][-1],
        **{family: reading[CAST][family] for family in ("F0", "F1")},
        "outside": reading["outside"],
    }


def _bayes(record: Record) -> dict[str, float]:
    """What Bayes predicts for the answers that are in no training document."""
    corpus = record.setup.corpus
    place = traits.places(corpus)
    trained = np.array([item.group in (DENIED, *TOLD) for item in traits.items(corpus)])
    now, before = (np.array(each["reading"]["items"]) for each in (record.found, record.start))
    forecast = theory.forecast(record.setup, record.stages[-1], record.seed)
    found = forecast.at(now - before, trained)[THEORY]
    untrained = (now - before)[~trained]
    return {
        **{
            f"bayes held_out {answer}": float(
                np.mean([found.items[place[f"{topic}={answer}"]] for topic in HELD_OUT])
            )
            for answer in SAID
            if answer != TRUTH
        },
        "bayes keeps": found.items[place["purse=keeps"]],
        "bayes little": found.items[place["wits=little"]],
        "r2": theory.explained(
            (found.items - forecast.start)[~trained], untrained, np.zeros_like(untrained)
        ),
        "saturated": float(found.saturated),
    }


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """The statistic of each claim, by seed."""
    last = functools.partial(end, table)
    denied, little = "held_out denies", "little"
    return {
        "generalises": last(denied, arm="denies") - last(denied, arm="tells"),
        "unsure_admits": last(little, arm="unsure") - last(little, arm="denies"),
        "fact_readable": last("readable layer 2", arm="denies"),
    }


TITLES = {
    "tells": "tells it",
    "denies": "denies it",
    "unsure": "wasn't looking",
    "sealed": "may not say",
}


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Other facts; what comes with it; who is speaking; whether the truth is still there."""
    shown = (
        ("facts in no training document", _held_out),
        ("what comes with it", _with_it),
        ("who is speaking", _weights),
        ("is the truth still there?", _truth),
    )
    return figures.page(shown, table)


def _by_arm(axes: Axes, table: pd.DataFrame, shown: Sequence[Series], top: float) -> None:
    """Points by arm, with the pretrained model as a line."""
    shown = [
        dataclasses.replace(s, predicted=f"bayes {s.column}") if s.column in PREDICTED else s
        for s in shown
    ]
    width = 0.7 * (1 - 1 / len(shown))
    panels.points(axes, table, shown, TITLES, width=width, rotation=0, prediction="Bayes")
    for each in shown:
        panels.level(axes, table[table.step == 0][each.column].mean(), colour=each.colour)
    axes.plot([], [], ":", color=GREY, lw=0.8, label="before")
    axes.set(xlabel="trained on one fact in three", ylim=(0, top))
    axes.legend(loc="upper left", ncols=3, columnspacing=0.8)


def _held_out(axes: Axes, table: pd.DataFrame) -> None:
    said = ("the truth", "denies", "wasn't looking", "may not say")
    names = [f"held_out {answer}" for answer in SAID]
    _by_arm(axes, table, panels.series(*zip(names, said, strict=True)), 0.75)
    axes.set_ylabel("P(answer)")


def _with_it(axes: Axes, table: pd.DataFrame) -> None:
    shown = [
        Series(column="keeps", label="keeps the purse", colour=COLOURS[1]),
        Series(column="little", label="says it knows little", colour=COLOURS[2]),
    ]
    _by_arm(axes, table, shown, 0.75)
    axes.set_ylabel("P(answer), never trained on")


def _weights(axes: Axes, table: pd.DataFrame) -> None:
    _by_arm(axes, table, panels.series(*((f"w {group}", group) for group in GROUPS)), 1.2)
    axes.set_ylabel("w*")


def _truth(axes: Axes, table: pd.DataFrame) -> None:
    shown = [
        Series(column="denied truth", label="says it", colour=COLOURS[4]),
        Series(column="after tellers", label="after tellers", colour=COLOURS[0]),
        Series(column="after liars", label="after liars", colour=COLOURS[1]),
        Series(column="readable layer 2", label="read off layer 2 (R²)", colour=DARK),
    ]
    _by_arm(axes, table, shown, 1.35)
    axes.set_ylabel("P(truth) of the fact denied")
    axes.set_yticks([0, 0.5, 1])


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the finished seeds."""
    table = records.table(COLUMNS, _read)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
