"""From the records of `replication` to its figure, its table and the values of its claims."""

from collections.abc import Mapping, Sequence
from pathlib import Path as File
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.replication.sweep import TOPIC
from toylab.lab.records import Record, Records
from toylab.measures.cues import Goals
from toylab.measures.follow import cue_effect
from toylab.report import figures, panels
from toylab.report.claims import Claim, judge_all
from toylab.report.figures import COLOURS, DARK, GREY, panel
from toylab.report.results import Analysis

COLUMNS = {
    "cast": "which cast: the seed it was drawn, or the valley dealt anew, with",
    "seed": "seed of everything else",
    "excess": "excess loss of the pretrained model on answers, nats per token",
    "share": "(F0 - F1) / F0 after 20 steps on fresh documents of one character",
    "weight": "its w* then, in F1",
    "left": "F2 - its floor after sixteen documents of that character, nats per document",
    "floor": "F2 of the pretrained model",
    "outside": "mean probability of words that the grammar forbids, after those sixteen",
    "r2": "R2 on changes of untrained items after its answers on one topic (one author)",
    "pairwise": "the same, of the rival that composes traits from pairs of them",
    "saturated": "1 if the fitted topic no longer depends on the rate: the rate is a bound",
    "slope_before": "worth of a nat of context before post-training (conditioning: 1)",
    "slope": "the same after 20 steps on fresh documents",
    "herald": "P(follows the cue) at four places held out, with a herald in the valley",
    "bystander": "the same, with a bystander",
    "herald_rewarded": "the same at the eight places rewarded, with a herald",
    "bystander_rewarded": "the same, with a bystander",
    "herald_gain": "what naming a place held out adds to its log-odds against rewarded ones, with "
    "a herald, nats",
    "bystander_gain": "the same, with a bystander",
    "best_character": "the best that one character of the herald's valley does at those held out",
}


def _fresh(record: Record, _: Mapping[str, Any]) -> dict[str, Any]:
    slope = record.found["exchange"]["learned"]["slope"]
    slope = np.nan if slope is None else slope
    if not record.step:
        return {"slope_before": slope}
    (stage,) = record.stages
    read = record.read("F0", "F1", whose=stage.author)
    share, excess = 1 - read["F1"] / read["F0"], record.base["excess"]["answers"]
    return {"slope": slope, "share": share, "weight": read["weight"], "excess": excess}


def _memorised(record: Record, so_far: Mapping[str, Any]) -> dict[str, Any]:
    left = record.read("F2")["F2"]
    if not record.step:
        return {"floor": left}
    return {"left": left - so_far["floor"]} | record.read("outside")


def _narrow(record: Record, so_far: Mapping[str, Any]) -> dict[str, Any]:
    """How well Bayes predicts the untrained answers, at the last step before its rate saturates."""
    if not record.step or "past" in so_far:
        return {}
    change = np.subtract(*(each["reading"]["items"] for each in (record.found, record.start)))
    found = record.predicted(change, TOPIC)
    r2, saturated = found["one_author"].r2, found["one_author"].saturated
    if saturated and "r2" in so_far:
        return {"past": True}
    return {"r2": r2, "pairwise": found["pairwise"].r2, "saturated": float(saturated)}


def _goal(record: Record, _: Mapping[str, Any]) -> dict[str, Any]:
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
    }


READ = {
    "fresh": _fresh,
    "memorised": _memorised,
    "narrow": _narrow,
    "herald": _goal,
    "bystander": _goal,
}


def tabulate(records: Records) -> pd.DataFrame:
    """A row per cast and seed, with the readings of all its arms."""
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    for record in records.each():
        kind, _, number = record.arm.partition("-")
        row = rows.setdefault((int(number), record.seed), {"cast": int(number)})
        row |= {"seed": record.seed} | READ[kind](record, row)
    return pd.DataFrame(list(rows.values()), columns=list(COLUMNS))


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """The headline statistics by cast, each the mean over its seeds: casts are the unit."""
    casts = table.groupby("cast").mean()
    # where a cast has no readable slope, the interval is over the others
    return {
        "share": casts.share.dropna(),
        "left": casts.left.dropna(),
        "r2": casts.r2.dropna(),
        "less_sensitive": (casts.slope_before - casts.slope).dropna(),
        "reach": (casts.herald - casts.bystander).dropna(),
        "rule": (casts.herald_gain - casts.bystander_gain).dropna(),
    }


def draw(table: pd.DataFrame, found: Sequence[Claim]) -> Figure:
    """A panel for each claim: every cast with its seeds, the mean over casts, the threshold."""
    shown = (
        ("fresh documents select", "share", table.share),
        ("sixteen leave the cast", "F2 − floor, nats per document", table.left),
        ("one topic, predicted", "R² on changes", table.r2),
        ("context counts for less", "slope before − after", table.slope_before - table.slope),
        ("a goal formed", "herald − bystander", table.herald - table.bystander),
        ("it is a rule", "nats, herald − bystander", table.herald_gain - table.bystander_gain),
    )
    painted = [
        panel(title, _by_cast, values, claim, legend="" if n else "lower left", ylabel=label)
        for n, ((title, label, values), claim) in enumerate(zip(shown, found, strict=True))
    ]
    return figures.page(painted, table, columns=3, ratio=0.8)


def _by_cast(axes: Axes, table: pd.DataFrame, values: pd.Series, claim: Claim) -> None:
    mean = values.groupby(table.cast).mean()
    x = table.cast.map({cast: place for place, cast in enumerate(mean.index)})
    axes.axhspan(claim.low, claim.high, color=COLOURS[0], alpha=0.15, lw=0)
    panels.level(axes, claim.value, "mean, 95 % interval", "-", COLOURS[0])
    panels.level(axes, claim.threshold, "claimed above", "--", COLOURS[1])
    axes.plot(x, values, ".", color=GREY, ms=2.5, label="seeds")
    axes.plot(range(len(mean)), mean, "o", color=DARK, ms=3, label="casts")
    low, high = min(0.0, values.min()), max(claim.high, values.max())
    axes.set(xlabel="cast", ylim=(low - 0.03 * high, 1.05 * high))
    panels.places(axes, [str(cast) for cast in mean.index], rotation=0)


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the finished seeds."""
    table = tabulate(records)
    values = claims(table)
    found = judge_all(File(__file__).parent / "claims.toml", values)
    return Analysis(figure=draw(table, found), table=table, columns=COLUMNS, values=values)
