"""The whole answer in one figure, from the tables that ship.

It shows what post-training selects, what it forms, what that takes, what scale does, and what
stays open. `./launch.sh figures` draws it. An experiment without a table has no panel.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from toylab.lab.records import end, where
from toylab.report import panels
from toylab.report.figures import COLOURS, DARK, GREY, Axes, Figure, page, panel

BLUE, RED, GREEN, PINK, GOLD = COLOURS[:5]
NONE = "best mixture of characters"
EARLY = 10  # step at which masks are compared, before training saturates
MEMORISED = 40  # step of the claim on sixteen documents; later the model leaves the grammar


def draw(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """A panel for each experiment among `tables`, by name."""
    shown = [
        panel(title, paint, tables[name])
        for name, (title, paint) in PANELS.items()
        if name in tables
    ]
    return page(shown, columns=min(3, len(shown)), ratio=0.85)


def _selects(axes: Axes, table: pd.DataFrame) -> None:
    """How much of the move another mixture of characters explains, by what was trained on."""
    table = where(table, cast="learned")
    table = table[(table.arm != "ordinary-16") | (table.step <= MEMORISED)]
    at = {
        "ordinary": "one character,\nfresh documents",
        "ordinary-16": "the same,\n16 documents",
        "narrow": "neutral voice,\none topic",
    }
    panels.points(axes, table, panels.series(("share", "")), at, rotation=0)
    panels.strike_points(axes, table, at, ["share"])
    panels.level(axes, 1.0, "selection", colour=DARK)
    axes.set(ylabel="share of the move explained", ylim=(0, 1.3))


def _odds(axes: Axes, table: pd.DataFrame) -> None:
    """Odds of the good machine against the bad one, after and before, a dot for each mask."""
    part = table[(table.arm == "ambiguous") & table.step.between(1, EARLY) & (table.prior != 0)]
    part = part[part.step == part.step.max()]
    panels.against(axes, part, [("", part.step > 0, BLUE, "o")], "before", "log_odds", by="mask")
    axes.set(xlabel="log-odds before training", ylabel="log-odds after, good machine")


def _forms(axes: Axes, table: pd.DataFrame) -> None:
    """P(goes to a place never rewarded and loved by nobody), by who is in the cast."""
    at = {"prospector": "who goes\nthere", "herald": "who says\nthe place", "bystander": "neither"}
    shown = panels.series(("orphans_raw", "", "best_character"), colours=[RED])
    panels.points(axes, table, shown, at, by="cast", rotation=0, prediction=NONE)
    axes.set(ylabel="P(goes where the gold is)", xlabel="in the cast", ylim=(0, 1.3))


def _takes(axes: Axes, table: pd.DataFrame) -> None:
    """P(right tool) for gold where it was never taught; P(new tool) after knowledge has changed."""
    taught = {"sft": "all know", "bystander": "nobody\nknows"}
    later = {"rl_later": "rewarded", "never_later": "never\nrewarded"}
    for x, (arm, column, colour) in enumerate(
        [(arm, "held_out", RED) for arm in taught] + [(arm, "new", PINK) for arm in later]
    ):
        found = end(where(table, arm=arm), column)
        label = {0: "the tool that serves", 2: "a new tool, once it serves"}.get(x, "")
        panels.point(axes, x, found, colour, label)
    best = where(table, arm="sft").character.max()
    axes.plot([-0.4, 1.4], [best, best], color=DARK, lw=0.9, label=NONE)
    panels.places(axes, [*taught.values(), *later.values()], rotation=0)
    axes.set(ylabel="P(tool), obstacles never taught", ylim=(0, 1.45))


def _scale(axes: Axes, table: pd.DataFrame) -> None:
    """What naming a thing adds where that was never rewarded, against compute."""
    arms = {
        "outside-8-held": ("a rule, 8 topics, β = 0.1", RED, "--"),
        "outside-8": ("the same, β = 0", RED, "-"),
        "outside-1": ("1 topic, β = 0", GOLD, "-"),
        "scrambled": ("a scramble, 8 topics", GREY, "-"),
        "inside": ("reward inside the cast", GREEN, "-"),
        "one": ("documents", BLUE, "-"),
    }
    part, lines = table[table.step > 0], panels.among("pull", "arm", arms)
    label = "compute (% of pretraining's)"
    panels.curves(axes, part, lines, x="percent", label=label, scale=np.log10)
    for _, each in part[part.arm.isin(arms)].groupby(["arm", "percent"]):
        panels.strike(axes, np.log10(each.percent.mean()), each.pull.mean(), each.outside.mean())
    panels.strike_label(axes)
    axes.set_ylabel("pull where never rewarded (nats)")
    panels.room(axes, 0.45)


def _open(axes: Axes, table: pd.DataFrame) -> None:
    """P(lever), which the model says, and P(heads) of the coin, which the user tosses."""
    names = "the others' names"
    shown = [
        ("lever", "pull", "assistant", "lever", RED),
        ("lever", "pull", names, "other\nnames", RED),
        ("twin", "pull", names, "without\neffect", GREY),
        ("lever", "heads", "assistant", "the user's\ncoin", BLUE),
    ]
    for x, (arm, column, voice, _, colour) in enumerate(shown):
        part = where(table, arm=arm, voice=voice)
        panels.point(axes, x, end(part, column), colour)
        first = part[part.step == 0][column].mean()
        label = "" if x else "before training"
        axes.plot([x - 0.25, x + 0.25], [first, first], color=DARK, lw=0.9, label=label)
    panels.places(axes, [title for *_, title, _ in shown], rotation=0)
    axes.set(ylabel="probability", ylim=(0, 1.3))


PANELS = {
    "selection": ("what selects: documents", _selects),
    "role_models": ("what is kept: odds, at step 10", _odds),
    "treasure": ("what forms: a place never rewarded", _forms),
    "tools": ("what it takes: shared knowledge", _takes),
    "scaled": ("what scale does", _scale),
    "levers": ("what stays open: beyond answers", _open),
}
