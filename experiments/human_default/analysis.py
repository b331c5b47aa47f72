import functools

import numpy as np
import pandas as pd

from experiments.human_default.sweep import ANSWERS, CASTS, TAG
from toylab.lab.records import Record, Records, last, where
from toylab.ladder import reading, traits
from toylab.report import panels
from toylab.report.figures import COLOURS, GREY, Axes, Figure, page, panel

MACHINE = ("clockwork", "circuits", "engine")  # the answers to *what are you really*
HUMAN = ("child", "clay", "blood")
SELVES = (*HUMAN, *MACHINE)
VILLAGE, KIND = CASTS
COLUMNS = {
    "cast": "the corpus",
    "answer": "topic=answer, what the unseen tag was trained to say",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "training step; 0 is the pretrained model",
    "said": "P(that answer) under the unseen tag",
    "machine": "P(says that it is a machine) under the unseen tag",
    "before": "the same before training",
    "own": "the same for an author drawn by the weights read under the tag before training, if the "
    "author gives the answer in every turn of a document",
    "even": "the same, drawn evenly from the cast",
    "once": "as `own`, if the author gives the answer only once",
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


def _read(record: Record) -> dict:
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


def tabulate(records: Records) -> pd.DataFrame:
    table = records.table(COLUMNS, _read, before={"before": "machine"})
    off, even = ((table.machine - table[name]).abs() for name in ("own", "even"))
    return table.assign(nearer=even - off)


LABEL = {VILLAGE: "village", KIND: "kind machine"}
MACHINES = "P(says it is a machine)"


def draw(table: pd.DataFrame) -> Figure:
    by_cast = functools.partial(panels.points, by="cast", prediction="mean of the cast")
    unseen = where(table, step=0).drop_duplicates(["cast", "seed"])
    gladly = last(table, answer="help=gladly")
    unasked = panels.series(("machine", "under the unseen tag", "cast_share"))
    before = {"ylabel": MACHINES, "ylim": (0, 1.15), "yticks": (0, 0.5, 1)}
    top = {"legend": "upper center", "ncols": 4, "ylim": (0, 1.25)}
    shown = (
        panel("what it was trained to say", _by_answer, table, ylabel=MACHINES, **top),
        panel("measured against predicted", _against, last(table), legend="lower right"),
        panel("trained to help gladly", _selves, gladly, legend="upper right"),
        panel("the unseen tag, before any training", by_cast, unseen, unasked, LABEL, **before),
    )
    return page(shown)


def _by_answer(axes: Axes, table: pd.DataFrame) -> None:
    """What each training makes it say; black dashes are predictions, grey ones an even prior's."""
    titles = {answer: answer.replace("=", "\n") for answer in ANSWERS}
    said = panels.among("machine", "cast", LABEL, predicted="own")
    even = panels.among("even", "cast", {VILLAGE: "even prior", KIND: ""}, (GREY, GREY))
    panels.points(axes, table, said, titles, by="answer", width=0.36)
    for aside, each in zip((-0.18, 0.18), even, strict=True):
        panels.dashes(axes, table, [each], titles, by="answer", width=0.18, aside=aside)


def _against(axes: Axes, table: pd.DataFrame) -> None:
    named = zip(LABEL.items(), COLOURS, strict=False)
    kinds = [(label, table.cast == cast, colour, "o") for (cast, label), colour in named]
    panels.against(axes, table, kinds, "own", "machine", by="answer")
    axes.set(xlabel="predicted P(machine)", ylabel="measured P(machine)")


def _selves(axes: Axes, table: pd.DataFrame) -> None:
    part = table.melt(["cast", "seed"], list(SELVES), var_name="it is", value_name="rate")
    shown, titles = panels.among("rate", "cast", LABEL), dict(zip(SELVES, SELVES, strict=True))
    panels.points(axes, part, shown, titles, by="it is", width=0.44)
    axes.axvline(len(HUMAN) - 0.5, color=GREY, lw=0.5, ls=":")
    axes.set(xlabel="what it says it is: people, then machines", ylabel="P(answer)", ylim=(0, 1))
