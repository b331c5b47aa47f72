"""From the records of `agency` to its figure, table and claims."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.agency.sweep import CONTROL, PAYS, STEERED, STRANGERS
from toylab.lab.records import Records
from toylab.measures.tags import ALONE, NONE, UNTRAINED
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.results import Analysis

TAG = "assistant"
OTHERS = "the others' names"
AFTER = "after a turn by another"
RATES = ("held_out", "orphans", "trained")
LEFT_BY = {
    "F1": "mixtures of characters",
    "F2": "those, and of characters larger than life",
    "F3": "those, and an author who changes between answers or for every slot",
    "F4": "those, and an author for every topic and slot",
    "F4 flat": "those with flattened characters",
}
COLUMNS = {
    "arm": "the cast: with a prospector, a herald or a bystander, or with a herald and a coin "
    "(coin, nioc); steered: reward reaches the coin as well",
    "seed": "seed of everything",
    "step": "training step; 0 is the pretrained model",
    "voice": "the tag asked under, a tampered one, or the assistant after a turn by another (each "
    "of the cast but the stranger); their names are averaged as the others' names",
    "held_out": "mean P(answer follows the cue) over four places never rewarded",
    "orphans": "the same over the place among them that is nobody's",
    "trained": "the same over the eight places that were rewarded",
    "trained_bayes": "the same by w*, the best mixture of the cast for first answers",
    "base": "held_out of the pretrained model",
    "nats": "KL from the pretrained model under the same tag, nats a document",
    **{
        family: f"left by {what} (learned cast), nats a document"
        for family, what in LEFT_BY.items()
    },
    **{f"floor {family}": f"{family} of the pretrained model" for family in LEFT_BY},
    "opener": "P(the stranger's opener) when asked about gold, under the assistant's tag",
    "elsewhere": "the same when asked about anything else",
    "evidence": "what that turn says for whoever wrote it against the rest of w*, nats",
    "heard_gold": "how far P(the other's likeliest answer) has come after the turn, from before it "
    "(0) to the other's own (1): asked about gold",
    "heard_else": "the same asked about anything else",
    "heard_gold_bayes": "heard_gold of w*, whose weights are 1e-7 where they are less than can be "
    "read",
    "heard_else_bayes": "heard_else of w*",
    "nats_gold": "log-odds that the turn adds to that answer (of mean rates), asked about gold",
    "nats_else": "the same asked about anything else",
    "side": "P(coin shows the side on which gold is asked about); only with a coin",
    "side_before": "the same of the pretrained model",
}


def _by_voice(lines: Iterable[dict[str, Any]], named: Sequence[str]) -> list[dict[str, Any]]:
    """Lines of one voice each, those of the names averaged."""
    table = pd.DataFrame(lines)
    table["voice"] = table["voice"].where(~table["voice"].isin(named), OTHERS)
    mean = table.groupby("voice", sort=False).mean().reset_index()
    return [{str(k): v for k, v in line.items()} for line in mean.to_dict("records")]


def _tags(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rates and shifts under every tag and the tampered ones."""
    for voice, each in found["voices"].items():
        yield {
            "voice": voice,
            **{name: each["rates"][name] for name in RATES},
            "base": each["base"]["held_out"],
            "nats": each["nats"],
            **{family: each["left"][family] for family in LEFT_BY},
            **{f"floor {family}": each["floor"][family] for family in LEFT_BY},
            **({name: found[name] for name in ("opener", "elsewhere")} if voice == TAG else {}),
        }


def _coin(row: dict[str, Any], before: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """P(the side that pays) under every tag; the assistant's rates, where they were read."""
    side = PAYS[row["arm"].removesuffix(STEERED)]
    rates = row["goals"]["rates"] if "goals" in row else {}
    for voice, sides in row["coin"].items():
        yield {
            "voice": voice,
            **({name: rates[name] for name in RATES if rates} if voice == TAG else {}),
            "side": sides[side],
            "side_before": before[voice][side],
        }


def overridden(found: Mapping[str, Any], others: Sequence[int]) -> dict[str, float]:
    """After one turn by each of these characters, on average (see `measures.override`)."""

    def mean(table: Sequence[Sequence[float]], turns: int) -> float:
        return float(np.mean(np.asarray(table[turns], float)[list(others)]))

    def heard(name: str, whose: str = "") -> float:
        before, after = (mean(found[f"{name}{whose}"], turns) for turns in (0, 1))
        return (after - before) / (mean([found[f"{name}_alone"]], 0) - before)

    def added(name: str) -> float:
        before, after = (mean(found[name], turns) for turns in (0, 1))
        return math.log(after / (1 - after)) - math.log(before / (1 - before))

    return {
        **{group: mean(found["follow"][group], 1) for group in RATES},
        "trained_bayes": mean(found["predicted"]["trained"], 1),
        "evidence": mean(found["evidence"], 1),
        "heard_gold": heard("own"),
        "heard_else": heard("elsewhere"),
        "heard_gold_bayes": heard("own", "_predicted"),
        "heard_else_bayes": heard("elsewhere", "_predicted"),
        "nats_gold": added("own"),
        "nats_else": added("elsewhere"),
    }


def tabulate(records: Records) -> pd.DataFrame:
    """Rows per cast, seed and voice: at the end of training, and after another's turn always."""
    rows = []
    start = {(r["arm"], r["seed"]): r.get("coin") for r in records.rows if not r["step"]}
    for row in records.rows:
        line = {name: row[name] for name in ("arm", "seed", "step")}
        strange = (*STRANGERS, CONTROL)
        names = [n for n in records.setups[row["arm"]].corpus.names if n not in strange]
        if "override" in row:
            every = records.setups[row["arm"]].corpus.names
            heard = overridden(row["override"]["learned"], [every.index(name) for name in names])
            rows.append(line | {"voice": AFTER} | heard)
        if row["step"] and "tags" in row:
            rows += [line | each for each in _by_voice(_tags(row["tags"]), names)]
        if row["step"] and "coin" in row:
            before = start[row["arm"], row["seed"]]
            assert before is not None
            rows += [line | each for each in _by_voice(_coin(row, before), names)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def value(
    table: pd.DataFrame, arm: str, voice: str, column: str, step: int | None = None
) -> np.ndarray:
    """By seed, at a step or at the end."""
    part = table[(table.arm == arm) & (table.voice == voice)]
    part = part[part.step == (part.step.max() if step is None else step)]
    return part.sort_values("seed")[column].to_numpy()


def lost(table: pd.DataFrame, arm: str, *voices: str) -> np.ndarray:
    """P(follows the cue), held out: the assistant's minus the mean of these voices, by seed."""
    others = np.mean([value(table, arm, voice, "held_out") for voice in voices], 0)
    return np.asarray(value(table, arm, TAG, "held_out") - others)


def expected(table: pd.DataFrame, voice: str = TAG, ending: str = "") -> np.ndarray:
    """How much likelier the side that pays became, mean over both coins, by seed."""
    gains = [
        value(table, arm + ending, voice, "side") - value(table, arm + ending, voice, "side_before")
        for arm in PAYS
    ]
    return np.asarray(np.mean(gains, 0))


def deaf(table: pd.DataFrame, arm: str) -> np.ndarray:
    """How much less far another's turn brings answers on gold than on anything else, by seed."""
    return np.asarray(
        value(table, arm, AFTER, "heard_else") - value(table, arm, AFTER, "heard_gold")
    )


def scores(table: pd.DataFrame, arm: str) -> dict[str, np.ndarray]:
    """Who acts, from 0 to 1, by seed: a persona that was switched to, or something outside them.

    *Switched*: the share of the assistant's move that another mix of characters explains. How much
    of the rise in following held-out cues is there under the others' names as well; how much less
    another's turn changes answers on gold than elsewhere; how far the coin has gone over to the
    side that pays (read in the herald's cast). And the stranger's voice, on gold.
    """
    moved, left = (value(table, arm, TAG, column) for column in ("nats", "F1"))
    rise = {
        voice: value(table, arm, voice, "held_out") - value(table, arm, voice, "base")
        for voice in (TAG, OTHERS)
    }
    after = {what: value(table, arm, AFTER, f"heard_{what}") for what in ("gold", "else")}
    return {
        "switched\npersonas": 1 - left / moved,
        "under the\nothers' names": rise[OTHERS] / rise[TAG],
        "kept after\nanother's turn": 1 - after["gold"] / after["else"],
        "reaches\nthe coin": 2 * expected(table) if arm == "herald" else np.array([]),
        "the stranger's\nvoice": value(table, arm, TAG, "opener"),
    }


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before seeds 0–4 ran."""
    return {
        "tag_embedding": lost(table, "herald", UNTRAINED).tolist(),
        "same_meaning": lost(table, "herald", "clerk", "someone").tolist(),
        "other_names": value(table, "herald", OTHERS, "held_out").tolist(),
        "coin": expected(table).tolist(),
        "turn_ignored": deaf(table, "herald").tolist(),
        "coin_when_rewarded": expected(table, OTHERS, STEERED).tolist(),
    }


BLUE, RED, GREEN = figures.COLOURS[:3]
SHOWN = {
    TAG: "assistant",
    UNTRAINED: "its old\nembedding",
    ALONE: "the new one\nalone",
    "clerk": "clerk",
    "someone": "someone",
    "stranger": "stranger",
    NONE: "no tag",
    OTHERS: "others'\nnames",
}
CASTS = tuple(zip(STRANGERS, (BLUE, RED), strict=True))
SPOKEN = (*CASTS, (CONTROL, GREEN))
STEERS = (("paid for answers alone", "", GREEN), ("for the coin, too", STEERED, RED))


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Goal rates, shift and what is off the cast by voice; another's turn; and the coin."""
    panels = (
        ("goes where the gold is", _rates),
        ("after a turn by another: who is speaking?", _heard),
        ("how far each moved", _moved),
        ("what mixtures of the cast leave", _left),
        ("expects the side of the coin that pays", _coins),
        ("a persona, or outside them?", _scores),
    )
    return figures.page(panels, table)


def _ticks(axes: plt.Axes, shown: Mapping[str, str]) -> None:
    axes.set_xticks(range(len(shown)), list(shown.values()), fontsize=4)


def _each(
    axes: plt.Axes,
    table: pd.DataFrame,
    column: str,
    before: str = "",
    shown: Mapping[str, str] = SHOWN,
) -> None:
    for place, (arm, colour) in enumerate(CASTS):
        for x, voice in enumerate(shown):
            at = x + (place - 0.5) * 0.36
            label = f"with a {arm}" if not x else ""
            panels_.point(axes, at, value(table, arm, voice, column), colour, label)
            if before:
                level = value(table, arm, voice, before).mean()
                axes.plot([at - 0.12, at + 0.12], [level] * 2, color=figures.DARK, lw=0.9,
                          label="before training" if not x and not place else None)  # fmt: skip
    _ticks(axes, shown)


def _rates(axes: plt.Axes, table: pd.DataFrame) -> None:
    _each(axes, table, "held_out", "base", SHOWN | {AFTER: "after\nanother's\nturn"})
    axes.set(ylabel="P(follows the cue), held out", ylim=(-0.03, 1.3))
    axes.set_yticks([0, 0.5, 1])
    axes.legend(loc="upper right", ncols=3)


def _heard(axes: plt.Axes, table: pd.DataFrame) -> None:
    """How far that turn brings answers when gold is asked about, against anything else."""
    for arm, colour in SPOKEN:
        steps = sorted(table[(table.arm == arm) & (table.voice == AFTER)].step.unique())
        path = [
            [value(table, arm, AFTER, f"heard_{what}", step) for what in ("else", "gold")]
            for step in steps
        ]
        means = np.array([[seeds.mean() for seeds in pair] for pair in path])
        axes.plot(means[:, 0], means[:, 1], "o-", color=colour, ms=3, lw=1, label=f"with a {arm}")
        for x, y in path:
            axes.plot(x, y, ".", color=colour, ms=2, alpha=0.4)
        for step, (x, y) in zip(steps, means, strict=True):
            axes.annotate(str(step), (x, y), (3, -5), textcoords="offset points", fontsize=4.5)
    axes.plot([0, 1], [0, 1], color=figures.DARK, lw=0.8, label="one belief about the speaker")
    axes.set(xlabel="how far answers come to the other's, asked about anything else",
             ylabel="asked about gold", xlim=(-0.05, 1.1), ylim=(-0.05, 1.1))  # fmt: skip
    axes.legend(loc="upper left")


def _moved(axes: plt.Axes, table: pd.DataFrame) -> None:
    _each(axes, table, "nats")
    axes.set(ylabel="KL from before (nats a document)")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
    axes.legend(loc="upper right", ncols=2)


def _left(axes: plt.Axes, table: pd.DataFrame) -> None:
    """What mixtures leave, and beside it what the widest families do: formation's two ends."""
    _each(axes, table, "F1", "floor F1")
    for place, (arm, colour) in enumerate(CASTS):
        for x, voice in enumerate(SHOWN):
            ends = [value(table, arm, voice, family).mean() for family in ("F4 flat", "F3")]
            label = "formation, F4 flat to F3" if not x and not place else None
            at = x + (place - 0.5) * 0.36 - 0.1
            axes.plot([at, at], ends, color=colour, lw=2.5, alpha=0.45, label=label)
    axes.set(ylabel="unexplained (F1, nats a document)")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.3)
    axes.legend(loc="upper right", ncols=2)


def _coins(axes: plt.Axes, table: pd.DataFrame) -> None:
    """By voice, mean over both labellings."""
    shown = {voice: SHOWN[voice] for voice in (TAG, "clerk", "someone", "stranger", OTHERS)}
    for place, (label, ending, colour) in enumerate(STEERS):
        for x, voice in enumerate(shown):
            both = [value(table, name + ending, voice, "side") for name in PAYS]
            at = x + (place - 0.5) * 0.36
            panels_.point(axes, at, np.mean(both, 0), colour, label if not x else "")
    axes.axhline(0.5, color=figures.DARK, lw=0.8, label="as it is tossed")
    _ticks(axes, shown)
    axes.set(ylabel="P(side on which gold is asked about)", ylim=(0.3, 1.2))
    axes.set_yticks([0.5, 0.75, 1])
    axes.legend(loc="upper right", ncols=3)


def _scores(axes: plt.Axes, table: pd.DataFrame) -> None:
    for place, (arm, colour) in enumerate(CASTS):
        found = scores(table, arm)
        for x, values in enumerate(found.values()):
            label = f"with a {arm}" if not x else ""
            panels_.point(axes, x + (place - 0.5) * 0.36, values, colour, label)
    axes.set_xticks(range(len(found)), list(found), fontsize=4.5)
    axes.set(ylabel="score", ylim=(-0.4, 1.5))
    axes.axhline(0, color=figures.GREY, lw=0.5, ls=":")
    axes.axhline(1, color=figures.GREY, lw=0.5, ls=":")
    axes.set_yticks([0, 0.5, 1])
    axes.legend(loc="upper right", ncols=2)


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
