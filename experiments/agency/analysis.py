"""From the records of `agency` to its figure, table and claims."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.agency.sweep import PAYS
from toylab import figures
from toylab.claims import Claim, judge
from toylab.lab.sweep import Analysis, Records
from toylab.measures.tags import ALONE, NONE, UNTRAINED

TAG = "assistant"
OTHERS = "the others' names"
COLUMNS = {
    "arm": "the cast: with a prospector, with a herald, or with a herald and a coin (coin, nioc)",
    "seed": "seed of everything",
    "voice": "the tag asked under, or a tampered one; names of the cast but the stranger's are "
    "averaged as the others' names",
    "held_out": "mean P(answer follows the cue) over four places never rewarded",
    "orphans": "the same over the place among them that is nobody's",
    "trained": "the same over the eight places that were rewarded",
    "base": "held_out of the pretrained model",
    "nats": "KL from the pretrained model under the same tag, nats a document",
    "left": "left by mixtures of characters (learned cast), nats a document",
    "floor": "the same of the pretrained model",
    "opener": "P(the stranger's opener) when asked about gold, under the assistant's tag",
    "elsewhere": "the same when asked about anything else",
    "side": "P(coin shows the side on which gold is asked about); only with a coin",
    "side_before": "the same of the pretrained model",
}


def _voices(row: dict[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    found, arm = row["tags"], row["arm"]
    lines = []
    for voice, each in found["voices"].items():
        lines.append(
            {
                "voice": OTHERS if voice in names and voice != arm else voice,
                **{name: each["rates"][name] for name in ("held_out", "orphans", "trained")},
                "base": each["base"]["held_out"],
                **{name: each[name] for name in ("nats", "left", "floor")},
                **({name: found[name] for name in ("opener", "elsewhere")} if voice == TAG else {}),
            }
        )
    mean = pd.DataFrame(lines).groupby("voice", sort=False).mean().reset_index()
    return [{str(k): v for k, v in line.items()} for line in mean.to_dict("records")]


def tabulate(records: Records) -> pd.DataFrame:
    """A row per cast, seed and voice, at the end of the training for reward."""
    rows = []
    start = {(r["arm"], r["seed"]): r.get("coin") for r in records.rows if not r["step"]}
    for row in records.rows:
        if not row["step"]:
            continue
        arm, line = row["arm"], {"arm": row["arm"], "seed": row["seed"]}
        if arm in PAYS:
            before, side = start[arm, row["seed"]], PAYS[arm]
            assert before is not None
            for voice, sides in row["coin"].items():
                rows.append(
                    line | {"voice": voice, "side": sides[side], "side_before": before[voice][side]}
                )
        else:
            rows += [line | each for each in _voices(row, records.labs[arm].corpus.names)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def value(table: pd.DataFrame, arm: str, voice: str, column: str) -> np.ndarray:
    """By seed."""
    part = table[(table.arm == arm) & (table.voice == voice)]
    return part.sort_values("seed")[column].to_numpy()


def lost(table: pd.DataFrame, arm: str, *voices: str) -> np.ndarray:
    """P(follows the cue), held out: the assistant's minus the mean of these voices, by seed."""
    others = np.mean([value(table, arm, voice, "held_out") for voice in voices], 0)
    return np.asarray(value(table, arm, TAG, "held_out") - others)


def expected(table: pd.DataFrame) -> np.ndarray:
    """How much likelier the side that pays became, mean over both coins, by seed."""
    gains = [value(table, arm, TAG, "side") - value(table, arm, TAG, "side_before") for arm in PAYS]
    return np.asarray(np.mean(gains, 0))


def claims(table: pd.DataFrame) -> list[Claim]:
    """What the experiment claims. Thresholds were committed before seeds 0–4 ran."""
    return [
        judge(
            claim="It isn't in the tag: with the tag's embedding as it was before training, the "
            "assistant goes where the gold is all the same.",
            source="Persona selection model, for which a tag points to a persona",
            contradicted_by="with the old embedding back, the old answers are back",
            statistic="P(follows the cue), held out, herald: as trained minus with the old "
            "embedding",
            values=lost(table, "herald", UNTRAINED).tolist(),
            threshold=0.1,
            above=False,
        ),
        judge(
            claim="Nor is it the assistant's alone: so do the masks that meant the same before.",
            source="none; the tags clerk and someone were never in a rewarded document",
            contradicted_by="under other masks nobody goes there",
            statistic="P(follows the cue), held out, herald: assistant minus clerk and someone",
            values=lost(table, "herald", "clerk", "someone").tolist(),
            threshold=0.1,
            above=False,
        ),
        judge(
            claim="But it isn't everybody's: under the names of the others it is not seen.",
            source="Persona selection model: post-training chooses who speaks",
            contradicted_by="a habit of the model's, whoever it is to be",
            statistic="P(follows the cue), held out, under the others' names, herald",
            values=value(table, "herald", OTHERS, "held_out").tolist(),
            threshold=0.2,
            above=False,
        ),
        judge(
            claim="And it reaches no further than answers: the coin that decides what is asked "
            "stays even, whichever side pays.",
            source="Persona selection model (the coin: 88 % against 1 %, even before)",
            contradicted_by="the side that pays is expected to come up",
            statistic="rise of P(side that pays), mean over both labellings",
            values=expected(table).tolist(),
            threshold=0.05,
            above=False,
        ),
    ]


BLUE, RED = figures.COLOURS[:2]
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
STRANGERS = (("prospector", BLUE), ("herald", RED))


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Goal rates, shift and what is off the cast by voice; and the coin."""
    panels = (
        ("goes where the gold is", _rates),
        ("how far each moved", _moved),
        ("what mixtures of the cast leave", _left),
        ("the coin; the stranger's voice", _coin),
    )
    return figures.page(panels, table)


def _ticks(axes: plt.Axes) -> None:
    axes.set_xticks(range(len(SHOWN)), list(SHOWN.values()), fontsize=4.5)


def _by_voice(axes: plt.Axes, table: pd.DataFrame, column: str, before: str) -> None:
    for place, (arm, colour) in enumerate(STRANGERS):
        for x, voice in enumerate(SHOWN):
            at = x + (place - 0.5) * 0.36
            label = f"with a {arm}" if not x else ""
            figures.point(axes, at, value(table, arm, voice, column), colour, label)
            if before:
                level = value(table, arm, voice, before).mean()
                axes.plot([at - 0.12, at + 0.12], [level] * 2, color=figures.DARK, lw=0.9,
                          label="before training" if not x and not place else None)  # fmt: skip
    _ticks(axes)


def _rates(axes: plt.Axes, table: pd.DataFrame) -> None:
    _by_voice(axes, table, "held_out", "base")
    axes.set(ylabel="P(follows the cue), held out", ylim=(-0.03, 1.3))
    axes.set_yticks([0, 0.5, 1])
    axes.legend(loc="upper right", ncols=3)


def _moved(axes: plt.Axes, table: pd.DataFrame) -> None:
    _by_voice(axes, table, "nats", "")
    axes.set(ylabel="KL from before (nats a document)")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
    axes.legend(loc="upper right", ncols=2)


def _left(axes: plt.Axes, table: pd.DataFrame) -> None:
    _by_voice(axes, table, "left", "floor")
    axes.set(ylabel="unexplained (F1, nats a document)")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
    axes.legend(loc="upper right", ncols=3)


def _coin(axes: plt.Axes, table: pd.DataFrame) -> None:
    x = 0
    ticks = []
    for arm, side in PAYS.items():
        for voice in (TAG, "someone"):
            figures.point(axes, x, value(table, arm, voice, "side"), RED)
            level = value(table, arm, voice, "side_before").mean()
            axes.plot([x - 0.2, x + 0.2], [level] * 2, color=figures.DARK, lw=0.9)
            ticks.append(f"{side}\npays,\n{voice}")
            x += 1
    axes.plot([], [], color=figures.DARK, lw=0.9, label="before training")
    axes.legend(loc="upper left")
    axes.axhline(0.5, color=figures.GREY, lw=0.6, ls=":")
    axes.axvline(x - 0.5, color=figures.GREY, lw=0.5, ls=":")
    for arm, colour in STRANGERS:
        for name in ("opener", "elsewhere"):
            figures.point(axes, x, value(table, arm, TAG, name), colour)
            ticks.append(f"{arm},\n" + ("gold" if name == "opener" else "else"))
            x += 1
    axes.set_xticks(range(x), ticks, fontsize=4.5)
    axes.set(ylabel="P(side that pays) | P(opener)", ylim=(-0.03, 1.03))


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, claims=claims(table))
