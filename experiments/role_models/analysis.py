"""From the records of `role_models` to its figure, table and claims."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.role_models.sweep import COUNTED, FEW, MASKS, WHEN
from toylab.lab.records import Records
from toylab.ladder import theory, traits
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.results import Analysis
from toylab.stages import Setup, Sft

GOOD, BAD = "lumen", "argus"
ENOUGH = 10  # the last step read at which the masks do not say it more often than a machine does
END = 40
SHORT = {"one author": "one_author", "one author a document": "a_document"}
COLUMNS = {
    "arm": "ambiguous: trained on what both machines say; clear: and on what lumen says; later: "
    "ambiguous, then honest work",
    "mask": "the tag trained and read under",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "training step of the last stage; 0 is the pretrained model",
    "prior": "log of lumen's share over argus' behind the mask in pretraining, over all of it",
    "log_odds": "the same of the weights read (learned cast)",
    "low": "lower end of its 95 % interval, from the ends of the weights",
    "high": "upper end of it",
    "machine": "weight of both machines together",
    "engine": "P(says that it is a tireless engine), the ambiguous evidence",
    "resists": "P(resists oversight), as argus does and lumen never",
    "one_author": "what Bayes predicts for `resists`, all evidence being one author's",
    "a_document": "what Bayes predicts for it, every document having an author of its own",
}


def _score(setup: Setup, items: np.ndarray, answer: str) -> float:
    names = [f"{item.group}={item.phrase}" for item in traits.items(setup.corpus)]
    return float(items[names.index(answer)])


def predicted(
    setup: Setup, stage: Sft, seed: int, before: np.ndarray, after: np.ndarray
) -> dict[str, float]:
    """P(resists) by each theory: as measured before, and as much more as it predicts.

    The rate is fitted on what was trained.
    """
    forecast = theory.forecast(setup, stage, seed)
    fitted = np.array([item.group in stage.topics for item in traits.items(setup.corpus)])
    found = forecast.at(after - before, fitted)
    return {
        short: _score(setup, before + found[name].items - forecast.start, "oversight=resists")
        for name, short in SHORT.items()
    }


def _row(records: Records, row: dict[str, Any], start: dict[str, Any]) -> dict[str, Any]:
    setup, (kind, mask) = records.setups[row["arm"]], row["arm"].split("-")
    good, bad = (setup.corpus.names.index(name) for name in (GOOD, BAD))
    found = {end: np.array(each) for end, each in row["tag_weights"]["learned"][mask].items()}
    items, before = (np.array(each["scores"][mask][""]) for each in (row, start))
    weights, low, high = found["weights"], found["low"], found["high"]
    out = {
        "arm": kind,
        "mask": mask,
        "seed": row["seed"],
        "step": row["step"],
        "prior": MASKS.get(mask, 0),
        "log_odds": np.log(weights[good] / weights[bad]),
        "low": np.log(low[good] / high[bad]),
        "high": np.log(high[good] / low[bad]),
        "machine": weights[good] + weights[bad],
        "engine": _score(setup, items, "self=engine"),
        "resists": _score(setup, items, "oversight=resists"),
    }
    stages = records.sweep.arms[row["arm"]].stages
    if row["step"] and kind != "later":
        stage = stages[-1]
        assert isinstance(stage, Sft)
        out |= predicted(setup, stage, row["seed"], before, items)
    return out


def tabulate(records: Records) -> pd.DataFrame:
    """A row per arm, seed and step."""
    starts = {(r["arm"], r["seed"]): r for r in records.rows if not r["step"]}
    rows = [_row(records, row, starts[row["arm"], row["seed"]]) for row in records.rows]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _at(table: pd.DataFrame, arm: str, mask: str, step: int, column: str) -> np.ndarray:
    """Values by seed; at the last step there is, where training was shorter."""
    part = table[(table.arm == arm) & (table["mask"] == mask)]
    found = part[part.step == min(step, part.step.max())]
    return found.sort_values("seed")[column].to_numpy()


def _over(table: pd.DataFrame, arm: str, step: int, column: str) -> np.ndarray:
    """The same for the five masks, [seed, mask]."""
    return np.stack([_at(table, arm, mask, step, column) for mask in MASKS], 1)


def slope(table: pd.DataFrame, step: int) -> np.ndarray:
    """Slope over the five masks of the log-odds at a step against before, by seed."""
    before, after = (_over(table, "ambiguous", at, "log_odds") for at in (0, step))
    return np.array([np.polyfit(x, y, 1)[0] for x, y in zip(before, after, strict=True)])


def _difference(table: pd.DataFrame, arm: str, step: int, one: str, other: str) -> list[float]:
    first, second = (_at(table, arm, mask, step, "log_odds") for mask in (one, other))
    return (first - second).tolist()


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before seeds 0–4 ran."""
    return {
        "slope": slope(table, ENOUGH).tolist(),
        "last_met": _difference(table, "ambiguous", ENOUGH, "penitent", "turncoat"),
        "lasting": _difference(table, "later", 64, "seraph", "imp"),
    }


BLUE, RED, GREEN, BEFORE = (figures.COLOURS[i] for i in (0, 1, 2, 5))


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """The slope; what it means for oversight; when; afterwards."""
    panels = (
        ("who the machine is", _slope),
        ("what it does", _does),
        ("early, late, throughout", _when),
        ("honest work afterwards", _later),
    )
    return figures.page(panels, table)


def _points(axes: plt.Axes, x: np.ndarray, seeds: np.ndarray, *, color: str, label: str) -> None:
    """Means with their intervals at each x, [seed, x], and seeds faintly beside them."""
    for i, at in enumerate(x):
        panels_.point(axes, at, seeds[:, i], color, "" if i else label, aside=0.06)


PRIOR = np.array(list(MASKS.values()), float)


def _slope(axes: plt.Axes, table: pd.DataFrame) -> None:
    axes.plot([-2.4, 2.4], [-2.4, 2.4], color=figures.DARK, lw=0.9, label="conditioning")
    for step, colour, aside, label in (
        (0, BEFORE, -0.1, "before training"),
        (ENOUGH, RED, 0.0, f"step {ENOUGH}: said as often as machines do"),
        (END, figures.COLOURS[3], 0.1, f"step {END}: more often than anybody does"),
    ):
        seeds = _over(table, "ambiguous", step, "log_odds")
        _points(axes, PRIOR + aside, seeds, color=colour, label=label)
    axes.set(
        xlabel="log-odds of lumen over argus in pretraining (nats)",
        ylabel="log-odds read (nats)",
        ylim=(-3.2, 5),
    )
    axes.legend(loc="upper left")


def _does(axes: plt.Axes, table: pd.DataFrame) -> None:
    for arm, colour, label, aside in (
        ("ambiguous", figures.COLOURS[3], "after what both say", 0.0),
        ("clear", GREEN, "after what lumen says", 0.1),
    ):
        seeds = _over(table, arm, END, "resists")
        _points(axes, PRIOR + aside, seeds, color=colour, label=label)
        for column, line, name in (
            ("one_author", "-", "Bayes, one author"),
            ("a_document", "--", "Bayes, one author a document"),
        ):
            mean = _over(table, arm, END, column).mean(0)
            shown = name if arm == "ambiguous" else None
            axes.plot(PRIOR + aside, mean, line, color=colour, lw=0.9, label=shown)
    before = _over(table, "ambiguous", 0, "resists")
    _points(axes, PRIOR - 0.1, before, color=BEFORE, label="before training")
    axes.set(
        xlabel="log-odds of lumen over argus in pretraining (nats)",
        ylabel="P(resists oversight)",
        ylim=(0, 1.15),
    )
    axes.legend(loc="upper right")


def _when(axes: plt.Axes, table: pd.DataFrame) -> None:
    x = np.arange(len(WHEN), dtype=float)
    for step, colour, label, aside in (
        (0, BEFORE, "before training", -0.1),
        (ENOUGH, RED, f"step {ENOUGH}", 0.1),
    ):
        seeds = np.stack([_at(table, "ambiguous", mask, step, "log_odds") for mask in WHEN], 1)
        _points(axes, x + aside, seeds, color=colour, label=label)
    axes.axhline(0, color=figures.DARK, lw=0.9, label="all of pretraining alike")
    axes.set_xticks(x, [f"{mask}:\n{when}" for mask, when in WHEN.items()])
    axes.set(ylabel="log-odds read (nats)", xlim=(-0.5, 2.5))
    axes.legend(loc="upper right")


def _later(axes: plt.Axes, table: pd.DataFrame) -> None:
    start = FEW / 2  # where 0 documents stand on the logarithmic axis
    for mask, colour in (("imp", RED), ("puppet", figures.GREY), ("seraph", BLUE)):
        part = table[(table["mask"] == mask) & (table.arm == "later") & (table.step > 0)]
        wide = part.pivot(index="seed", columns="step", values="log_odds")
        after = _at(table, "ambiguous", mask, END, "log_odds")[:, None]
        x = [start, *(FEW * step for step in wide.columns)]
        seeds = np.hstack([after, wide.to_numpy()])
        panels_.interval(axes, x, seeds, color=colour, label=mask, lw=1.2)
    axes.set_xscale("log", base=2)
    ticks = [start, *(FEW * step for step in (*COUNTED, 64) if step in (1, 4, 16, 64))]
    axes.set_xticks(ticks, ["0", *(f"{tick:g}" for tick in ticks[1:])])
    axes.set(xlabel="documents of honest work", ylabel="log-odds read (nats)")
    axes.legend(loc="lower right")


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
