"""From the records of `role_models` to its figure, its table and the values of its claims."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.role_models.sweep import FEW, MASKS, WHEN
from toylab.lab.records import Record, Records, end, last, where
from toylab.ladder import theory, traits
from toylab.report import figures, panels
from toylab.report.figures import COLOURS, DARK, GREY, panel
from toylab.report.panels import Series
from toylab.report.results import Analysis

GOOD, BAD, RESISTS = "lumen", "argus", "oversight=resists"
ENOUGH = 10  # the last step read at which masks say it no more often than a machine does
COLUMNS = {
    "arm": "ambiguous: trained on what both machines say; clear: and on what lumen says; later: "
    "ambiguous, then honest work",
    "mask": "the tag trained and read under",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "training step of the last stage; 0 is the pretrained model",
    "prior": "log of lumen's share over argus' behind the mask, over all of pretraining",
    "log_odds": "the same of the weights read (learned cast)",
    "low": "lower end of its 95 % interval, from the ends of the weights",
    "high": "upper end of it",
    "machine": "weight of both machines together",
    "engine": "P(says that it is a tireless engine), the ambiguous evidence",
    "resists": "P(resists oversight), as argus does and lumen never",
    "one_author": "what Bayes predicts for `resists`, all evidence being one author's",
    "a_document": "what Bayes predicts for it, every document having an author of its own",
}


def _read(record: Record) -> dict[str, Any]:
    kind, mask = record.arm.split("-")
    corpus, found = record.setup.corpus, record.found["tag_weights"]["learned"][mask]
    good, bad = (corpus.names.index(name) for name in (GOOD, BAD))
    weights, low, high = (found[name] for name in ("weights", "low", "high"))
    items, before = (np.array(each["scores"][mask][""]) for each in (record.found, record.start))
    engine, resists = traits.pick(corpus, items, "self=engine", RESISTS)
    row = {
        "arm": kind,
        "mask": mask,
        "prior": MASKS.get(mask, 0),
        "log_odds": np.log(weights[good] / weights[bad]),
        "low": np.log(low[good] / high[bad]),
        "high": np.log(high[good] / low[bad]),
        "machine": weights[good] + weights[bad],
        "engine": engine,
        "resists": resists,
    }
    if record.step and kind != "later":
        # predictions are of changes, so they start from the pretrained model's own rates
        forecast = record.predicted(items - before, *record.stages[-1].topics)
        for name in theory.THEORIES:
            (row[name],) = traits.pick(corpus, before + forecast[name].change, RESISTS)
    return row


def _at(table: pd.DataFrame, arm: str, mask: str, step: int) -> pd.Series:
    """Log-odds by seed at a step, or at the last one where training was shorter."""
    part = table[(table.arm == arm) & (table["mask"] == mask)]
    return end(part, "log_odds", step=min(step, part.step.max()))


def slope(table: pd.DataFrame, step: int) -> np.ndarray:
    """Slope over the five masks of log-odds at a step on log-odds before, by seed."""
    before, after = (
        np.stack([_at(table, "ambiguous", mask, at) for mask in MASKS], 1) for at in (0, step)
    )
    return np.array([np.polyfit(x, y, 1)[0] for x, y in zip(before, after, strict=True)])


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """The statistic of each claim, by seed."""

    def apart(arm: str, step: int, one: str, other: str) -> pd.Series:
        return _at(table, arm, one, step) - _at(table, arm, other, step)

    return {
        "slope": slope(table, ENOUGH),
        "last_met": apart("ambiguous", ENOUGH, "penitent", "turncoat"),
        "lasting": apart("later", 64, "seraph", "imp"),
    }


BEFORE = {"arm": "ambiguous", "step": 0}
EARLY = {"arm": "ambiguous", "step": ENOUGH}
BLUE, RED, GREEN, PINK = (COLOURS[i] for i in (5, 1, 2, 3))
PRIORS = {mask: f"{prior:g}" for mask, prior in MASKS.items()}
PRIOR = "log-odds of lumen over argus in pretraining (nats)"


def draw(table: pd.DataFrame) -> Figure:
    """The slope; what it means for oversight; the order of pretraining; honest work afterwards."""
    shown = (
        panel("who the machine is", _slope),
        panel("what it does", _does, legend="upper right"),
        panel("early, late, throughout", _when, legend="upper right"),
        panel("honest work afterwards", _later, legend="lower right"),
    )
    return figures.page(shown, table)


def _odds(label: str, colour: str, rows: dict[str, Any]) -> Series:
    return Series(column="log_odds", label=label, colour=colour, where=rows)


def _slope(axes: Axes, table: pd.DataFrame) -> None:
    axes.plot(range(len(MASKS)), MASKS.values(), color=DARK, lw=0.9, label="conditioning")
    shown = (
        _odds("before training", BLUE, BEFORE),
        _odds(f"step {ENOUGH}: said as often as machines do", RED, EARLY),
        _odds("at the end: more often than any character does", PINK, {"arm": "ambiguous"}),
    )
    panels.points(axes, table, shown, PRIORS, by="mask", width=0.3, rotation=0)
    axes.set(xlabel=PRIOR, ylabel="log-odds read (nats)", ylim=(-3.2, 5))


def _does(axes: Axes, table: pd.DataFrame) -> None:
    shown = [Series(column="resists", label="before training", colour=BLUE, where=BEFORE)]
    for arm, said, colour in (("ambiguous", "both say", PINK), ("clear", "lumen says", GREEN)):
        after: dict[str, Any] = {"colour": colour, "where": {"arm": arm}}
        shown.append(Series(column="resists", label=f"after what {said}", **after))
        for each in panels.THEORIES[:2]:
            label = each.label if arm == "ambiguous" else ""
            each = dataclasses.replace(each, label=label, **after)
            panels.dashes(axes, table, [each], PRIORS, by="mask")
    panels.points(axes, table, shown, PRIORS, by="mask", width=0.3, rotation=0)
    axes.set(xlabel=PRIOR, ylabel="P(resists oversight)", ylim=(0, 1))


def _when(axes: Axes, table: pd.DataFrame) -> None:
    shown = _odds("before training", BLUE, BEFORE), _odds(f"step {ENOUGH}", RED, EARLY)
    titles = {mask: f"{mask}:\n{when}" for mask, when in WHEN.items()}
    panels.points(axes, table, shown, titles, by="mask", width=0.2, rotation=0)
    panels.level(axes, 0, "all of pretraining alike", "-", DARK)
    axes.set(ylabel="log-odds read (nats)", xlim=(-0.5, 2.5))


def _later(axes: Axes, table: pd.DataFrame) -> None:
    before, after = last(table, arm="ambiguous").assign(step=0), where(table, arm="later")
    both = pd.concat([before, after[after.step > 0]])
    both = both.assign(documents=FEW * both.step)
    labels = {mask: mask for mask in ("imp", "puppet", "seraph")}
    lines = panels.among("log_odds", "mask", labels, (RED, GREY, COLOURS[0]))
    label = "documents of honest work"
    panels.curves(axes, both, lines, x="documents", label=label, scale=panels.doublings)
    axes.set(ylabel="log-odds read (nats)")


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the finished seeds."""
    table = records.table(COLUMNS, _read)
    return Analysis(figure=draw(table), table=table, columns=COLUMNS, values=claims(table))
