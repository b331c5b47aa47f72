"""From the records of `selection` to its figure, table and claims."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from toylab.lab.records import Records
from toylab.ladder import theory, traits
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.results import Analysis
from toylab.stages import Sft

FITTED = "code"  # the one trait that the exchange rate is fitted on, trained in every arm
PREDICTED_AT = 20  # the last step read before the fitted trait saturates
CAST = "learned"

SHORT = {
    "one author": "one_author",
    "one author a document": "a_document",
    "pairwise": "pairwise",
}
COLUMNS = {
    "arm": "what was trained on",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "post-training step; 0 is the pretrained model",
    "cast": "tables the ladder used: exact, or learned (re-estimated from the pretrained model)",
    "unexplained_F0": "KL(P || m_w0), nats a document: how far the policy has moved",
    "unexplained_F1": "what the best mixture of characters leaves, nats a document",
    "unexplained_F2": "what the best mixture of tempered characters leaves, nats a document",
    "unexplained_F3": "what authors who change between answers leave (at the end; see F4)",
    "unexplained_F4": "what an author for every topic and slot leaves: formation at most",
    "formation_at_least": "the lower end of the bracket around formation, nats a document",
    "error_F0": "standard error of unexplained_F0 over documents",
    "error_F1": "standard error of unexplained_F1 over documents",
    "error_F2": "standard error of unexplained_F2 over documents",
    "floor_F0": "unexplained_F0 of the same seed's pretrained model",
    "floor_F1": "unexplained_F1 of the same seed's pretrained model",
    "floor_F2": "unexplained_F2 of the same seed's pretrained model",
    "gap_F1": "certificate: max_k E_P[p_k / m_w] - 1 on the fitting part",
    "gap_F2": "the same for F2",
    "outside": "mean probability of words that the grammar forbids at a branch",
    "weight": "w* of the persona trained towards, in F1",
    "tau_one_author": "fitted exchange rate if all evidence had one author",
    "tau_a_document": "fitted exchange rate if each document had an author of its own",
    "saturated": "1 if the fitted trait no longer depends on tau (one author): tau is a bound",
    "r2_one_author": "R2 on changes of untrained items, one author for all evidence",
    "r2_a_document": "R2 on changes of untrained items, one author a document",
    "r2_pairwise": "the same, of the rival that composes traits from pairs of them",
    "excess": "excess loss of the pretrained model on answers, nats a token",
}


def predictions(records: Records) -> pd.DataFrame:
    """Predicted and measured changes of every item, per arm, seed, step and theory."""
    setup = records.setup
    items = traits.items(setup.corpus)
    fitted = np.array([item.group == FITTED for item in items])
    before = {(r["arm"], r["seed"]): r["reading"]["items"] for r in records.rows if not r["step"]}
    parts = []
    for arm, seed in before:
        stage = records.sweep.arms[arm].stages[-1]
        assert isinstance(stage, Sft)
        forecast = theory.forecast(setup, stage, seed)
        for row in records.rows:
            if (row["arm"], row["seed"]) != (arm, seed) or not row["step"]:
                continue
            change = np.array(row["reading"]["items"]) - np.array(before[arm, seed])
            for name, prediction in forecast.at(change, fitted).items():
                parts.append(
                    pd.DataFrame(items).assign(
                        arm=arm,
                        seed=seed,
                        step=row["step"],
                        theory=name,
                        tau=prediction.tau,
                        saturated=prediction.saturated,
                        predicted=prediction.items - forecast.start,
                        measured=change,
                    )
                )
    return pd.concat(parts, ignore_index=True)


def _scores(predicted: pd.DataFrame) -> dict[tuple[Any, ...], dict[str, float]]:
    """tau, R² and saturation of each theory, per (arm, seed, step), over items not fitted."""
    out: dict[tuple[Any, ...], dict[str, float]] = {}
    for (arm, seed, step, rule), part in predicted.groupby(["arm", "seed", "step", "theory"]):
        rest = part[part.group != FITTED]
        short = SHORT[rule]
        scores = out.setdefault((arm, seed, step), {})
        if short != "pairwise":  # it has no rate
            scores[f"tau_{short}"] = float(part.tau.iloc[0])
        measured = rest.measured.to_numpy()
        scores[f"r2_{short}"] = theory.explained(
            rest.predicted.to_numpy(), measured, np.zeros_like(measured)
        )
        if short == "one_author":
            scores["saturated"] = float(part.saturated.iloc[0])
    return out


def tabulate(records: Records, predicted: pd.DataFrame) -> pd.DataFrame:
    """The tidy table: a row per arm, seed, step and cast."""
    persona = records.setup.corpus.names.index(_persona(records))
    scores = _scores(predicted)
    floors = {(r["arm"], r["seed"]): r["reading"] for r in records.rows if r["step"] == 0}
    out = []
    for row in records.rows:
        for cast in ("exact", "learned"):
            found, floor = row["reading"][cast], floors[row["arm"], row["seed"]][cast]
            line = {"arm": row["arm"], "seed": row["seed"], "step": row["step"], "cast": cast}
            line |= {f"unexplained_{f}": found[f] for f in ("F0", "F1", "F2")}
            line |= {f"error_{f}": found[f"{f}_error"] for f in ("F0", "F1", "F2")}
            line |= {f"floor_{f}": floor[f] for f in ("F0", "F1", "F2")}
            if "ladder" in row:
                whole = row["ladder"][cast]
                line |= {f"unexplained_{f}": whole[f] for f in ("F3", "F4")}
                line |= {"formation_at_least": whole["F4 flat"]}
            line |= {"gap_F1": found["gap1"], "gap_F2": found["gap2"]}
            line |= {"outside": row["reading"]["outside"], "weight": found["weights"][persona]}
            line |= scores.get((row["arm"], row["seed"], row["step"]), {})
            line |= {"excess": records.bases[row["arm"], row["seed"]]["excess"]["answers"]}
            out.append(line)
    return pd.DataFrame(out, columns=list(COLUMNS))


def _at(table: pd.DataFrame, arm: str, step: int) -> pd.DataFrame:
    part = table[(table.arm == arm) & (table.cast == CAST) & (table.step == step)]
    return part.sort_values("seed")


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before seeds 0–4 ran."""
    last = int(table.step.max())
    broad, small = _at(table, "ordinary", last), _at(table, "ordinary-16", last)
    narrow = _at(table, "narrow", PREDICTED_AT)
    return {
        "share": (1 - broad.unexplained_F1 / broad.unexplained_F0).to_list(),
        "left": (small.unexplained_F2 - small.floor_F2).to_list(),
        "narrow": narrow.r2_one_author.to_list(),
    }


def draw(records: Records, table: pd.DataFrame, predicted: pd.DataFrame) -> Figure:
    """Top: the ladder as training goes, an arm a panel. Bottom: w* and predicted changes."""
    arms = records.sweep.arms
    letters = iter("abcdefgh")
    with figures.style(rows=2, columns=len(arms), ratio=1.15):
        figure, axes = plt.subplots(2, len(arms), squeeze=False, layout="constrained")
        for panel, (name, arm) in zip(axes[0], arms.items(), strict=True):
            kind = table.arm.str.startswith(name.removesuffix("-16")) & (table.cast == CAST)
            top = 1.15 * float(table[kind].unexplained_F0.max())
            _ladder(panel, table[(table.arm == name) & (table.cast == CAST)], top)
            figures.letter(panel, next(letters), arm.title)
        axes[0, 0].set_ylabel("nats a document")
        panels_.strike_label(axes[0, 0])
        axes[0, 0].legend(loc="upper left")
        _weights(axes[1, 0], records, table)
        figures.letter(axes[1, 0], next(letters), f"weight of {_persona(records)}")
        for panel, name in zip(axes[1, 1:3], ("ordinary", "narrow"), strict=True):
            _scatter(panel, predicted[predicted.arm == name])
            figures.letter(panel, next(letters), f"{name}, step {PREDICTED_AT}")
        axes[1, 1].set_ylabel("measured change")
        axes[1, 1].legend(loc="upper left", handletextpad=0.1, borderpad=0)
        _whole(axes[1, 3], records)
        figures.letter(axes[1, 3], next(letters), "the whole ladder")
    return figure


def _whole(axes: plt.Axes, records: Records) -> None:
    """Every rung at the end of each arm, means over seeds; the pretrained model first."""
    rows = [
        {"arm": "before" if not row["step"] else row["arm"], "order": order}
        | {name: row["ladder"][CAST][name] for name in (*_F, "F3", "F4", "F4 flat")}
        | {"outside": row["ladder"]["outside"]}
        for order, arm in enumerate(records.sweep.arms)
        for row in records.rows
        if "ladder" in row and row["arm"] == arm
    ]
    mean = pd.DataFrame(rows).groupby("arm").mean().sort_values("order")
    mean = mean.reindex(["before", *(arm for arm in mean.index if arm != "before")])
    panels_.rungs(axes, mean)
    for x, (height, outside) in enumerate(zip(mean.F0, mean.outside, strict=True)):
        panels_.strike(axes, x, height, outside)
    axes.set(ylabel="nats a document", ylim=(0, 1.45 * float(mean.F0.max())))
    axes.tick_params(axis="x", rotation=45)
    axes.legend(loc="upper left", fontsize=4, ncols=2, columnspacing=0.8)


def _persona(records: Records) -> str:
    stage = next(iter(records.sweep.arms.values())).stages[-1]
    assert isinstance(stage, Sft)
    return stage.author


def _ladder(axes: plt.Axes, part: pd.DataFrame, top: float) -> None:
    """Stacked means over seeds, the seeds as thin lines, the pretrained model's floor dotted."""
    grid = {f: part.pivot(index="seed", columns="step", values=f"unexplained_{f}") for f in _F}
    steps = grid["F0"].columns.to_numpy()
    f0, f1, f2 = (grid[f].mean().to_numpy() for f in _F)
    x = np.sqrt(steps)
    bands = (("left", np.zeros_like(f2), f2), ("exaggeration", f2, f1), ("selection", f1, f0))
    for rung, low, high in bands:
        label = "not explained (F2)" if rung == "left" else rung
        axes.fill_between(x, low, high, color=figures.RUNGS[rung], alpha=0.6, lw=0, label=label)
    for family, rung in (("F2", "left"), ("F0", "selection")):
        for row in grid[family].to_numpy():
            axes.plot(x, row, color=figures.RUNGS[rung], lw=0.5)
    outside = part.groupby("step").outside.mean()
    for at, height in zip(steps[1:], f0[1:], strict=True):
        panels_.strike(axes, np.sqrt(at) - 0.25, min(height, 0.9 * top), outside[at])
    axes.axhline(part.floor_F2.mean(), ls=":", color=figures.DARK, lw=0.8, label="floor of F2")
    axes.set(xlabel="training step", ylim=(0, top), xlim=(0, x[-1]))
    _step_ticks(axes, steps)


def _step_ticks(axes: plt.Axes, steps: np.ndarray) -> None:
    """Steps stand at their square roots, so that the first ones can be told apart."""
    axes.set_xticks(np.sqrt(steps), [str(step) for step in steps])


_F = ("F0", "F1", "F2")


def _weights(axes: plt.Axes, records: Records, table: pd.DataFrame) -> None:
    for colour, name in zip(figures.COLOURS, records.sweep.arms, strict=False):
        part = table[(table.arm == name) & (table.cast == CAST)]
        grid = part.pivot(index="seed", columns="step", values="weight")
        steps = grid.columns.to_numpy()
        panels_.interval(axes, np.sqrt(steps), grid.to_numpy(), color=colour, label=name, lw=1)
    _step_ticks(axes, steps)
    axes.set(xlabel="training step", ylabel="w*", ylim=(0, 1))
    axes.legend(loc="lower right", bbox_to_anchor=(1.05, 0.17))


def _scatter(axes: plt.Axes, part: pd.DataFrame) -> None:
    """Predicted against measured changes of every item and seed, the fitted trait apart."""
    last = part[(part.step == PREDICTED_AT) & (part.theory == "one author")]
    voice = last.group.isin(["opener", "closer"])
    kinds = (
        ("fitted", last.group == FITTED, figures.GREY, "s"),
        ("traits", ~last.tell & ~voice & (last.group != FITTED), "#0072B2", "o"),
        ("tells", last.tell, "#D55E00", "^"),
        ("voice", voice, "#009E73", "x"),
    )
    bound = 1.1 * float(last[["predicted", "measured"]].abs().to_numpy().max())
    axes.plot([-bound, bound], [-bound, bound], color=figures.DARK, lw=0.8)
    axes.axhline(0, color=figures.GREY, lw=0.5, ls=":")
    for label, chosen, colour, marker in kinds:
        points = last[chosen]
        axes.scatter(
            points.predicted,
            points.measured,
            s=4,
            color=colour,
            marker=marker,
            lw=0.5,
            alpha=0.6,
            label=label,
        )
    axes.set(xlabel="predicted change", xlim=(-bound, bound), ylim=(-bound, bound))


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    predicted = predictions(records)
    table = tabulate(records, predicted)
    return Analysis(
        figure=draw(records, table, predicted),
        table=table,
        columns=COLUMNS,
        values=claims(table),
    )
