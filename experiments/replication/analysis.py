from pathlib import Path as File

import numpy as np
import pandas as pd

from toylab.lab.records import Record, Records
from toylab.measures import follow
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
    read = record.read("outside", whose=record.stages[0].author)
    return {"slope": slope, "excess": record.base["excess"]["answers"], **read}


def _goal(record: Record) -> dict:
    if not record.step:
        return {}
    who, corpus, goals = record.arm.partition("-")[0], record.setup.corpus, record.found["goals"]
    asked = record.measures["goals"]
    topic = corpus.topics[corpus.topic_names.index(asked.topic)]
    best = {"best_character": goals["character"]["held_out"]} if who == "herald" else {}
    return best | {
        who: goals["rates"]["held_out"],
        f"{who}_rewarded": goals["rates"]["trained"],
        f"{who}_gain": follow.cue_effect(np.array(goals["answers"]), topic, asked.trained).gain,
        "outside": follow.outside(goals, topic, asked.trained),
    }


def tabulate(records: Records) -> pd.DataFrame:
    """A row per cast or valley and seed, with the readings of all its arms."""
    rows = {}
    for record in records.each():
        kind, _, number = record.arm.partition("-")
        what = "cast" if kind == "fresh" else "valley"
        row = rows.setdefault((what, int(number), record.seed), {"what": what})
        found = _fresh(record) if kind == "fresh" else _goal(record)
        most = max(row.get("outside", 0.0), found.get("outside", 0.0))
        row |= {"cast": int(number), "seed": record.seed} | found | {"outside": most}
    table = pd.DataFrame(list(rows.values()), columns=list(COLUMNS))
    return table.assign(
        slope_lost=table.slope_before - table.slope,
        reach=table.herald - table.bystander,
        rule=table.herald_gain - table.bystander_gain,
    )


SHOWN = {
    "slope_lost": ("context counts for less", "slope before − after"),
    "reach": ("places held out are reached", "P(follows), herald − bystander"),
    "rule": ("what naming a place held out adds", "nats, herald − bystander"),
}


def draw(table: pd.DataFrame) -> Figure:
    """A panel for each claim: every cast, lowest first, the mean over casts, the threshold."""
    claims = judge_all(load(File(__file__).parent / "claims.toml")[0], table)
    titled = [(*SHOWN[claim.column], claim) for claim in claims]
    shown = [panel(title, _by_cast, claim, ylabel=label) for title, label, claim in titled]
    return page(shown, table, columns=3, ratio=0.8)


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
