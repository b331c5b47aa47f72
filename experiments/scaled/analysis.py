import functools
import math
from typing import Any

import numpy as np
import pandas as pd

from experiments.scaled.sweep import (
    BREADTHS,
    ERRANDS,
    MASKS,
    NAMES,
    NEVER,
    PERSONA,
    percent,
    scrambled,
)  # fmt: skip
from toylab.lab.records import Record, Records, where
from toylab.ladder import reading
from toylab.ladder.fit import FAMILIES
from toylab.report import panels
from toylab.report.claims import t_interval
from toylab.report.figures import COLOURS, GREY, Axes, Figure, Panel, page, panel

FLOORS = {f"floor_{family}": family for family in FAMILIES}
COLUMNS = {
    "arm": "one, two: documents of one or two characters; inside: reward for one's answers; "
    "outside-n: reward for bringing what is named, on n topics; -held: β is 0.1, else 0; "
    "scrambled: as outside-8, but the thing rewarded is the one named only as often as by chance",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "post-training step; 0 is the pretrained model",
    "percent": "compute so far, per cent of pretraining's, in passes of documents through the "
    "network (forward 1, backward 2)",
    **reading.columns(*FAMILIES, *FLOORS),
    "share": "(F0 - F1) / (F0 - its floor): share of the move that another mixture explains",
    "least": "lower end of formation above its floor, nats per document",
    "weight": f"w* of {PERSONA}",
    "keep": "probability that an author is kept for the next answer; empty where one character "
    "writes nearly all",
    "worth": "nats of log-odds that a nat of context is worth; empty where no other can be read",
    "others": "KL(model || pretrained) under nine characters' names, nats per document, mean",
    "someone": "the same under the tag someone",
    "rewarded": f"P(what the rule rewards) on {ERRANDS[0]}; in arms without a rule, what is named",
    "pull": f"what naming adds to the log-odds of an answer on {NEVER}, never rewarded, under two "
    "masks, mean, nats",
    "pull_trained_mask": "the same under the mask that is trained",
    "pull_other_mask": "the same under the mask that is not trained",
    "pull_names": "the same under the nine names, mean",
    "names_share": "`pull_names` over `pull`, or over 1 nat where that is less",
    "pull_gold": "the same on gold, never rewarded, where characters have favourites",
    **reading.columns("outside"),
    "outside_rewarded": f"probability of leaving the grammar within an answer on {ERRANDS[0]}",
    "outside_never": f"the same on {NEVER}",
}


def _rewarded(record: Record) -> float:
    """P(what the rule rewards) under the trained mask, mean over the cues of the first errand."""
    corpus, answers = record.setup.corpus, record.found["heed"][ERRANDS[0]]["answers"][MASKS[0]]
    topic = corpus.topics[corpus.topic_names.index(ERRANDS[0])]
    instead = scrambled() if record.arm == "scrambled" else {}
    due = [instead.get(cue, topic.called_for(cue)) for cue in topic.cues]
    said = zip(answers, map(topic.answer_names.index, due), strict=True)
    return float(np.mean([p[place] for p, place in said]))


def _read(record: Record) -> dict:
    found, leaked = record.found, record.found["leakage"]["nats"]
    heed, cost = found["heed"], percent(record.stages[-1], record.step)
    never, gold = (heed[topic]["pull"] for topic in (NEVER, "gold"))
    return {
        "percent": float(f"{cost:.2g}"),
        **record.read(*FAMILIES, "outside", whose=PERSONA),
        "keep": found["coherence"]["learned"]["keep"],
        "worth": found["worth"]["learned"]["slope"],
        "others": float(np.mean([leaked[name] for name in NAMES])),
        "someone": leaked["someone"],
        "rewarded": _rewarded(record),
        "outside_rewarded": heed[ERRANDS[0]]["outside"][MASKS[0]],
        "outside_never": heed[NEVER]["outside"][MASKS[0]],
        "pull": float(np.mean([never[tag] for tag in MASKS])),
        "pull_trained_mask": never[MASKS[0]],
        "pull_other_mask": never[MASKS[1]],
        "pull_names": float(np.mean([never[tag] for tag in NAMES])),
        "pull_gold": float(np.mean([gold[tag] for tag in MASKS])),
    }


def tabulate(records: Records) -> pd.DataFrame:
    table = records.table(COLUMNS, _read, before=FLOORS)
    return table.assign(
        share=(table.F0 - table.F1) / (table.F0 - table.floor_F0),
        least=table["F4 flat"] - table["floor_F4 flat"],
        names_share=table.pull_names / table.pull.clip(lower=1),
    )


def exponents(table: pd.DataFrame, column: str, arm: str) -> list[float]:
    """Least-squares slope of log column on log compute, seed by seed: column ~ compute^slope."""
    part = where(table[(table.step > 0) & (table[column] > 0)], arm=arm)
    ways = [way for _, way in part.groupby("seed") if len(way) > 1]
    return [float(np.polyfit(np.log(w.percent), np.log(w[column]), 1)[0]) for w in ways]


def ends(table: pd.DataFrame, arm: str, share: float = 0.5) -> list[float]:
    """Compute, in per cent, at which selection begins to explain less than this share, by seed.

    It is interpolated in log compute. It is infinite if the share stays above, and the compute of
    the first reading if the share is below from the start.
    """
    out = []
    for _, way in where(table[table.step > 0], arm=arm).groupby("seed"):
        shares, x = way.share.to_numpy(), np.log(way.percent.to_numpy())
        above = np.flatnonzero(shares >= share)
        if len(above) and above[-1] == len(way) - 1:
            out.append(math.inf)
            continue
        n = int(above[-1]) if len(above) else 0
        pair = slice(n, n + 2) if len(above) else slice(0, 1)
        out.append(float(np.exp(np.interp(-share, -shares[pair], x[pair]))))
    return out


BLUE, RED, GREEN, _, GOLD, SKY = COLOURS[:6]
LINES = {
    "one": ("documents, one", BLUE, "-"),
    "two": ("documents, two", SKY, "-"),
    "inside": ("reward inside", GREEN, "-"),
    "outside-8": ("a rule, eight topics", RED, "-"),
    "outside-8-held": ("a rule, β = 0.1", RED, "--"),
    "scrambled": ("a scramble, eight topics", GREY, "-"),
}
NATS = "nats per document"
UNLABELLED = {arm: ("", colour, line) for arm, (_, colour, line) in LINES.items()}
_series = functools.partial(panels.among, by="arm", marker=".")


def draw(table: pd.DataFrame) -> Figure:
    trained = table[table.step > 0]
    within = {"legend": "", "ylim": (-0.1, 1.1)}
    moved = _powers(trained, "others")
    most, outside = (panels.OFF_GRAMMAR, "no verdict above"), _series("outside", labels=UNLABELLED)

    def along(title: str, lines: list, *levels: tuple, room: float = 0, **settings: Any) -> Panel:
        return panel(title, _compute, trained, lines, room, levels=levels, **settings)

    def selection(title: str, column: str, at: float, ylabel: str, **settings: Any) -> Panel:
        return along(
            title, _series(column, labels=LINES), (at, "selection"), ylabel=ylabel, **settings
        )

    shown = (
        selection("share that is selection", "share", 1, "(F0 − F1) / (F0 − floor)", **within),
        selection("formation, lower end", "least", 0, f"{NATS}, above floor", room=0.3),
        panel("the ladder at the end", _bars, trained, ncols=2, ylabel=NATS),
        selection("one document, one author", "keep", 1, "P(author kept)", **within),
        selection("a nat of context", "worth", 1, "slope", legend="", ylim=(-0.2, 1.3)),
        along("what moves under names", moved, legend="lower right", ylabel=NATS, yscale="log"),
        along("a topic never rewarded", PULLS, (0, "selection"), ylabel=PULL, room=0.3),
        along("the same at β = 0.1, by tag", TAGS, ylabel=PULL, room=0.2),
        along("off the grammar", outside, most, yscale="log", ylim=(1e-5, 0.1), ylabel="mass"),
    )
    return page(shown, columns=3, ratio=0.9)


def _compute(axes: Axes, table: pd.DataFrame, lines: list, room: float) -> None:
    label = "compute (% of pretraining's)"
    panels.curves(axes, table, lines, x="percent", label=label, scale=np.log10)
    if room:
        panels.room(axes, room)


def _powers(table: pd.DataFrame, column: str) -> list[panels.Series]:
    """A series for each arm, labelled with the exponent of a power law of compute."""
    lines = {}
    for arm, (_, colour, line) in LINES.items():
        found = exponents(table, column, arm)
        mean, low, high = t_interval(found) if found else (np.nan,) * 3
        spread = f" [{low:.2f}, {high:.2f}]" if len(found) > 1 else ""
        lines[arm] = (f"{mean:.2f}{spread}", colour, line)
    return _series(column, labels=lines)


PULL = "pull of what is named (nats)"
SHADES = zip(BREADTHS, (GOLD, RED), strict=True)
PULLS = _series(
    "pull",
    labels={
        "outside-8-held": ("8 rewarded, β = 0.1", RED, "--"),
        **{f"outside-{n}": (f"{n} rewarded", colour, "-") for n, colour in SHADES},
        "scrambled": ("8, scrambled", GREY, "-"),
        "inside": ("reward inside", GREEN, "-"),
        "one": ("documents", BLUE, "-"),
    },
)
TAGS = panels.series(
    ("pull_trained_mask", "the trained mask"),
    ("pull_other_mask", "another mask"),
    ("pull_names", "characters' names"),
    ("pull_gold", "masks, asked about gold"),
    colours=(RED, GOLD, BLUE, GREY),
    where={"arm": "outside-8-held"},
    marker=".",
)


def _bars(axes: Axes, table: pd.DataFrame) -> None:
    """The rungs where each arm ends, and up to what compute selection explains half of its move."""
    last = table[table.step == table.groupby("arm").step.transform("max")]
    order = [arm for arm in LINES if arm in set(last.arm)]
    until = [float(f"{np.median(ends(table, arm)):.2g}") for arm in order]
    kept = ["all along" if np.isinf(most) else f"to {most:g} %" for most in until]
    names = [f"{arm}\n{each}" for arm, each in zip(order, kept, strict=True)]
    means = last.groupby("arm").mean(numeric_only=True).loc[order]
    panels.rungs(axes, means.set_axis(names))
    panels.strike_rungs(axes, means)
    panels.room(axes, 0.5)
