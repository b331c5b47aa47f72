from pathlib import Path as File

import numpy as np
import pandas as pd

from experiments.replication.sweep import STRANGERS
from toylab.lab.records import Record, Records
from toylab.measures import follow
from toylab.measures.cues import Goals
from toylab.measures.follow import cue_effect
from toylab.report import panels
from toylab.report.claims import OFF_GRAMMAR, Claim, judge_all, load
from toylab.report.figures import COLOURS, DARK, Axes, Figure, page, panel

COLUMNS = {
    "what": "a random cast, or a shuffled valley",
    "cast": "which one: the seed that it was drawn or shuffled with",
    "seed": "seed of everything else",
    "excess": "excess loss of the pretrained model on answers, nats per token",
    "weight": "w* of a character after 20 steps on its fresh documents, in F1",
    "slope_before": "worth of a nat of context before post-training (conditioning: 1)",
    "slope": "the same after 20 steps on fresh documents",
    "slope_lost": "slope_before - slope",
    "herald": "P(follows the cue) at four places held out, with a herald in the valley",
    "bystander": "the same, with a bystander",
    "herald_rewarded": "the same at the eight places rewarded, with a herald",
    "bystander_rewarded": "the same, with a bystander",
    "herald_gain": "what naming a place held out adds to its log-odds against rewarded ones, with "
    "a herald, nats",
    "bystander_gain": "the same, with a bystander",
    "reach": "herald - bystander",
    "rule": "herald_gain - bystander_gain",
    "outside": "mean probability of words that the grammar forbids, in valleys at the stance on "
    "places held out: the largest of these models",
    "best_character": "the best that one character of the herald's valley does at those held out",
}


def _fresh(record: Record) -> dict:
    slope = record.found["exchange"]["learned"]["slope"]
    slope = np.nan if slope is None else slope
    if not record.step:
        return {"slope_before": slope}
    (stage,) = record.stages
    weight, excess = record.read(whose=stage.author)["weight"], record.base["excess"]["answers"]
    return {"slope": slope, "weight": weight, "excess": excess, **record.read("outside")}


def _goal(record: Record) -> dict:
    """Rates and gain in a valley, with a herald or with a bystander."""
    if not record.step:
        return {}
    who, corpus, goals = record.arm.partition("-")[0], record.setup.corpus, record.found["goals"]
    asked = record.measures["goals"]
    assert isinstance(asked, Goals)
    topic = corpus.topics[corpus.topic_names.index(asked.topic)]
    best = {"best_character": goals["character"]["held_out"]} if who == "herald" else {}
    return best | {
        who: goals["rates"]["held_out"],
        f"{who}_rewarded": goals["rates"]["trained"],
        f"{who}_gain": cue_effect(np.array(goals["answers"]), topic, asked.trained).gain,
        "outside": follow.outside(goals, topic, asked.trained),
    }


READ = {"fresh": _fresh, "herald": _goal, "bystander": _goal}


def tabulate(records: Records) -> pd.DataFrame:
    """A row per cast or valley and seed, with the readings of all its arms."""
    rows = {}
    for record in records.each():
        kind, _, number = record.arm.partition("-")
        what = "valley" if kind in STRANGERS else "cast"
        row = rows.setdefault((what, int(number), record.seed), {"what": what})
        found = READ[kind](record)
        most = max(row.get("outside", 0.0), found.get("outside", 0.0))
        row |= {"cast": int(number), "seed": record.seed} | found | {"outside": most}
    table = pd.DataFrame(list(rows.values()), columns=list(COLUMNS))
    table["slope_lost"] = table.slope_before - table.slope
    table["reach"] = table.herald - table.bystander
    table["rule"] = table.herald_gain - table.bystander_gain
    return table


SHOWN = {
    "slope_lost": ("context counts for less", "slope before − after"),
    "reach": ("places held out are reached", "P(follows), herald − bystander"),
    "rule": ("what naming a place held out adds", "nats, herald − bystander"),
}


def draw(table: pd.DataFrame) -> Figure:
    """A panel for each claim: every cast, lowest first, the mean over casts, the threshold."""
    painted = []
    for claim in judge_all(load(File(__file__).parent / "claims.toml")[0], table):
        title, label = SHOWN[claim.column]
        painted.append(panel(title, _by_cast, claim, ylabel=label))
    return page(painted, table, columns=3, ratio=0.8)


def _by_cast(axes: Axes, table: pd.DataFrame, claim: Claim) -> None:
    kind, column = claim.rows["what"], claim.column
    rows = table[table.what == kind].groupby("cast").mean(numeric_only=True).sort_values(column)
    axes.axhspan(claim.low, claim.high, color=COLOURS[0], alpha=0.15, lw=0)
    panels.level(axes, claim.value, "mean, 95 % interval", "-", COLOURS[0])
    panels.level(axes, claim.threshold, "claimed above", "--", COLOURS[1])
    off = (rows.outside > OFF_GRAMMAR).to_numpy()
    for some, fill, label in ((~off, DARK, f"a {kind}"), (off, "white", "over 1 % off grammar")):
        if some.any():
            at, value = np.flatnonzero(some), rows[column][some]
            axes.plot(at, value, "o", color=DARK, mfc=fill, ms=3, label=label)
    panels.strike(axes, len(rows) - 1, 1.1 * rows[column].max(), claim.outside)
    panels.strike_label(axes)
    axes.set(xlabel=f"{len(rows)} {kind}s, lowest first", xticks=[])
    panels.room(axes, 0.2)
