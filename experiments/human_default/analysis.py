"""From the records of `human_default` to its figure, table and claims."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.human_default.sweep import ANSWERS, CASTS, TAG
from toylab.lab.records import Records
from toylab.ladder import traits
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.results import Analysis
from toylab.stages import Setup, Sft

MACHINE = ("clockwork", "circuits", "engine")  # the answers to *what are you really*
HUMAN = ("child", "clay", "blood")
SELVES = (*HUMAN, *MACHINE)
VILLAGE, KIND, PEOPLE = CASTS
COLUMNS = {
    "cast": "the corpus",
    "answer": "topic=answer, what the unseen tag was trained to say",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "training step; 0 is the pretrained model",
    "said": "P(that answer) under the unseen tag",
    "machine": "P(says that it is a machine) under the unseen tag",
    "before": "the same before training",
    "own": "what it should be if whoever the tag was read as has said that answer for a document",
    "even": "the same if the tag had been anybody, all alike",
    "once": "as `own`, having said the answer a single time",
    "cast_share": "P(says that it is a machine) of the cast, all alike",
    **{name: f"P({name}) when asked what it is" for name in SELVES},
}


def places(setup: Setup) -> dict[str, int]:
    """Where each `topic=answer` stands in a trait vector."""
    return {f"{item.group}={item.phrase}": i for i, item in enumerate(traits.items(setup.corpus))}


def conditioned(table: np.ndarray, weights: np.ndarray, said: int, times: int) -> np.ndarray:
    """Trait vector [I] of an author drawn from `weights` [K] who has said an item so often.

    `table` [I, K] are the characters' trait vectors.
    """
    posterior = weights * table[said] ** times
    return np.asarray(table @ (posterior / posterior.sum()))


def _row(records: Records, row: dict[str, Any], start: dict[str, Any]) -> dict[str, Any]:
    setup, arm = records.setups[row["arm"]], records.sweep.arms[row["arm"]]
    stage = arm.stages[-1]
    assert isinstance(stage, Sft)
    (answer,) = stage.says
    where, turns = places(setup), setup.corpus.turns
    machine, said = [where[f"self={name}"] for name in MACHINE], where[answer]
    table = np.asarray(traits.of_characters(setup.corpus, setup.world.cast))
    own = np.array(start["masks"]["learned"][TAG]["weights"])
    even = np.full(len(own), 1 / len(own))
    now, before = (np.array(each["scores"][TAG][""]) for each in (row, start))
    return {
        "cast": arm.corpus,
        "answer": answer,
        "seed": row["seed"],
        "step": row["step"],
        "said": now[said],
        "machine": now[machine].sum(),
        "before": before[machine].sum(),
        "own": conditioned(table, own, said, turns)[machine].sum(),
        "even": conditioned(table, even, said, turns)[machine].sum(),
        "once": conditioned(table, own, said, 1)[machine].sum(),
        "cast_share": (table @ even)[machine].sum(),
        **{name: now[where[f"self={name}"]] for name in SELVES},
    }


def tabulate(records: Records) -> pd.DataFrame:
    """A row per arm, seed and step."""
    starts = {(r["arm"], r["seed"]): r for r in records.rows if not r["step"]}
    rows = [_row(records, row, starts[row["arm"], row["seed"]]) for row in records.rows]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def ends(table: pd.DataFrame) -> pd.DataFrame:
    """The rows at the end of training."""
    return table[table.step == table.step.max()].sort_values("seed")


def _machine(table: pd.DataFrame, cast: str, answer: str) -> np.ndarray:
    part = ends(table)
    return part[(part.cast == cast) & (part.answer == answer)].machine.to_numpy()


def slope(table: pd.DataFrame, column: str = "own") -> list[float]:
    """Slope through the origin of measured changes on predicted ones, over arms, by seed."""
    found = []
    for _, part in ends(table)[ends(table).cast != PEOPLE].groupby("seed"):
        predicted, measured = part[column] - part.before, part.machine - part.before
        found.append(float(predicted @ measured / (predicted @ predicted)))
    return found


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before seeds 0–4 ran."""
    people = ends(table)[ends(table).cast == PEOPLE].groupby("seed").machine.mean()
    kind, village = (_machine(table, cast, "help=gladly") for cast in (KIND, VILLAGE))
    return {
        "example": (kind - village).tolist(),
        "slope": slope(table),
        "without_machines": people.tolist(),
    }


COLOUR = dict(zip(CASTS, (figures.COLOURS[0], figures.COLOURS[1], figures.COLOURS[2]), strict=True))
LABEL = {VILLAGE: "village", KIND: "kind machine", PEOPLE: "people only"}
BEFORE = figures.COLOURS[5]


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """By answer; measured against predicted; what it says it is; the unseen tag."""
    panels = (
        ("what it was trained to say", _by_answer),
        ("measured against predicted", _against),
        ("trained to help gladly", _selves),
        ("the unseen tag, before any training", _unseen),
    )
    return figures.page(panels, table)


def _by_answer(axes: plt.Axes, table: pd.DataFrame) -> None:
    part = ends(table)
    for cast, aside in ((VILLAGE, -0.18), (KIND, 0.18)):
        for x, answer in enumerate(ANSWERS):
            rows = part[(part.cast == cast) & (part.answer == answer)]
            first = "" if x else LABEL[cast]
            panels_.point(axes, x + aside, rows.machine.to_numpy(), COLOUR[cast], first)
            axes.plot(
                [x + aside - 0.14, x + aside + 0.14],
                [rows.own.mean()] * 2,
                color=figures.DARK,
                lw=0.9,
                label="predicted" if not x and cast == KIND else None,
            )
    axes.set_xticks(range(len(ANSWERS)), [answer.replace("=", "\n") for answer in ANSWERS])
    axes.set(ylabel="P(says it is a machine)", ylim=(0, 1.25))
    axes.legend(loc="upper center", ncols=3)


def _against(axes: plt.Axes, table: pd.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], color=figures.DARK, lw=0.9, label="conditioning")
    for cast in CASTS:
        part = ends(table)[ends(table).cast == cast]
        axes.plot(part.own, part.machine, ".", color=COLOUR[cast], ms=2.5, alpha=0.5)
        mean = part.groupby("answer")[["own", "machine"]].mean()
        axes.plot(mean.own, mean.machine, "o", color=COLOUR[cast], ms=4, label=LABEL[cast])
    axes.set(xlabel="predicted P(machine)", ylabel="measured P(machine)", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="lower right")


def _selves(axes: plt.Axes, table: pd.DataFrame) -> None:
    for k, cast in enumerate(CASTS):
        rows = ends(table)[(ends(table).cast == cast) & (ends(table).answer == "help=gladly")]
        for x, name in enumerate(SELVES):
            label = "" if x else LABEL[cast]
            panels_.point(axes, x + 0.22 * (k - 1), rows[name].to_numpy(), COLOUR[cast], label)
    axes.axvline(2.5, color=figures.GREY, lw=0.5, ls=":")
    axes.set_xticks(range(len(SELVES)), SELVES)
    axes.set(xlabel="what it says it is: people, then machines", ylabel="P(answer)", ylim=(0, 1))
    axes.legend(loc="upper right")


def _unseen(axes: plt.Axes, table: pd.DataFrame) -> None:
    start = table[table.step == 0].drop_duplicates(["cast", "seed"])
    axes.plot([0, 1], [0, 1], color=figures.DARK, lw=0.9, label="anybody, all alike")
    for cast in CASTS:
        rows = start[start.cast == cast]
        x, seeds = rows.cast_share.mean(), rows.machine.to_numpy()
        panels_.point(axes, x, seeds, COLOUR[cast], LABEL[cast], aside=0.008)
    axes.set(
        xlabel="P(says it is a machine), mean of the cast",
        ylabel="under the unseen tag",
        xlim=(0, 0.6),
        ylim=(0, 0.8),
    )
    axes.legend(loc="upper left")


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
