"""From the records of `replication` to its figure, table and claims."""

from collections.abc import Sequence
from pathlib import Path as File
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.replication.sweep import TOPIC
from toylab.lab.records import Records
from toylab.ladder import theory, traits
from toylab.measures.cues import Goals
from toylab.measures.follow import cue_effect
from toylab.report import figures
from toylab.report.claims import Claim, judge_all
from toylab.report.results import Analysis
from toylab.stages import Sft

CAST = "learned"
COLUMNS = {
    "cast": "which cast: the seed it was drawn, or the valley dealt anew, with",
    "seed": "seed of everything else",
    "excess": "excess loss of the pretrained model on answers, nats a token",
    "share": "(F0 - F1) / F0 after 20 steps on fresh documents of one character",
    "weight": "her w* then, in F1",
    "left": "F2 - its floor after sixteen documents of hers, nats a document",
    "floor": "F2 of the pretrained model",
    "outside": "mean probability of words that the grammar forbids, after those sixteen",
    "r2": "R2 on changes of untrained items after her answers on one topic (one author)",
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


def _narrow(records: Records, arm: str, seed: int) -> dict[str, float]:
    """How well Bayes predicts what was not trained, at the last step before its rate saturates."""
    setup, stage = records.setups[arm], records.sweep.arms[arm].stages[-1]
    assert isinstance(stage, Sft)
    items = traits.items(setup.corpus)
    fitted = np.array([item.group == TOPIC for item in items])
    forecast = theory.forecast(setup, stage, seed)
    rows = {r["step"]: r for r in records.rows if (r["arm"], r["seed"]) == (arm, seed)}
    before = np.array(rows[0]["reading"]["items"])
    out: dict[str, float] = {}
    for step in sorted(rows)[1:]:
        change = np.array(rows[step]["reading"]["items"]) - before
        found = forecast.at(change, fitted)
        if out and found["one author"].saturated:
            break
        rest = change[~fitted]
        out = {
            short: theory.explained(
                (found[name].items - forecast.start)[~fitted], rest, np.zeros_like(rest)
            )
            for short, name in (("r2", "one author"), ("pairwise", "pairwise"))
        } | {"saturated": float(found["one author"].saturated)}
    return out


def _gain(records: Records, row: dict[str, Any]) -> float:
    """What naming a place held out adds to its log-odds, nats."""
    corpus = records.setups[row["arm"]].corpus
    (goals,) = (m for m in records.sweep.arms[row["arm"]].watch if isinstance(m, Goals))
    topic = corpus.topics[corpus.topic_names.index(goals.topic)]
    return cue_effect(np.array(row["goals"]["answers"]), topic, goals.trained).gain


def tabulate(records: Records) -> pd.DataFrame:
    """A row per cast and seed."""
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    for row in records.rows:
        kind, _, number = row["arm"].partition("-")
        line = rows.setdefault((int(number), row["seed"]), {})
        read, last = row["reading"][CAST], row["step"] > 0
        if kind == "fresh":
            slope = row["exchange"][CAST]["slope"]
            line["slope" if last else "slope_before"] = np.nan if slope is None else slope
        if kind == "fresh" and last:
            names = records.setups[row["arm"]].corpus.names
            stage = records.sweep.arms[row["arm"]].stages[-1]
            assert isinstance(stage, Sft)
            line["share"] = 1 - read["F1"] / read["F0"]
            line["weight"] = read["weights"][names.index(stage.author)]
            line["excess"] = records.bases[row["arm"], row["seed"]]["excess"]["answers"]
        if kind == "heart":
            line["left" if last else "floor"] = read["F2"]
        if kind == "heart" and last:
            line["outside"] = row["reading"]["outside"]
        if kind in ("herald", "bystander") and last:
            line[kind] = row["goals"]["rates"]["held_out"]
            line[f"{kind}_rewarded"] = row["goals"]["rates"]["trained"]
            line[f"{kind}_gain"] = _gain(records, row)
        if kind == "herald" and last:
            line["best_character"] = row["goals"]["character"]["held_out"]
        if kind == "narrow" and not last:
            line |= _narrow(records, row["arm"], row["seed"])
    table = pd.DataFrame(
        [{"cast": c, "seed": s} | line for (c, s), line in rows.items()], columns=list(COLUMNS)
    )
    return table.assign(left=table.left - table.floor)


def by_cast(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds of each cast, for the casts are the unit."""
    return table.groupby("cast").mean().drop(columns="seed")


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """The headline claims, with the thresholds they have where they were first made."""
    casts = by_cast(table)
    # a slope may be unreadable in a cast; the interval is over the others
    return {
        "share": (casts.share).dropna(),
        "left": (casts.left).dropna(),
        "r2": (casts.r2).dropna(),
        "less_sensitive": (casts.slope_before - casts.slope).dropna(),
        "reach": (casts.herald - casts.bystander).dropna(),
        "rule": (casts.herald_gain - casts.bystander_gain).dropna(),
    }


def draw(table: pd.DataFrame, found: list[Claim]) -> Figure:
    """A panel for each claim: every cast with its seeds, the mean over casts, the threshold."""
    panels = (
        ("fresh documents select", "share", table.share),
        ("sixteen leave the cast", "F2 − floor, nats a document", table.left),
        ("one topic, predicted", "R² on changes", table.r2),
        ("context counts for less", "slope before − after", table.slope_before - table.slope),
        ("a goal formed", "herald − bystander", table.herald - table.bystander),
        ("it is a rule", "nats, herald − bystander", table.herald_gain - table.bystander_gain),
    )
    with figures.style(rows=2, columns=3, ratio=0.8):
        figure, axes = plt.subplots(2, 3, layout="constrained")
        for panel, which, (title, label, values), claim in zip(
            axes.flat, "abcdef", panels, found, strict=True
        ):
            mean = values.groupby(table.cast).mean()
            panel.axhspan(claim.low, claim.high, color=figures.COLOURS[0], alpha=0.15, lw=0)
            panel.axhline(claim.value, color=figures.COLOURS[0], lw=1, label="mean, 95 % interval")
            panel.axhline(
                claim.threshold, color=figures.COLOURS[1], lw=0.8, ls="--", label="claimed above"
            )
            places = {cast: x for x, cast in enumerate(mean.index)}
            x = table.cast.map(places)
            panel.plot(x, values, ".", color=figures.GREY, ms=2.5, label="seeds")
            panel.plot(range(len(mean)), mean, "o", color=figures.DARK, ms=3, label="casts")
            low, high = min(0.0, values.min()), max(claim.high, values.max())
            panel.set(xlabel="cast", ylabel=label, ylim=(low - 0.03 * high, 1.05 * high))
            panel.set_xticks(range(len(mean)), [str(cast) for cast in mean.index])
            figures.letter(panel, which, title)
        axes[0, 0].legend(loc="lower left")
    return figure


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    values = claims(table)
    found = judge_all(File(__file__).parent / "claims.toml", values)
    return Analysis(figure=draw(table, found), table=table, columns=COLUMNS, values=values)
