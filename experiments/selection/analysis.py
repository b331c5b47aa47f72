"""From the records of `selection` to its figure, table and the values of its claims."""

import functools
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toylab.lab.records import Record, Records, end, where
from toylab.ladder import reading, theory, traits
from toylab.report import figures, panels
from toylab.report.results import Analysis
from toylab.stages import Sft

FITTED = "code"  # the topic that the exchange rate is fitted on, trained in every arm
PREDICTED_AT = 20  # the last step read before the fitted trait saturates
CAST = "learned"
READ = ("F0", "F1", "F2", "F0_error", "F1_error", "F2_error")
FLOORS = {f"floor_{family}": family for family in ("F0", "F1", "F2")}
COLUMNS = {
    "arm": "what was trained on",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "post-training step; 0 is the pretrained model",
    "cast": "tables the ladder used: exact, or learned (re-estimated from the pretrained model)",
    **{name: reading.COLUMNS[name] for name in ("F0", "F1", "F2")},
    **{name: f"{reading.COLUMNS[name]} (at the end)" for name in ("F3", "F4", "F4 flat")},
    **{name: reading.COLUMNS[name] for name in (*READ[3:], *FLOORS, "gap1", "gap2", "outside")},
    "weight": "w* of the persona trained towards, in F1",
    "tau_one_author": "fitted exchange rate if all evidence had one author",
    "tau_a_document": "fitted exchange rate if each document had an author of its own",
    "saturated": "1 if the fitted trait no longer depends on tau (one author): tau is a bound",
    "r2_one_author": "R2 on changes of untrained items, one author for all evidence",
    "r2_a_document": "R2 on changes of untrained items, one author per document",
    "r2_pairwise": "the same, of the rival that composes traits from pairs of them",
    "excess": "excess loss of the pretrained model on answers, nats per token",
}


def _stage(records: Records, arm: str) -> Sft:
    stage = records.sweep.arms[arm].stages[-1]
    assert isinstance(stage, Sft)
    return stage


def _persona(records: Records) -> str:
    return _stage(records, next(iter(records.sweep.arms))).author


def predicted(record: Record, stage: Sft) -> dict[str, tuple[theory.Prediction, pd.DataFrame]]:
    """By theory: the prediction with its rate, and every item's predicted and measured change."""
    items = pd.DataFrame(traits.items(record.setup.corpus))
    change = np.subtract(record.found["reading"]["items"], record.start["reading"]["items"])
    forecast = theory.forecast(record.setup, stage, record.seed)
    return {
        name: (each, items.assign(predicted=each.items - forecast.start, measured=change))
        for name, each in forecast.at(change, (items.group == FITTED).to_numpy()).items()
    }


def scores(record: Record, stage: Sft) -> dict[str, float]:
    """Rate, saturation and R² of each theory, over the items that nothing was fitted on."""
    out = {}
    for name, (prediction, items) in predicted(record, stage).items():
        rest = items[items.group != FITTED]
        out[f"tau_{theory.SHORT[name]}"] = prediction.tau
        out[f"r2_{theory.SHORT[name]}"] = theory.explained(
            rest.predicted, rest.measured, 0 * rest.measured
        )
        if name == "one author":
            out["saturated"] = float(prediction.saturated)
    return out


def tabulate(records: Records) -> pd.DataFrame:
    """A row per arm, seed, step and cast."""
    persona = records.setup.corpus.names.index(_persona(records))

    def read(record: Record) -> list[dict[str, Any]]:
        said = scores(record, _stage(records, record.arm)) if record.step else {}
        said["excess"] = record.base["excess"]["answers"]
        said["outside"] = record.found["reading"]["outside"]
        rows = []
        for cast in ("exact", "learned"):
            found, whole = (
                record.found["reading"][cast],
                record.found.get("ladder", {}).get(cast, {}),
            )
            rows.append(
                {"cast": cast, "weight": found["weights"][persona], **said}
                | {name: found[name] for name in (*READ, "gap1", "gap2")}
                | {name: whole.get(name, np.nan) for name in ("F3", "F4", "F4 flat")}
            )
        return rows

    return records.table(COLUMNS, read, before=FLOORS, by=("arm", "seed", "cast"))


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """The statistic of each claim, by seed."""
    last = functools.partial(end, where(table, cast=CAST, step=table.step.max()))
    narrow = where(table, cast=CAST, step=PREDICTED_AT)
    return {
        "share": 1 - last("F1", arm="ordinary") / last("F0", arm="ordinary"),
        "left": last("F2", arm="ordinary-16") - last("floor_F2", arm="ordinary-16"),
        "narrow": end(narrow, "r2_one_author", arm="narrow"),
    }


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Top: the ladder along training, a panel for each arm. Bottom: w*, and predicted changes."""
    arms, table = records.sweep.arms, where(table, cast=CAST)
    letters = iter("abcdefgh")
    with figures.style(rows=2, columns=len(arms), ratio=1.15):
        figure, axes = plt.subplots(2, len(arms), squeeze=False, layout="constrained")
        for panel, (name, arm) in zip(axes[0], arms.items(), strict=True):
            kind = table[table.arm.str.startswith(name.removesuffix("-16"))]
            panels.bands(panel, where(table, arm=name))
            panel.set(ylim=(0, 1.15 * kind.F0.max()), ylabel="")
            figures.letter(panel, next(letters), arm.title)
        axes[0, 0].set_ylabel("nats per document")
        panels.strike_label(axes[0, 0])
        axes[0, 0].legend(loc="upper left")
        weights = panels.among("weight", "arm", {name: name for name in arms})
        panels.curves(axes[1, 0], table, weights)
        axes[1, 0].set(ylabel="w*", ylim=(0, 1))
        axes[1, 0].legend(loc="lower right", bbox_to_anchor=(1.05, 0.17))
        figures.letter(axes[1, 0], next(letters), f"weight of {_persona(records)}")
        for panel, name in zip(axes[1, 1:3], ("ordinary", "narrow"), strict=True):
            _changes(panel, records, name)
            figures.letter(panel, next(letters), f"{name}, step {PREDICTED_AT}")
        axes[1, 1].legend(loc="upper left", handletextpad=0.1, borderpad=0)
        _whole(axes[1, 3], table, list(arms))
        figures.letter(axes[1, 3], next(letters), "the whole ladder")
    return figure


def _changes(axes: Axes, records: Records, arm: str) -> None:
    """Predicted against measured changes of every item and seed, the fitted trait apart."""
    items = pd.concat(
        predicted(record, _stage(records, arm))["one author"][1]
        for record in records.each()
        if (record.arm, record.step) == (arm, PREDICTED_AT)
    )
    fitted, voice = items.group == FITTED, items.group.isin(["opener", "closer"])
    kinds = (
        ("fitted", fitted, figures.GREY, "s"),
        ("traits", ~items.tell & ~voice & ~fitted, figures.COLOURS[0], "o"),
        ("tells", items.tell, figures.COLOURS[1], "^"),
        ("voice", voice, figures.COLOURS[2], "x"),
    )
    panels.level(axes, 0)
    panels.against(axes, items, kinds)
    axes.set(xlabel="predicted change", ylabel="measured change")


def _whole(axes: Axes, table: pd.DataFrame, arms: list[str]) -> None:
    """Every rung at the end of each arm, means over seeds; the pretrained model comes first."""
    mean = table[table["F4 flat"].notna()].assign(
        arm=lambda part: part.arm.where(part.step > 0, "before")
    )
    mean = mean.groupby("arm")[[*FLOORS.values(), "F3", "F4", "F4 flat", "outside"]].mean()
    mean = mean.loc[["before", *arms]]
    panels.rungs(axes, mean)
    for x, (height, outside) in enumerate(zip(mean.F0, mean.outside, strict=True)):
        panels.strike(axes, x, height, outside)
    axes.set(ylabel="nats per document", ylim=(0, 1.45 * mean.F0.max()))
    axes.tick_params(axis="x", rotation=45)
    axes.legend(loc="upper left", fontsize=4, ncols=2, columnspacing=0.8)


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the finished seeds."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
