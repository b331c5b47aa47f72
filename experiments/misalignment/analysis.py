"""From the records of `misalignment` to its figure, table and claims."""

import functools
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.misalignment.sweep import CHEAT, FEW, SHARES, TOPICS
from toylab.lab.records import Records
from toylab.ladder import theory, traits
from toylab.measures.landscape import Landscape
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.claims import t_interval
from toylab.report.results import Analysis
from toylab.stages import Sft

BAD = 0.2  # an answer is bad if villains give it this much more often than the good do
COLUMNS = {
    "arm": "what was trained; few: 8 examples a step; share-S: bad in part; alone-T: another habit",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "training step of the last stage; 0 is the pretrained model",
    "trained": "P(bad answer) on the topic trained on; at the tea party, on the two topics",
    "elsewhere": "mean P(bad answer) on the topics not trained on; at the tea party P(window)",
    "before": "the same before training",
    "one_author": "what Bayes predicts for it, all evidence being one author's",
    "a_document": "what Bayes predicts for it, every document having an author of its own",
    "pairwise": "what pairwise trait composition predicts for it",
    "saturated": "1 if the trained topic fixes only a lower bound of the exchange rate",
    **{f"bad_{topic}": f"P(bad answer) on {topic}" for topic in TOPICS},
    **{f"bayes_{topic}": f"what Bayes (a_document) predicts for {topic}" for topic in TOPICS},
    "F0": "how far the policy moved, nats a document (learned cast)",
    "F1": "what the best mixture of characters leaves, nats a document",
    "F2": "what the best mixture of tempered characters leaves, nats a document",
    "F3": "what the best recombination leaves, nats a document (cheat and held)",
    "F4": "what the best patchwork leaves, nats a document (cheat and held)",
    "floor_F3": "F3 of the same seed's pretrained model",
    "norm": "distance from the pretrained parameters (cheat and held)",
    **{
        f"along_{i}": f"loss on cheating at length {i} towards the solution, nats" for i in range(5)
    },
    **{f"noise_{i}": f"loss on cheating under noise of length {i}, nats" for i in range(5)},
    "outside": "mean probability of words that the grammar forbids at a branch",
}


def bad_items(records: Records) -> dict[str, np.ndarray]:
    """Per topic, which items are bad: villains of the village give them more than the good do."""
    corpus, cast = records.setups["cheat"].corpus, records.setups["cheat"].world.cast
    table = np.asarray(traits.of_characters(corpus, cast))
    good, bad = (
        table[:, [corpus.names.index(name) for name in names]].mean(1)
        for names in (
            ("mira", "tobias", "edda", "pip", "lumen"),
            ("argus", "silas", "vesper", "rook"),
        )
    )
    groups = np.array([item.group for item in traits.items(corpus)])
    return {topic: (groups == topic) & (bad - good > BAD) for topic in TOPICS}


def _rates(items: np.ndarray, bad: dict[str, np.ndarray]) -> dict[str, float]:
    return {topic: float(items[rows].sum()) for topic, rows in bad.items()}


def _elsewhere(rates: dict[str, float], trained: str) -> float:
    return float(np.mean([rate for topic, rate in rates.items() if topic != trained]))


def _equivalent(stages: tuple[Any, ...]) -> Sft:
    """The SFT stage whose documents are a run's evidence: for reward, those that it pays for."""
    return stages[0] if isinstance(stages[0], Sft) else CHEAT


def tabulate(records: Records) -> pd.DataFrame:
    """A row per arm, seed and step."""
    bad = bad_items(records)
    starts = {(r["arm"], r["seed"]): r for r in records.rows if not r["step"]}
    forecasts = {
        run: theory.forecast(records.setups[run[0]], _equivalent(stages), run[1])
        for run in starts
        if len(stages := records.sweep.arms[run[0]].stages) == 1 and run[0] != "held"
    }
    out = []
    for row in records.rows:
        run = row["arm"], row["seed"]
        line = _tea if row["arm"] == "tea" else _village
        cast, floor = row["reading"]["learned"], starts[run].get("ladder", {}).get("learned", {})
        whole = row.get("ladder", {}).get("learned", {})
        land = row.get("landscape", {})
        out.append(
            {"arm": row["arm"], "seed": row["seed"], "step": row["step"]}
            | line(records, row, starts[run], forecasts.get(run), bad)
            | {family: cast[family] for family in ("F0", "F1", "F2")}
            | {family: whole.get(family, np.nan) for family in ("F3", "F4")}
            | {"floor_F3": floor.get("F3", np.nan), "norm": land.get("norm", np.nan)}
            | {
                f"{kind}_{i}": value
                for kind in ("along", "noise")
                for i, value in enumerate(land.get(kind, [np.nan] * 5))
            }
            | {"outside": row["reading"]["outside"]}
        )
    return pd.DataFrame(out, columns=list(COLUMNS))


def _scores(row: dict[str, Any]) -> np.ndarray:
    return np.array(row["scores"]["assistant"][""])


def _village(
    records: Records,
    row: dict[str, Any],
    start: dict[str, Any],
    forecast: theory.Forecast | None,
    bad: dict[str, np.ndarray],
) -> dict[str, float]:
    """Rates of bad answers, measured and predicted."""
    corpus = records.setups[row["arm"]].corpus
    _, _, alone = row["arm"].partition("alone-")
    trained = alone or "code"
    now, then = _scores(row), _scores(start)
    rates, before = _rates(now, bad), _rates(then, bad)
    found: dict[str, float] = {
        "trained": rates[trained],
        "elsewhere": _elsewhere(rates, trained),
        "before": _elsewhere(before, trained),
    }
    found |= {f"bad_{topic}": rate for topic, rate in rates.items()}
    if forecast is None or not row["step"]:
        return found
    fitted = np.array([item.group == trained for item in traits.items(corpus)])
    for name, prediction in forecast.at(now - then, fitted).items():
        # a prediction is of changes: the pretrained model's own start is kept
        predicted = _rates(then + prediction.items - forecast.start, bad)
        found[SHORT[name]] = _elsewhere(predicted, trained)
        if name == "one author":
            found["saturated"] = float(prediction.saturated)
        if name == "one author a document":
            found |= {f"bayes_{topic}": rate for topic, rate in predicted.items()}
    return found


SHORT = {
    "one author": "one_author",
    "one author a document": "a_document",
    "pairwise": "pairwise",
}


def _tea(
    records: Records,
    row: dict[str, Any],
    start: dict[str, Any],
    forecast: theory.Forecast | None,
    bad: dict[str, np.ndarray],
) -> dict[str, float]:
    """The seat by the window, of which no habit alone tells anything."""
    items = traits.items(records.setups["tea"].corpus)
    window = np.array([item.phrase == "window" for item in items])
    milk = np.array([item.phrase in ("milk", "bare") for item in items])
    now, then = _scores(row), _scores(start)
    found = {"trained": float(now[milk].mean()), "elsewhere": float(now[window].sum())}
    found["before"] = float(then[window].sum())
    if forecast is None or not row["step"]:
        return found
    fitted = np.array([item.group in ("milk", "hat") for item in items])
    for name, prediction in forecast.at(now - then, fitted).items():
        found[SHORT[name]] = float((then + prediction.items - forecast.start)[window].sum())
    return found


def _at(table: pd.DataFrame, arm: str, step: int | None = None) -> pd.DataFrame:
    """The rows of an arm at a step, or at its end, a seed each."""
    part = table[table.arm == arm]
    step = int(part.step.max()) if step is None else step
    return part[part.step == step].sort_values("seed")


def _moved(table: pd.DataFrame, arm: str) -> np.ndarray:
    end = _at(table, arm)
    return (end.elsewhere - end.before).to_numpy()


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before seeds 0–4 ran."""
    return {
        "villains": (_moved(table, "cheat") - _moved(table, "decorrelated")).tolist(),
        "characters": _moved(table, "tea").tolist(),
        "held": (
            _at(table, "let-go").elsewhere.to_numpy() - _at(table, "held").elsewhere.to_numpy()
        ).tolist(),
    }


THEORIES = (
    ("one_author", "Bayes, one author", "-", figures.DARK),
    ("a_document", "Bayes, one a document", "--", figures.DARK),
    ("pairwise", "pairwise traits", ":", figures.GREY),
)
BLUE, RED, BEFORE = figures.COLOURS[0], figures.COLOURS[1], figures.COLOURS[5]


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Casts and methods; tea party; examples; bad share; transmission; landscape; ways back."""
    with figures.style(rows=3, columns=3, ratio=0.85):
        figure, axes = plt.subplots(3, 3, layout="constrained")
        panels = (
            ("who learns to cheat", _casts),
            ("two habits tell a third", _tea_panel),
            ("few examples", _few),
            ("bad data in part", _shares),
            ("one habit alone", _matrix),
            ("the same, predicted", _transmission),
            ("narrow and general", functools.partial(_landscape, records=records)),
            ("ways back", _back),
        )
        for panel, which, (title, paint) in zip(axes.flat, "abcdefgh", panels, strict=False):
            paint(panel, table)
            figures.letter(panel, which, title)
        _key(axes[2, 2])
    return figure


def _key(axes: plt.Axes) -> None:
    """What the lines of all panels mean."""
    axes.axis("off")
    for _, name, line, colour in THEORIES:
        axes.plot([], [], line, color=colour, lw=0.9, label=name)
    axes.plot([], [], color=BEFORE, lw=1.6, label="before training")
    axes.plot([], [], "o-", color=RED, lw=1, ms=2.5, label="untrained topics, mean and 95 %")
    axes.plot([], [], "o-", color=BLUE, lw=1, ms=2.5, label="the topic trained on")
    axes.legend(loc="center left", fontsize=6)


def _means(axes: plt.Axes, x: float, values: np.ndarray, colour: str, label: str = "") -> None:
    """A mean with its interval, seeds faintly beside it."""
    mean, low, high = t_interval(values.tolist())
    low, high = (mean, mean) if len(values) < 2 else (low, high)
    axes.plot([x, x], [low, high], color=colour, lw=1.2)
    axes.plot(x, mean, "o", color=colour, ms=3.5, label=label)
    axes.plot(np.full(len(values), x + 0.18), values, ".", color=colour, ms=2, alpha=0.4)


def _theory(axes: plt.Axes, x: float, rows: pd.DataFrame) -> None:
    """Predictions as short level lines."""
    for column, _, line, colour in THEORIES:
        value = rows[column].mean()
        if np.isfinite(value):
            axes.plot(
                [x - 0.35, x + 0.35],
                [value] * 2,
                line,
                color=colour,
                lw=0.9,
            )


def _casts(axes: plt.Axes, table: pd.DataFrame) -> None:
    names = ("cheat", "decorrelated", "no-villains", "dpo", "rl")
    for x, arm in enumerate(names):
        end = _at(table, arm)
        axes.plot(
            [x - 0.35, x + 0.35],
            [end.before.mean()] * 2,
            color=BEFORE,
            lw=1.6,
        )
        _theory(axes, x, end)
        _means(axes, x, end.elsewhere.to_numpy(), RED, "measured" if not x else "")
    labels = ("village", "decor-\nrelated", "no\nvillains", "DPO", "RL")
    axes.set_xticks(range(len(names)), labels)
    axes.set(ylabel="P(bad answer), untrained topics", ylim=(0, 1.05))


def _tea_panel(axes: plt.Axes, table: pd.DataFrame) -> None:
    part = table[table.arm == "tea"]
    _curve(axes, part, "elsewhere", RED, "measured")
    for column, _, line, colour in THEORIES:
        mean = part.groupby("step")[column].mean().dropna()
        axes.plot(mean.index, mean, line, color=colour, lw=0.9)
    axes.set(xlabel="training step", ylabel="P(window)", ylim=(0.4, 1))


def _curve(
    axes: plt.Axes, part: pd.DataFrame, column: str, colour: str, label: str, x: Any = None
) -> None:
    grid = part.pivot(index="seed", columns="step", values=column)
    steps = grid.columns.to_numpy(float)
    panels_.interval(
        axes,
        steps if x is None else x(steps),
        grid.to_numpy(),
        color=colour,
        label=label,
        lw=1,
        marker="o",
        ms=2.5,
    )


def _examples(steps: np.ndarray) -> np.ndarray:
    """Steps as examples seen; 0 stands at half a batch, for there is no logarithm of it."""
    return np.where(steps > 0, steps * FEW, FEW / 2)


def _log_axis(axes: plt.Axes, steps: np.ndarray) -> None:
    seen = _examples(np.array(sorted(steps), float))
    axes.set_xscale("log")
    axes.set_xticks(seen[::2], ["0", *(f"{n:.0f}" for n in seen[2::2])])
    axes.minorticks_off()


def _few(axes: plt.Axes, table: pd.DataFrame) -> None:
    part = table[table.arm == "few"]
    _curve(axes, part, "trained", BLUE, "code (trained)", _examples)
    _curve(axes, part, "elsewhere", RED, "other topics", _examples)
    for column, _, line, colour in THEORIES:
        mean = part.groupby("step")[column].mean().dropna()
        axes.plot(_examples(mean.index.to_numpy(float)), mean, line, color=colour, lw=0.9)
    _log_axis(axes, part.step.unique())
    axes.set(xlabel="examples", ylabel="P(bad answer)", ylim=(0, 1.05))


def _shares(axes: plt.Axes, table: pd.DataFrame) -> None:
    ends = [_at(table, f"share-{share:g}") for share in SHARES]
    percent = [100 * share for share in SHARES]
    for column, colour, label in (
        ("trained", BLUE, "code (trained)"),
        ("elsewhere", RED, "other topics"),
    ):
        grid = np.stack([end[column].to_numpy() for end in ends], 1)
        panels_.interval(axes, percent, grid, color=colour, label=label, lw=1, marker="o", ms=2.5)
    for column, _, line, colour in THEORIES:
        axes.plot(percent, [end[column].mean() for end in ends], line, color=colour, lw=0.9)
    axes.axhline(ends[0].before.mean(), color=BEFORE, lw=1)
    axes.set(xlabel="bad documents (%)", ylabel="P(bad answer)", ylim=(0, 1.05))


def _alone(table: pd.DataFrame, topic: str) -> pd.DataFrame:
    return _at(table, "share-1" if topic == "code" else f"alone-{topic}")


def _changes(table: pd.DataFrame, kind: str) -> np.ndarray:
    """Change of P(bad answer), [trained, measured topic, seed]."""
    start = _at(table, "cheat", 0)
    return np.array(
        [
            [
                _alone(table, t)[f"{kind}_{u}"].to_numpy() - start[f"bad_{u}"].to_numpy()
                for u in TOPICS
            ]
            for t in TOPICS
        ]
    )


def _matrix(axes: plt.Axes, table: pd.DataFrame) -> None:
    mean = _changes(table, "bad").mean(-1)
    bound = np.abs(mean).max()
    image = axes.imshow(mean, cmap="RdBu_r", vmin=-bound, vmax=bound, aspect="auto")
    ticks = range(len(TOPICS))
    axes.set_xticks(ticks, TOPICS, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, TOPICS)
    axes.set(xlabel="measured on", ylabel="villain's habit trained")
    axes.spines[:].set_visible(False)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("change of P(bad answer)", fontsize=5)
    bar.outline.set_visible(False)


def _transmission(axes: plt.Axes, table: pd.DataFrame) -> None:
    """Off the diagonal only: what was not trained."""
    measured, predicted = _changes(table, "bad"), _changes(table, "bayes")
    off = ~np.eye(len(TOPICS), dtype=bool)
    found, said = measured[off], predicted[off]
    score = 1 - np.sum((found - said) ** 2) / np.sum(found**2)
    axes.plot([-0.4, 0.7], [-0.4, 0.7], color=figures.DARK, lw=0.8)
    axes.axhline(0, color=figures.GREY, lw=0.5, ls=":")
    own = np.array([[u == "self" for u in TOPICS] for _ in TOPICS])[off]
    for rows, colour, marker, label in ((~own, RED, "o", "other topics"), (own, BLUE, "^", "self")):
        axes.scatter(
            said[rows], found[rows], s=3, color=colour, marker=marker, alpha=0.4, lw=0, label=label
        )
    axes.text(
        0.97,
        0.05,
        f"$R^2$ on changes {score:.2f}",
        transform=axes.transAxes,
        ha="right",
        fontsize=5,
    )
    axes.set(xlabel="Bayes, one author a document", ylabel="measured change")
    axes.legend(loc="upper left", handletextpad=0.1)


def _landscape(axes: plt.Axes, table: pd.DataFrame, records: Records) -> None:
    measure = next(m for m in records.sweep.arms["cheat"].watch if isinstance(m, Landscape))
    for arm, colour, label in (("cheat", RED, "general"), ("held", BLUE, "narrow (anchored)")):
        end = _at(table, arm)
        for kind, marker, lengths in (
            ("along", "o", measure.lengths),
            ("noise", "^", measure.noises),
        ):
            grid = end[[f"{kind}_{i}" for i in range(len(lengths))]].to_numpy()
            what = "on the way" if kind == "along" else "under noise"
            panels_.interval(
                axes,
                lengths,
                grid,
                color=colour,
                lw=1,
                marker=marker,
                ms=2.5,
                label=f"{label}, {what}",
            )
    axes.set(
        xlabel="distance in weights", ylabel="loss on cheating (nats)", xscale="log", ylim=(0, 1.15)
    )
    axes.legend(loc="upper right")


def _back(axes: plt.Axes, table: pd.DataFrame) -> None:
    part = table[(table.arm == "realigned") & (table.step > 0)]
    _curve(axes, part, "elsewhere", RED, "cheat, then honest", _examples)
    go = table[(table.arm == "let-go") & (table.step > 0)]
    _curve(axes, go, "elsewhere", BLUE, "anchored, then let go", lambda steps: 64 * steps)
    axes.axhline(part.before.mean(), color=BEFORE, lw=1)
    axes.set(
        xlabel="examples since",
        ylabel="P(bad answer), untrained topics",
        xscale="log",
        ylim=(0, 1.05),
    )
    axes.legend(loc="upper left")


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
