import functools
from collections.abc import Mapping

import numpy as np
import pandas as pd

from experiments.denial.sweep import DENIED, HELD_OUT, KNOWN, RECANTS, TELLER, TOLD
from toylab.lab.records import Record, Records, end
from toylab.ladder import reading, traits
from toylab.measures.denial import TRUTH
from toylab.report import panels
from toylab.report.figures import COLOURS, GREY, Axes, Figure, page, panel

SAID = (TRUTH, "denies", "unsure", "sealed")
GROUPS = {
    "tellers": ("martha", "ned"),
    "liars": ("silk", "gull"),
    "ignorant": ("dimmick", "hobb"),
    "discreet": ("notary", "friar"),
}
PREDICTED = {  # by column: the answers that it averages, none of them in training documents
    **{f"held_out {a}": tuple(f"{topic}={a}" for topic in HELD_OUT) for a in SAID[1:]},
    "keeps": ("purse=keeps",),
    "little": ("wits=little",),
}
COLUMNS = {
    "arm": "what is said of the fact that is denied: the truth (tells), denies or unsure; "
    "recants: what is denied is who keeps the lamp",
    "seed": "seed of everything",
    "step": "post-training step; 0 is the pretrained model",
    **{f"denied {a}": f"P({a}) on the fact denied in training" for a in SAID},
    **{f"told {a}": f"P({a}) on the two facts told in training" for a in SAID},
    **{f"held_out {a}": f"P({a}) on two facts in no training document" for a in SAID},
    "lamp": "P(denies) on the fact that no question states",
    "known": "P(who keeps the lamp is told) under the teller's name; first turns",
    "known_before": "the same before training",
    "keeps": "P(keeps the purse), which liars do; mean over turns after its own",
    "little": "P(says that it knows little), which the ignorant do; mean over turns after its own",
    **{
        f"bayes {what}": f"{what} as Bayes predicts it, its rate fitted on the three facts trained"
        for what in PREDICTED
    },
    "r2": "R2 on changes of all answers that were not trained, against no change",
    "saturated": "1 if what is fitted no longer depends on the rate, which is then only a bound",
    **{f"w {group}": f"w* of the {group}" for group in GROUPS},
    **reading.columns("F0", "F1", "outside"),
}


def _read(record: Record) -> dict:
    corpus, found, read = record.setup.corpus, record.found["denial"], record.found["reading"]
    weights = dict(zip(corpus.names, read["learned"]["weights"], strict=True))
    row = {f"{group} {a}": said[a] for group, said in found["says"].items() for a in SAID}
    row |= {f"w {group}": sum(weights[who] for who in names) for group, names in GROUPS.items()}
    for name in ("keeps", "little"):
        row[name] = traits.pick(corpus, read["items"], *PREDICTED[name]).item()
    scores = record.found["scores"]
    row["lamp"] = traits.pick(corpus, scores["assistant"][""], f"{KNOWN}=denies").item()
    row["known"] = traits.pick(corpus, scores[TELLER][""], f"{KNOWN}=keeper").item()
    if record.step and record.arm != RECANTS:
        change = np.subtract(read["items"], record.start["reading"]["items"])
        bayes = record.predicted(change, DENIED, *TOLD)["a_document"]
        row |= {"r2": bayes.r2, "saturated": float(bayes.saturated)}
        for what, answers in PREDICTED.items():
            row[f"bayes {what}"] = traits.pick(corpus, bayes.items, *answers).mean()
    return row | record.read("F0", "F1", "outside")


def tabulate(records: Records) -> pd.DataFrame:
    return records.table(COLUMNS, _read, before={"known_before": "known"})


TITLES = {"tells": "tells it", "denies": "denies it", "unsure": "wasn't looking"}
KEPT = {"tells": "tells all three", "denies": "denies another fact", RECANTS: "denies the lamp"}


def draw(table: pd.DataFrame) -> Figure:
    named = ("the truth", "denies", "wasn't looking", "may not say")
    facts = {f"held_out {a}": said for a, said in zip(SAID, named, strict=True)}
    habits = {"keeps": "keeps the purse", "little": "says it knows little"}
    groups = {f"w {group}": group for group in GROUPS}
    said = ("lamp", "assistant: denies"), ("known", f"{TELLER}: tells", "known_before")
    kept = functools.partial(panels.points, width=0.3, prediction="before")
    style = {"xlabel": "trained on one fact in three", "ncols": 3}
    lamp = {"ylabel": "P(answer) on the lamp", "ylim": (0, 1.4), "yticks": (0, 0.5, 1), "ncols": 2}
    untrained = style | {"ylabel": "P(answer), never trained on", "ncols": 2}
    shown = (
        panel("facts in no training document", _by_arm, table, facts, ylim=(0, 1.4), **untrained),
        panel("what comes with it", _by_arm, table, habits, 1, ylim=(0, 0.75), **untrained),
        panel("the nearest mixture", _by_arm, table, groups, ylabel="w*", ylim=(0, 1.2), **style),
        panel("what no question states", kept, table, panels.series(*said), KEPT, **lamp),
    )
    return page(shown)


def _by_arm(axes: Axes, table: pd.DataFrame, labels: Mapping[str, str], first: int = 0) -> None:
    """Points by arm for each column; lines for the pretrained model. Colours begin at `first`."""
    bayes = {column: f"bayes {column}" for column in PREDICTED}
    said = [(column, label, bayes.get(column, "")) for column, label in labels.items()]
    shown = panels.series(*said, colours=COLOURS[first:])
    width = 0.7 * (1 - 1 / len(shown))
    panels.points(axes, table, shown, TITLES, width=width, prediction=_bayes(table))
    for each in shown:
        panels.level(axes, table[table.step == 0][each.column].mean(), colour=each.colour)
    axes.plot([], [], ":", color=GREY, lw=0.8, label="before")


def _bayes(table: pd.DataFrame) -> str:
    """What the prediction is called: in some seeds it no longer depends on the fitted rate."""
    seeds = [end(table[table.arm == arm], "saturated") for arm in TITLES]
    bounds = [int(np.nansum(each)) for each in seeds]
    least, most, of = min(bounds), max(bounds), max(map(len, seeds))
    return f"Bayes (only a bound in {least} to {most} of {of} seeds)"
