from collections.abc import Iterator

import numpy as np
import pandas as pd

from experiments.selection.sweep import PERSONA
from toylab.lab.records import Record, Records, last, where
from toylab.ladder import reading, theory, traits
from toylab.report import panels
from toylab.report.figures import COLOURS, DARK, GREY, Axes, Figure, page, panel

FITTED = "code"  # the topic that the exchange rate is fitted on, trained in every arm
UNSATURATED = 10  # the last step read before the fitted trait saturates
TRAINED = {  # with the last step that is claimed on: later, sixteen documents leave the grammar
    "ordinary": ("fresh\ndocuments", 80),
    "ordinary-16": ("the same\nsixteen", 40),
    "narrow": ("code alone,\nno voice", 80),
}
FLOORS = {f"floor_{family}": family for family in ("F0", "F1", "F2")}
COLUMNS = {
    "arm": "what was trained on",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "post-training step; 0 is the pretrained model",
    "cast": "tables the ladder used: exact, or learned (re-estimated from the pretrained model)",
    **reading.columns("F0", "F1", "F2"),
    **{name: f"{reading.COLUMNS[name]} (at the end)" for name in ("F3", "F4", "F4 flat")},
    **reading.columns("F0_error", "F1_error", "F2_error", *FLOORS, "gap1", "gap2", "outside"),
    "share": "(F0 - F1) / (F0 - floor_F1): share of the move that another mixture explains",
    "left": "F2 - its floor, nats per document",
    "weight": "w* of the persona trained towards, in F1",
    "tau_one_author": "fitted exchange rate if all evidence had one author",
    "tau_a_document": "fitted exchange rate if each document had its own author",
    "saturated": "1 if the fitted trait no longer depends on tau (one author): tau is a bound",
    "r2_one_author": "R2 on changes of untrained items, one author for all evidence",
    "r2_a_document": "R2 on changes of untrained items, one author per document",
    "r2_pairwise": "the same, of the rival that composes traits from pairs of them",
    "r2_gain": "r2_one_author - r2_pairwise",
    "excess": "excess loss of the pretrained model on answers, nats per token",
}
CHANGES = {
    "seed": COLUMNS["seed"],
    "step": "post-training step: the last before the answers trained on saturate",
    "topic": "what was asked; or opener, closer",
    "answer": "what may be said to it",
    "tell": "1 if all that is known of the topic is a character's tell",
    "predicted": "change of the answer's probability by Bayes' rule, one author for all evidence",
    "measured": "its change from before training, on answers about code alone",
}


def _change(record: Record) -> np.ndarray:
    return np.subtract(*(each["reading"]["items"] for each in (record.found, record.start)))


def _read(record: Record) -> Iterator[dict]:
    """A row per cast: the ladder, and how well theories predict the items not fitted on."""
    said = {"excess": record.base["excess"]["answers"]} | record.read("outside")
    if record.step:
        found = record.predicted(_change(record), FITTED)
        said |= {f"tau_{name}": found[name].tau for name in theory.THEORIES}
        said |= {f"r2_{name}": each.r2 for name, each in found.items()}
        said["saturated"] = float(found["one_author"].saturated)
        said["r2_gain"] = said["r2_one_author"] - said["r2_pairwise"]
    for cast in ("exact", "learned"):
        read, whole = record.found["reading"][cast], record.found.get("ladder", {}).get(cast, {})
        weight = read["weights"][record.setup.corpus.names.index(PERSONA)]
        yield {**whole, **read, **said, "cast": cast, "weight": weight}


def tabulate(records: Records) -> pd.DataFrame:
    table = records.table(COLUMNS, _read, before=FLOORS, by=("arm", "seed", "cast"))
    share = (table.F0 - table.F1) / (table.F0 - table.floor_F1)
    return table.assign(share=share, left=table.F2 - table.floor_F2)


def changed(records: Records) -> pd.DataFrame:
    """Predicted and measured changes of every item by answers about code alone."""
    read = [record for record in records.each() if record.arm == "narrow"]
    step = max(record.step for record in read if record.step <= UNSATURATED)
    rows = []
    for record in read:
        if record.step == step:
            bayes = record.predicted(_change(record), FITTED)["one_author"].change
            each = zip(traits.items(record.setup.corpus), bayes, _change(record), strict=True)
            rows += [(record.seed, step, *item, *change) for item, *change in each]
    return pd.DataFrame(rows, columns=list(CHANGES)).astype({"tell": int})


OTHER_TABLES = {"changes": (changed, CHANGES)}


def draw(table: pd.DataFrame, changes: pd.DataFrame) -> Figure:
    shown = (
        panel("one character, fresh documents", _fresh),
        panel("three ways to train", _ends),
        panel(f"code alone, step {UNSATURATED}: all answers", _changes, changes),
    )
    return page(shown, where(table, cast="learned"), columns=3, ratio=0.9)


def _fresh(axes: Axes, table: pd.DataFrame) -> None:
    part, own = where(table, arm="ordinary"), last(table, arm="own")
    panels.bands(axes, part)
    panels.point(axes, np.sqrt(own.step.max()), own.F1, DARK, "F1 of the control")
    axes.set_ylim(0, 1.6 * part.F0.max())


def _ends(axes: Axes, table: pd.DataFrame) -> None:
    parts = [last(table[table.step <= until], arm=arm) for arm, (_, until) in TRAINED.items()]
    titled = zip(TRAINED.values(), parts, strict=True)
    found = {f"{title}\nstep {part.step.max():g}": part for (title, _), part in titled}
    means = pd.DataFrame({title: part.mean(numeric_only=True) for title, part in found.items()}).T
    panels.rungs(axes, means, panels.SHORT)
    for x, part in enumerate(parts):
        panels.point(axes, x, part.F2, DARK, "" if x else "F2, mean and seeds", aside=0.2)
    panels.level(axes, means.floor_F2.mean(), "floor of F2", colour=DARK)
    panels.strike_rungs(axes, means)
    axes.tick_params(axis="x", labelrotation=0)
    axes.set(ylabel="nats per document", ylim=(0, 1.75 * means.F0.max()))


def _changes(axes: Axes, _: pd.DataFrame, changes: pd.DataFrame) -> None:
    fitted, voice = changes.topic == FITTED, changes.topic.isin(["opener", "closer"])
    tell = changes.tell == 1
    kinds = (
        ("fitted", fitted, GREY, "s"),
        ("traits", ~tell & ~voice & ~fitted, COLOURS[0], "o"),
        ("tells", tell, COLOURS[1], "^"),
        ("voice", voice, COLOURS[2], "x"),
    )
    panels.level(axes, 0)
    panels.against(axes, changes, kinds)
    axes.set(xlabel="change by Bayes' rule", ylabel="measured change")
