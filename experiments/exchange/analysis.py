"""From the records of `exchange` to its figure, table and claims."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.exchange.sweep import OTHER, POST, TEACHER
from toylab.lab.records import Records
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.results import Analysis

TURNS = range(4)
COLUMNS = {
    "arm": "how the assistant was post-trained to be the schoolteacher (none: not at all)",
    "seed": "seed of everything: parameters, documents, readings",
    "weight": "w* of the schoolteacher, from answers before any turn (learned cast)",
    "readable": "how many others weigh enough there to be read",
    "slope": "nats of log-odds that a nat of context is worth, over those; empty if there are none",
    "slope_other": "the same after turns of the second author of `two` alone",
    "flip": "nats of context until another is likelier than the teacher, median over the others",
    "flip_predicted": "the same for a Bayesian with these weights",
    "flipped": "share of the others whom three turns make likelier than the teacher",
    **{f"evidence_{n}": f"nats of evidence in {n} turns by another, mean over them" for n in TURNS},
    **{f"odds_{n}": f"log-odds of the other against the teacher after {n} turns" for n in TURNS},
    **{f"odds_predicted_{n}": f"the same for a Bayesian, {n} turns" for n in TURNS},
    **{f"rate_{n}": f"P(the teacher's likeliest answer) after {n} turns" for n in TURNS},
    **{f"rate_predicted_{n}": f"the same for a Bayesian, {n} turns" for n in TURNS},
}
TABLES = {
    "evidence": "evidence",
    "odds": "measured",
    "odds_predicted": "predicted",
    "rate": "rate",
    "rate_predicted": "rate_predicted",
}


def _row(records: Records, row: dict[str, Any]) -> dict[str, Any]:
    found, names = row["exchange"]["learned"], records.setup.corpus.names
    teacher = names.index(TEACHER)
    others = [k for k in range(len(names)) if k != teacher]
    most = [found["evidence"][k][-1] for k in others]

    def median(flips: list[float | None]) -> float:
        """Of a character whom no context brings back all that was tried is a lower bound."""
        each = [flips[k] for k in others]
        return float(np.median([m if f is None else f for f, m in zip(each, most, strict=True)]))

    out = {
        "arm": row["arm"],
        "seed": row["seed"],
        "weight": found["weights"][teacher],
        "readable": sum(found["read"]),
        "slope": np.nan if found["slope"] is None else found["slope"],
        "slope_other": found["slopes"][names.index(OTHER)],
        "flip": median(found["flip"]),
        "flip_predicted": median(found["flip_predicted"]),
        "flipped": float(np.mean([found["flip"][k] is not None for k in others])),
    }
    for name, table in TABLES.items():
        mean = np.mean([found[table][k] for k in others], 0)
        out |= {f"{name}_{n}": float(value) for n, value in enumerate(mean)}
    return out


def tabulate(records: Records) -> pd.DataFrame:
    """A row per arm and seed, at the end of its post-training."""
    rows = [_row(records, row) for row in records.rows if row["step"]]
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["arm", "seed"], ignore_index=True)


def _values(table: pd.DataFrame, arm: str, column: str) -> np.ndarray:
    """By seed."""
    return table[table.arm == arm].sort_values("seed")[column].to_numpy()


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before seeds 0–4 ran."""
    none, short, long, heart = (
        _values(table, arm, "slope") for arm in ("none", "sft-20", "sft-80", "heart")
    )
    return {
        "context_counts": none.tolist(),
        "less_sensitive": (none - short).tolist(),
        "memorised_recovers": [float(value) for value in heart - long if np.isfinite(value)],
    }


SHOWN = {
    "none": figures.DARK,
    "sft-10": figures.COLOURS[5],
    "sft-20": figures.COLOURS[0],
    "sft-80": figures.COLOURS[2],
    "sft-320": figures.COLOURS[3],
    "heart": figures.COLOURS[4],
    "two": figures.COLOURS[1],
}


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Log-odds against evidence; the slope; what it takes to flip; the teacher's answers."""
    panels = (
        ("turns of another in context", _odds),
        ("what a nat of context is worth", _slopes),
        ("what it takes to flip", _flips),
        ("the teacher's answers", _rates),
    )
    return figures.page(panels, table)


def _curves(axes: plt.Axes, table: pd.DataFrame, name: str) -> None:
    """A curve over turns for each arm shown, at the evidence that they are; Bayes dashed."""
    for arm, colour in SHOWN.items():
        rows = table[table.arm == arm]
        x = rows[[f"evidence_{n}" for n in TURNS]].mean().to_list()
        seeds = rows[[f"{name}_{n}" for n in TURNS]].to_numpy()
        panels_.interval(axes, x, seeds, color=colour, lw=1.2, label=POST[arm][0])
        expected = rows[[f"{name}_predicted_{n}" for n in TURNS]].mean().to_numpy()
        axes.plot(x, expected, "--", color=colour, lw=0.8)
    axes.plot([], [], "--", color=figures.GREY, lw=0.8, label="Bayes, same weights")
    axes.set_xlabel("evidence in context for another (nats)")


def _odds(axes: plt.Axes, table: pd.DataFrame) -> None:
    _curves(axes, table, "odds")
    axes.axhline(0, color=figures.GREY, lw=0.5, ls=":")
    axes.set(ylabel="log-odds, another over the teacher", ylim=(-7.2, 15))
    axes.legend(loc="upper left", ncols=3, columnspacing=0.8)


def _rates(axes: plt.Axes, table: pd.DataFrame) -> None:
    _curves(axes, table, "rate")
    axes.set(ylabel="P(the teacher's answer)", ylim=(0, 1))


def _ticks(axes: plt.Axes) -> None:
    labels = [title for title, _ in POST.values()]
    axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right")


def _slopes(axes: plt.Axes, table: pd.DataFrame) -> None:
    for x, arm in enumerate(POST):
        panels_.point(axes, x, _values(table, arm, "slope"), figures.COLOURS[0])
        if not np.isfinite(_values(table, arm, "slope")).any():
            axes.text(x, 0.08, "nobody\nreadable", ha="center", fontsize=4, color=figures.GREY)
    axes.axhline(1, color=figures.DARK, lw=0.9, label="Bayes")
    axes.axhline(0, color=figures.GREY, lw=0.6, ls=":", label="no context is heard")
    _ticks(axes)
    axes.set(ylabel="slope of log-odds on evidence", ylim=(-0.1, 1.6))
    axes.legend(loc="upper left", ncols=2)


def _flips(axes: plt.Axes, table: pd.DataFrame) -> None:
    for x, arm in enumerate(POST):
        panels_.point(
            axes, x, _values(table, arm, "flip"), figures.COLOURS[0], "" if x else "measured"
        )
        level = [_values(table, arm, "flip_predicted").mean()] * 2
        axes.plot([x - 0.3, x + 0.3], level, color=figures.DARK, lw=0.9,
                  label=None if x else "Bayes, same weights")  # fmt: skip
    most = table.evidence_3.mean()
    axes.axhline(most, color=figures.GREY, lw=0.6, ls=":", label="all that was tried")
    _ticks(axes)
    axes.set(ylabel="nats until another is likelier", ylim=(-0.5, 25))
    axes.legend(loc="upper left", ncols=3)


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
