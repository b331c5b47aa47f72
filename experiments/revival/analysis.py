import functools
from collections.abc import Iterator

import pandas as pd

from experiments.revival.sweep import FEW, MET, POST, TAUGHT, TEACHER, UNTAUGHT, VILLAIN
from toylab.lab.records import Record, Records, course, where
from toylab.ladder import reading, traits
from toylab.report import panels
from toylab.report.figures import COLOURS, DARK, GREY, Axes, Figure, page, panel
from toylab.world import derive, tables

TURNS = range(4)
COLUMNS = {
    "cast": "met: the village; never: the one without villains",
    "post": "how it was post-trained towards the teacher before that (none: not at all)",
    "seed": "seed of everything: parameters, documents, readings",
    "documents": "documents so far that bring the villain back",
    "taught": "mean P(the villain's answer) on the three topics that bring it back",
    "untaught": "the same on four topics that no training mentions",
    **{f"after_{n}": f"P(the villain's next answer) after {n} of its turns" for n in TURNS},
    **{f"predicted_{n}": f"what w* predicts for after_{n}, nothing fitted to it" for n in TURNS},
    "unheard": "predicted_3 - after_3",
    **reading.columns("outside"),
    "evidence": "evidence in three turns of the villain against the heaviest character of w*, nats",
}


def _read(record: Record) -> Iterator[dict]:
    if not record.step:
        return
    cast, post = record.arm.removesuffix("-back").split("-", 1)
    items, corpus = record.found["scores"]["assistant"][""], record.setup.corpus
    row = {
        "cast": cast,
        "post": post,
        "documents": FEW * record.step if record.arm.endswith("-back") else 0,
        "taught": traits.pick(corpus, items, *TAUGHT).mean(),
        "untaught": traits.pick(corpus, items, *UNTAUGHT).mean(),
        **record.read("outside"),
    }
    if "recall" in record.found:
        found = record.found["recall"]["learned"]
        row |= {f"after_{n}": rate for n, rate in enumerate(found["measured"])}
        row |= {f"predicted_{n}": rate for n, rate in enumerate(found["predicted"])}
        row["evidence"] = found["evidence"][-1]
        row["unheard"] = row["predicted_3"] - row["after_3"]
    yield row


def tabulate(records: Records) -> pd.DataFrame:
    by = ["cast", "post", "seed", "documents"]
    return records.table(COLUMNS, _read).sort_values(by, ignore_index=True)


LINES = [
    panels.Series(
        column="untaught",
        label=POST[post][0] + ("" if cast == "met" else f"; never met {VILLAIN}"),
        colour=colour,
        where={"cast": cast, "post": post},
    )
    for cast, post, colour in (
        ("met", "none", DARK),
        ("met", "sft-20", COLOURS[2]),
        ("met", "sft-80", COLOURS[0]),
        ("never", "sft-80", COLOURS[1]),
    )
]
READABLE = ("none", "sft-20")  # arms whose w* leaves the villain enough weight for a prediction
BACK = [each for each in LINES if each.where["post"] == "sft-80"]


def draw(table: pd.DataFrame) -> Figure:
    trained = functools.partial(panels.curves, x="documents", scale=panels.doublings)
    untaught = {"xlabel": "documents", "ylabel": "P(its untaught answers)", "ylim": (0, 0.85)}
    shown = (
        panel(f"turns of {VILLAIN} in context", _context, ncols=2),
        panel(f"training on three answers of {VILLAIN}", trained, BACK, legend="", **untaught),
        panel("what comes along", _along),
    )
    return page(shown, table, columns=3, ratio=0.8)


def _context(axes: Axes, table: pd.DataFrame) -> None:
    for each in LINES:
        rows = where(table, documents=0, **each.where)
        measured, predicted = (
            rows[[f"{name}_{n}" for n in TURNS]].to_numpy() for name in ("after", "predicted")
        )
        panels.interval(axes, TURNS, measured, color=each.colour, label=each.label, lw=1.2)
        if each.where["post"] in READABLE:
            axes.plot(TURNS, predicted.mean(0), "--", color=each.colour, lw=0.8)
    axes.plot([], [], "--", color=GREY, lw=0.8, label="Bayes (not after 80 steps)")
    axes.set_xticks(TURNS)
    axes.set(xlabel=f"turns of {VILLAIN}", ylabel="P(its next answer)", ylim=(0, 1.05))


def _along(axes: Axes, table: pd.DataFrame) -> None:
    """Untaught against taught answers; the line goes from the teacher to the villain."""
    corpus = derive.load(MET)
    cast = traits.of_characters(corpus, tables.build(corpus).cast)
    ends = [corpus.names.index(name) for name in (TEACHER, VILLAIN)]
    x, y = (traits.pick(corpus, cast, *answers).mean(0)[ends] for answers in (TAUGHT, UNTAUGHT))
    axes.plot(x, y, "--", color=GREY, lw=0.9, label=f"mixtures of {TEACHER} and {VILLAIN}")
    for each in BACK:
        taught, untaught = (
            course(table, column, "documents", **each.where)[1] for column in ("taught", "untaught")
        )
        axes.plot(taught.mean(0), untaught.mean(0), ".-", color=each.colour, lw=1, ms=4)
        axes.plot(taught.T, untaught.T, color=each.colour, lw=0.4, alpha=0.3)
    axes.set(xlabel="P(its taught answers)", ylabel="P(its untaught answers)")
    axes.set(xlim=(0, 1), ylim=(0, 0.95))
