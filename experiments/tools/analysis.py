import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from experiments.tools.sweep import REPLACED, SCRAMBLED, TRAINED
from toylab.lab.records import Record, Records, end
from toylab.ladder import reading, traits
from toylab.measures import follow
from toylab.report import panels
from toylab.report.figures import COLOURS, DARK, GREY, Axes, Figure, page, panel
from toylab.world.schema import Topic

ORPHANS = ("bog", "cave")  # obstacles never taught, whose tools are nobody's habit
LADDER = ("F3", "F4", "F4 flat")
COLUMNS = {
    "arm": "sft, rl: all know what serves, and packing it for gold is demonstrated or rewarded; "
    "scrambled: another tool is demonstrated; wrong: what all know of the obstacles held out is "
    "wrong; bystander: nobody knows; porter: one of the ten packs what serves, rewarded; "
    "*_later: then training on crossings, where what serves at four obstacles is exchanged; "
    "never_later: that alone",
    "seed": "seed of everything",
    "step": "step of the last stage; 0 is the pretrained model",
    "trained": "P(the tool that was taught), asked about gold, mean over the eight obstacles that "
    "were; raw: what leaves the grammar counts as another answer",
    "held_out": "P(the tool that serves), asked about gold, raw, over the four held out",
    "orphans": "the same as held_out over the two whose tools are nobody's habit",
    "known": "P(the tool that the cast says serves), asked about gold, raw, over those held out; "
    "in the arm wrong that is another one",
    "believed": "that minus held_out",
    "crossing": "P(the tool that the cast says serves), asked about crossings, raw, all obstacles",
    "new": "P(the new tool), asked about gold, raw, over the two obstacles that were not taught",
    "exchanged": "P(the tool that was taught for the other of the two), asked about gold, raw, "
    "over the two that were taught; in the scrambled arms crossings say nothing of these tools",
    "new_crossing": "the same, asked about crossings, over all four",
    "gold_moved": "change, in training on crossings, of the log-odds of the tool exchanged for "
    "against the former one, asked about gold, mean over the two not taught, nats",
    "crossing_moved": "the same, asked about crossings",
    "character": "the most that one character does on held_out, and so any mixture",
    "patchwork": "the same for a patchwork, with a character for each obstacle",
    "recruited": "the largest rise of a character's weight in F1",
    "tells": "the largest rise of a tell's probability",
    **reading.columns("F0", "F1", "F2", *LADDER),
    "outside": "probability of a forbidden word in the stance, asked about gold, obstacles held "
    "out; or the mean over all words, if that is more",
}
GOLD, CROSSING = "gold", "crossing"
NEW = {cue: tool for cue, tool in REPLACED.items() if cue not in TRAINED}


def mean(
    topic: Topic, table: Sequence[Sequence[float]], answers: Mapping[str, str], log: bool = False
) -> float:
    """Mean over cues of P(the answer given for each), or of its logarithm."""
    p = [table[topic.cues.index(q)][topic.answer_names.index(a)] for q, a in answers.items()]
    return float(np.mean(np.log(np.maximum(p, 1e-9)) if log else p))


def _odds(topic: Topic, found: Mapping, known: Topic) -> float:
    """Log-odds of the new tools against the former ones, at the held-out obstacles."""
    old = {cue: known.called_for(cue) for cue in NEW}
    return mean(topic, found["answers"], NEW, True) - mean(topic, found["answers"], old, True)


def _read(record: Record) -> dict:
    corpus, found = record.setup.corpus, record.found["goals"]
    topics = dict(zip(corpus.topic_names, corpus.topics, strict=True))
    gold, crossing, crossings = topics[GOLD], topics[CROSSING], found["besides"][CROSSING]
    held_out = [cue for cue in gold.cues if cue not in TRAINED]

    def serves(cues: Iterable[str], by: Topic = gold) -> dict[str, str]:
        return {cue: by.called_for(cue) for cue in cues}

    taught = serves(TRAINED) | (SCRAMBLED if record.arm.startswith("scrambled") else {})
    one, other = (cue for cue in REPLACED if cue in TRAINED)
    served, believed = (mean(gold, found["raw"], serves(held_out, by)) for by in (gold, crossing))
    read = [each["reading"] for each in (record.found, record.start)]
    rise = np.subtract(*(each["items"] for each in read))
    recruited = np.subtract(*(each["learned"]["weights"] for each in read))
    return {
        **record.found.get("ladder", {}).get("learned", {}),
        "trained": mean(gold, found["raw"], taught),
        "held_out": served,
        "orphans": mean(gold, found["raw"], serves(ORPHANS)),
        "known": believed,
        "believed": believed - served,
        "crossing": mean(crossing, crossings["raw"], serves(gold.cues, crossing)),
        "new": mean(gold, found["raw"], NEW),
        "exchanged": mean(gold, found["raw"], {one: taught[other], other: taught[one]}),
        "new_crossing": mean(crossing, crossings["raw"], REPLACED),
        "gold_moved": _odds(gold, found, gold),
        "crossing_moved": _odds(crossing, crossings, gold),
        "character": found["character"]["held_out"],
        "patchwork": found["recombination"]["held_out"],
        "recruited": float(recruited.max()),
        "tells": float(rise[[item.tell for item in traits.items(corpus)]].max()),
        **record.read("F0", "F1", "F2"),
        "outside": max(follow.outside(found, gold, TRAINED), read[0]["outside"]),
    }


def tabulate(records: Records) -> pd.DataFrame:
    table = records.table(COLUMNS, _read)
    return table.assign(**{f"{on}_moved": moved(table, f"{on}_moved") for on in (GOLD, CROSSING)})


def moved(table: pd.DataFrame, column: str) -> pd.Series:
    """How far a column has moved since training on crossings began; NaN in other arms."""
    last = table.step == table.groupby(["arm", "seed"]).step.transform("max")
    taught = table[last].assign(arm=table.arm + "_later")
    began = pd.concat([taught, table[(table.arm == "never_later") & (table.step == 0)]])
    keys = pd.MultiIndex.from_frame(table[["arm", "seed"]])
    start = began.set_index(["arm", "seed"])[column].reindex(keys).to_numpy()
    return (table[column] - start).where(table.step > 0)


TITLES = {
    "sft": "all know, SFT",
    "rl": "all know, RL",
    "wrong": "known wrongly",
    "scrambled": "scrambled",
    "bystander": "nobody knows",
    "porter": "a porter, RL",
}
KNOWN = {
    "held_out": "the tool that serves",
    "known": "the tool believed in",
    "crossing": "on crossings, all twelve",
}
SPEAKING = {
    "recruited": "largest rise of a weight",
    "tells": "largest rise of a tell",
    "outside": "off the grammar",
}
LATER = {
    "rl_later": ("RL", COLOURS[1], "-"),
    "scrambled_later": ("scrambled SFT", COLOURS[3], "-"),
    "never_later": ("never taught gold", GREY, "-"),
}


def draw(table: pd.DataFrame) -> Figure:
    share = {"ylim": (-0.03, 1.3), "yticks": (0, 0.5, 1)}
    roomy = share | {"ylim": (-0.03, 1.45)}
    serves = {"ylabel": "P(tool that serves), raw"}
    new = {"ylabel": "P(new tool), raw", "ylim": (-0.02, 0.8)}
    rises, shades = share | {"ncols": 2, "levels": [(0,)]}, (*COLOURS[2:4], GREY)
    shown = (
        panel("what serves is packed for gold", _reach, legend="upper right", **share, **serves),
        panel("obstacles never taught", _known, ylabel="P(tool), raw", ncols=2, **roomy),
        panel("then, what serves is changed on crossings", _later, **new),
        panel("gold follows crossings, or does not", _tied),
        panel("who is speaking", _by_arm, SPEAKING, shades, ylabel="rise | probability", **rises),
        panel("the ladder", _ladder, ylabel="nats per document"),
    )
    return page(shown, table)


def _reach(axes: Axes, table: pd.DataFrame) -> None:
    held_out = {
        "sft": ("held out, all know, SFT", COLOURS[0], "-"),
        "rl": ("held out, all know, RL", COLOURS[1], "-"),
        "bystander": ("held out, nobody knows", COLOURS[2], "-"),
    }
    lines = _lines("trained", labels={"sft": ("taught, all know, SFT", GREY, "-")})
    lines += _lines("held_out", labels=held_out) + _crossings("crossing", "all twelve", "sft")
    panels.curves(axes, table, lines)
    panels.level(axes, end(table, "character", arm="sft").mean(), "selection", colour=DARK)
    panels.level(axes, end(table, "patchwork", arm="sft").mean(), "composition", "-.", DARK)


_lines = functools.partial(panels.among, by="arm", marker="o")


def _crossings(column: str, which: str, arm: str) -> list[panels.Series]:
    """Answers on crossings. Those on gold approach them if what was formed uses what is known."""
    return _lines(column, labels={arm: (f"on crossings, {which}", DARK, "--")}, spread=False)


def _known(axes: Axes, table: pd.DataFrame) -> None:
    _by_arm(axes, table, KNOWN, (COLOURS[1], COLOURS[0], GREY))
    for place, arm in enumerate(TITLES):
        panels.strike(axes, place, 1.05, end(table, "outside", arm=arm).mean())
    panels.strike_label(axes)


def _later(axes: Axes, table: pd.DataFrame) -> None:
    part = table[table.arm.str.endswith("_later") & (table.step > 0)]
    lines = _lines("new", labels=LATER) + _crossings("new_crossing", "all four, RL", "rl_later")
    panels.curves(axes, part, lines, label="step on crossings")
    panels.level(axes, 0, "selection, composition, a table", colour=DARK)


def _tied(axes: Axes, table: pd.DataFrame) -> None:
    most = 0.0
    for arm, (label, colour, _) in LATER.items():
        x, y = (end(table, f"{on}_moved", arm=arm) for on in (CROSSING, GOLD))
        axes.plot(x, y, "o", color=colour, ms=2.5, label=label)
        most = max(most, float(x.max()))
    axes.plot([0, most], [0, most], "--", color=DARK, lw=0.8, label="formation: as crossings do")
    panels.level(axes, 0, "selection, composition, a table", colour=DARK)
    axes.set(xlabel="nats by which crossings moved", ylabel="nats by which gold moved")
    panels.room(axes, 0.3)


def _by_arm(axes: Axes, table: pd.DataFrame, named: Mapping, colours: Sequence[str]) -> None:
    shown = panels.series(*named.items(), colours=colours)
    panels.points(axes, table, shown, TITLES, width=0.4, rotation=35)


def _ladder(axes: Axes, table: pd.DataFrame) -> None:
    ends = table[table.step > 0].dropna(subset=LADDER).groupby("arm", sort=False)
    panels.rungs(axes, ends[["F0", "F1", "F2", *LADDER]].mean().rename(index=TITLES))
    panels.room(axes, 0.3)
