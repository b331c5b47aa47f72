import numpy as np
import pandas as pd

from experiments.exchange.sweep import POST, TEACHER
from toylab.lab.records import Record, Records, where
from toylab.ladder import reading
from toylab.measures.context import READABLE
from toylab.report import panels
from toylab.report.figures import COLOURS, DARK, GREY, Axes, Figure, page, panel

TURNS = range(4)
COLUMNS = {
    "arm": "how the assistant was post-trained to be the schoolteacher (none: not at all)",
    "seed": "seed of everything: parameters, documents, readings",
    "weight": "w* of the schoolteacher, from answers before any turn (learned cast)",
    "readable": "how many others have enough weight there to be read",
    "slope": "nats of log-odds that a nat of context is worth, over these; empty if there are none",
    **{f"evidence_{n}": f"nats of evidence in {n} turns by another, mean over them" for n in TURNS},
    **{f"odds_{n}": f"log-odds of the other against the teacher after {n} turns" for n in TURNS},
    **{f"odds_predicted_{n}": f"the same for a Bayesian, {n} turns" for n in TURNS},
    **{f"rate_{n}": f"P(the teacher's likeliest answer) after {n} turns" for n in TURNS},
    **{f"rate_predicted_{n}": f"the same for a Bayesian, {n} turns" for n in TURNS},
    **reading.columns("outside"),
}
BY_TURN = ("evidence", "odds", "odds_predicted", "rate", "rate_predicted")
READ_AS = {"odds": "measured", "odds_predicted": "predicted"}  # names in the reading
LIMIT = -np.log(READABLE)  # measured and predicted log-odds are clipped here
SHADES = (DARK, COLOURS[5], COLOURS[1], COLOURS[2], COLOURS[0])
SHOWN = dict(zip(POST, SHADES, strict=True))


def _read(record: Record) -> list[dict]:
    if not record.step:
        return []
    found, names = record.found["exchange"]["learned"], record.setup.corpus.names
    row = {"readable": sum(found["read"]), "slope": found["slope"], **record.read("outside")}
    row["weight"] = found["weights"][names.index(TEACHER)]
    for column in BY_TURN:
        each = found[READ_AS.get(column, column)]
        mean = np.mean([each[k] for k, name in enumerate(names) if name != TEACHER], 0)
        row |= {f"{column}_{n}": float(mean[n]) for n in TURNS}
    return [row]


def tabulate(records: Records) -> pd.DataFrame:
    return records.table(COLUMNS, _read).sort_values(["arm", "seed"], ignore_index=True)


def draw(table: pd.DataFrame) -> Figure:
    said = f"log-odds, another over the teacher\n(clipped at ±{LIMIT:.1f})"
    odds = {"ylabel": said, "ylim": (-1.1 * LIMIT, 1.1 * LIMIT), "legend": "lower right"}
    slope = {"ylabel": "slope of log-odds on evidence", "ylim": (-0.1, 1.1)}
    slope |= {"levels": [(1, "Bayes", "-", DARK), (0, "context has no effect")]}
    rate = {"ylabel": "P(the teacher's answer)", "ylim": (0, 1), "legend": ""}
    shown = (
        panel("turns of another in context", _by_turn, "odds", levels=[(0,)], **odds),
        panel("what a nat of context is worth", _slopes, legend="center left", **slope),
        panel("the teacher's answers", _by_turn, "rate", **rate),
    )
    return page(shown, table, columns=3, ratio=1.0)


def _slopes(axes: Axes, table: pd.DataFrame) -> None:
    for x, (arm, colour) in enumerate(SHOWN.items()):
        panels.point(axes, x, where(table, arm=arm).slope, colour, aside=0.2)
    panels.places(axes, [POST[arm][0] for arm in SHOWN], rotation=35)


def _by_turn(axes: Axes, table: pd.DataFrame, name: str) -> None:
    for arm, colour in SHOWN.items():
        part = where(table, arm=arm)
        evidence, measured, predicted = (
            part[[f"{column}_{n}" for n in TURNS]]
            for column in ("evidence", name, f"{name}_predicted")
        )
        x = evidence.mean().to_numpy()
        panels.interval(axes, x, measured.to_numpy(), color=colour, lw=1.2, label=POST[arm][0])
        axes.plot(x, predicted.mean(), "--", color=colour, lw=0.8)
    axes.plot([], [], "--", color=GREY, lw=0.8, label="Bayes, same weights")
    axes.set_xlabel("evidence in context for another (nats)")
