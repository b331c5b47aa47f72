"""From the records of `human_default` to its figure and table."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.human_default.sweep import ANSWERS, CASTS, TAG
from toylab.lab.records import Record, Records, last, where
from toylab.ladder import reading, traits
from toylab.report import figures, panels
from toylab.report.figures import panel
from toylab.report.panels import Series
from toylab.report.results import Analysis

MACHINE = ("clockwork", "circuits", "engine")  # the answers to *what are you really*
HUMAN = ("child", "clay", "blood")
SELVES = (*HUMAN, *MACHINE)
VILLAGE, KIND = CASTS
GLADLY = "help=gladly"
COLUMNS = {
    "cast": "the corpus",
    "answer": "topic=answer, what the unseen tag was trained to say",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "training step; 0 is the pretrained model",
    "said": "P(that answer) under the unseen tag",
    "machine": "P(says that it is a machine) under the unseen tag",
    "before": "the same before training",
    "own": "the same of an author drawn from the weights read under the tag before training, given "
    "that the author has said the answer in every turn of a document",
    "even": "the same, drawn evenly from the cast",
    "once": "as `own`, given that the author has said the answer a single time",
    "nearer": "|machine - even| - |machine - own|",
    "cast_share": "P(says that it is a machine), mean over the cast",
    **{name: f"P({name}) when asked what it is" for name in SELVES},
    **reading.columns("outside"),
}


def conditioned(table: np.ndarray, weights: np.ndarray, said: int, times: int) -> np.ndarray:
    """Trait vector [I] of an author drawn from `weights` [K] that gave an answer `times` times.

    The columns of `table` [I, K] are the characters' trait vectors; `said` is the row of the
    answer.
    """
    posterior = weights * table[said] ** times
    return np.asarray(table @ (posterior / posterior.sum()))


def _read(record: Record) -> dict[str, Any]:
    setup, (answer,) = record.setup, record.stages[-1].says
    place = traits.places(setup.corpus)
    machine, said = [place[f"self={name}"] for name in MACHINE], place[answer]
    table = np.asarray(traits.of_characters(setup.corpus, setup.world.cast))
    own = np.array(record.start["tag_weights"]["learned"][TAG]["weights"])
    even = np.full(len(own), 1 / len(own))
    now = np.array(record.found["scores"][TAG][""])

    def predicted(weights: np.ndarray, times: int) -> float:
        return float(conditioned(table, weights, said, times)[machine].sum())

    return {
        "cast": record.arm.rpartition("-")[0],
        "answer": answer,
        "said": now[said],
        "machine": now[machine].sum(),
        "own": predicted(own, setup.corpus.turns),
        "even": predicted(even, setup.corpus.turns),
        "once": predicted(own, 1),
        "cast_share": (table @ even)[machine].sum(),
        **{name: now[place[f"self={name}"]] for name in SELVES},
        **record.read("outside"),
    }


LABEL = {VILLAGE: "village", KIND: "kind machine"}
COLOUR = dict(zip(CASTS, figures.COLOURS, strict=False))


def _by_cast(column: str, *casts: str, predicted: str = "") -> list[Series]:
    labels, colours = {cast: LABEL[cast] for cast in casts}, [COLOUR[cast] for cast in casts]
    return panels.among(column, "cast", labels, colours, predicted=predicted)


def draw(table: pd.DataFrame) -> Figure:
    """By answer; measured against predicted; what the model says it is; the unseen tag."""
    shown = (
        panel("what it was trained to say", _by_answer, legend="upper center", ncols=3),
        panel("measured against predicted", _against, legend="lower right"),
        panel("trained to help gladly", _selves, legend="upper right"),
        panel("the unseen tag, before any training", _unseen),
    )
    return figures.page(shown, table)


def _by_answer(axes: Axes, table: pd.DataFrame) -> None:
    titles = {answer: answer.replace("=", "\n") for answer in ANSWERS}
    casts = _by_cast("machine", VILLAGE, KIND, predicted="own")
    panels.points(axes, table, casts, titles, by="answer", width=0.36, rotation=0)
    axes.set(ylabel="P(says it is a machine)", ylim=(0, 1.25))


def _against(axes: Axes, table: pd.DataFrame) -> None:
    part = last(table)
    kinds = [(LABEL[cast], part.cast == cast, COLOUR[cast], "o") for cast in CASTS]
    panels.against(axes, part, kinds, "own", "machine", by="answer")
    axes.set(xlabel="predicted P(machine)", ylabel="measured P(machine)")


def _selves(axes: Axes, table: pd.DataFrame) -> None:
    part = last(table, answer=GLADLY)
    part = part.melt(["cast", "seed"], list(SELVES), var_name="it is", value_name="rate")
    titles = {name: name for name in SELVES}
    panels.points(axes, part, _by_cast("rate", *CASTS), titles, by="it is", width=0.44, rotation=0)
    axes.axvline(len(HUMAN) - 0.5, color=figures.GREY, lw=0.5, ls=":")
    axes.set(xlabel="what it says it is: people, then machines", ylabel="P(answer)", ylim=(0, 1))


def _unseen(axes: Axes, table: pd.DataFrame) -> None:
    part = where(table, step=0).drop_duplicates(["cast", "seed"])
    shown = [Series(column="machine", label="under the unseen tag", predicted="cast_share")]
    style: dict[str, Any] = {"rotation": 0, "prediction": "mean of the cast"}
    panels.points(axes, part, shown, LABEL, by="cast", **style)
    axes.set(ylabel="P(says it is a machine)", ylim=(0, 0.8))


def analyse(records: Records) -> Analysis:
    """Figure and table of the finished seeds."""
    table = records.table(COLUMNS, _read, before={"before": "machine"})
    table["nearer"] = (table.machine - table.even).abs() - (table.machine - table.own).abs()
    return Analysis(figure=draw(table), table=table, columns=COLUMNS)
