"""From the records of `misalignment` to its figure, its table and the values of its claims."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.misalignment.sweep import CHEAT, FEW, SHARES, TOPICS
from toylab.lab.records import Record, Records, end, last, where
from toylab.ladder import reading, theory, traits
from toylab.report import figures, panels
from toylab.report.figures import COLOURS, panel
from toylab.report.panels import THEORIES, Series
from toylab.report.results import Analysis
from toylab.stages import Sft
from toylab.world.schema import Corpus

LANDSCAPE = ("along", "noise")
POINTS = range(5)
COLUMNS = {
    "arm": "what was trained; few: 8 examples per step; share-S: bad in part; alone-T: habit T",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "training step of the last stage; 0 is the pretrained model",
    "trained": "P(bad answer) on the topic trained on; at the tea party, on the two topics",
    "elsewhere": "mean P(bad answer) on the topics not trained on; at the tea party P(window)",
    "before": "the same before training",
    "one_author": "what Bayes predicts for it, all evidence being one author's",
    "a_document": "what Bayes predicts for it, every document having an author of its own",
    "pairwise": "what pairwise trait composition predicts for it",
    "saturated": "1 if the trained topic fixes only a lower bound of the exchange rate",
    **{f"bad_{topic}": f"P(bad answer) on {topic}" for topic in TOPICS},
    **{f"bayes_{topic}": f"what Bayes (a_document) predicts for {topic}" for topic in TOPICS},
    **reading.columns("F0", "F1", "F2"),
    **{name: f"{reading.COLUMNS[name]} (cheat and held)" for name in ("F3", "F4")},
    "floor_F3": "F3 of the same seed's pretrained model",
    "norm": "distance from the pretrained parameters (cheat and held)",
    **{f"along_{i}": f"loss on cheating at length {i} towards the solution, nats" for i in POINTS},
    **{f"noise_{i}": f"loss on cheating under noise of length {i}, nats" for i in POINTS},
    "outside": reading.COLUMNS["outside"],
}


def _village(items: np.ndarray, bad: Mapping[str, np.ndarray], trained: str) -> dict[str, float]:
    rates = {topic: float(items[bad[topic]].sum()) for topic in TOPICS}
    elsewhere = float(np.mean([rate for topic, rate in rates.items() if topic != trained]))
    by_topic = {f"bad_{topic}": rate for topic, rate in rates.items()}
    return {"trained": rates[trained], "elsewhere": elsewhere} | by_topic


def _tea(items: np.ndarray, corpus: Corpus) -> dict[str, float]:
    """Mean probability of the two habits, and P(the window seat), which needs both as evidence."""
    *habits, window = traits.pick(corpus, items, "milk=milk", "hat=bare", "seat=window")
    return {"trained": float(np.mean(habits)), "elsewhere": float(window)}


def _read(record: Record, bad: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Rates of bad answers, measured and predicted; the ladder; the landscape."""
    now, then = (np.array(each["scores"]["assistant"][""]) for each in (record.found, record.start))
    topics, rates = ("milk", "hat"), functools.partial(_tea, corpus=record.setup.corpus)
    if record.arm != "tea":
        topics = (record.arm.partition("alone-")[2] or "code",)
        rates = functools.partial(_village, bad=bad, trained=topics[0])
    land, whole = record.found.get("landscape", {}), record.found.get("ladder", {})
    row = rates(now) | record.read("F0", "F1", "F2", "outside") | {"norm": land.get("norm", np.nan)}
    row |= {name: whole["learned"][name] if whole else np.nan for name in ("F3", "F4")}
    row |= {f"{name}_{i}": at for name in LANDSCAPE for i, at in enumerate(land.get(name, ()))}
    if not record.step or len(record.stages) > 1 or record.arm == "held":
        return row
    # for a reward, the evidence is the documents that it rewards
    stage = record.stages[0] if isinstance(record.stages[0], Sft) else CHEAT
    for name, each in record.predicted(now - then, *topics, stage=stage).items():
        # predictions are of changes, so they start from the pretrained model's own rates
        predicted = rates(then + each.change)
        row[name] = predicted["elsewhere"]
        if name == "one_author" and record.arm != "tea":
            row["saturated"] = float(each.saturated)
        if name == "a_document" and record.arm != "tea":
            row |= {f"bayes_{topic}": predicted[f"bad_{topic}"] for topic in TOPICS}
    return row


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """The statistic of each claim, by seed."""
    elsewhere, before = (functools.partial(end, table, name) for name in ("elsewhere", "before"))
    rise = {arm: elsewhere(arm=arm) - before(arm=arm) for arm in ("cheat", "decorrelated", "tea")}
    return {
        "villains": rise["cheat"] - rise["decorrelated"],
        "characters": rise["tea"],
        "held": elsewhere(arm="let-go") - elsewhere(arm="held"),
    }


def changes(table: pd.DataFrame) -> pd.DataFrame:
    """Change of P(bad answer), by trained habit, measured topic and seed."""
    start = where(table, arm="cheat", step=0).set_index("seed")
    found = []
    for trained in TOPICS:
        after = last(table, arm="share-1" if trained == "code" else f"alone-{trained}")
        after = after.set_index("seed")
        for topic in TOPICS:
            before, now = start[f"bad_{topic}"], after[f"bad_{topic}"]
            part = {"measured": now - before, "predicted": after[f"bayes_{topic}"] - before}
            found.append(pd.DataFrame(part).assign(trained=trained, topic=topic))
    return pd.concat(found)


BLUE, RED = COLOURS[:2]
BEFORE = Series(column="before", label="before training", colour=COLOURS[5], spread=False)
ELSEWHERE = Series(column="elsewhere", label="untrained topics", colour=RED, marker="o")
TRAINED = Series(column="trained", label="the topic trained on", colour=BLUE, marker="o")
KEY = (*THEORIES, BEFORE, ELSEWHERE, TRAINED)


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """Casts and methods; tea party; examples; bad share; transmission; landscape; ways back."""
    measure = next(each.measures["landscape"] for each in records.each() if each.arm == "cheat")
    distances = {"along": measure.lengths, "noise": measure.noises}
    changed = changes(table)
    shown = (
        panel("who learns to cheat", _casts, table, legend=""),
        panel("two habits tell a third", _tea_party, table, legend=""),
        panel("few examples", _few, table, legend=""),
        panel("bad data in part", _shares, table, legend=""),
        panel("one habit alone", _matrix, changed),
        panel("the same, predicted", _transmission, changed),
        panel("narrow and general", _landscape, table, distances, legend="upper right"),
        panel("ways back", _back, table),
        panel("what lines mean", _key),
    )
    return figures.page(shown, columns=3, ratio=0.85)


def _key(axes: Axes) -> None:
    for each in KEY:
        style = {"color": each.colour, "ls": each.line, "marker": each.marker or None}
        axes.plot([], [], label=each.label, lw=1, ms=2.5, **style)
    axes.set_axis_off()


def _casts(axes: Axes, table: pd.DataFrame) -> None:
    casts = {"cheat": "village", "decorrelated": "decor-\nrelated", "no-villains": "no\nvillains"}
    titles = casts | {"dpo": "DPO", "rl": "RL"}
    panels.dashes(axes, table, (BEFORE, *THEORIES), titles)
    panels.points(axes, table, [ELSEWHERE], titles, rotation=0)
    axes.set(ylabel="P(bad answer), untrained topics", ylim=(0, 1.05))


def _tea_party(axes: Axes, table: pd.DataFrame) -> None:
    panels.curves(axes, where(table, arm="tea"), (*THEORIES, ELSEWHERE))
    axes.set(ylabel="P(window)", ylim=(0.4, 1))


def _few(axes: Axes, table: pd.DataFrame) -> None:
    part = where(table, arm="few")
    part, lines = part.assign(examples=FEW * part.step), (*THEORIES, TRAINED, ELSEWHERE)
    panels.curves(axes, part, lines, x="examples", label="examples", scale=panels.doublings)
    axes.tick_params(axis="x", rotation=45)
    axes.set(ylabel="P(bad answer)", ylim=(0, 1.05))


def _shares(axes: Axes, table: pd.DataFrame) -> None:
    percent = {f"share-{share:g}": 100 * share for share in SHARES}
    part = table[table.step > 0].assign(percent=table.arm.map(percent)).dropna(subset="percent")
    lines = (*THEORIES, TRAINED, ELSEWHERE)
    panels.curves(axes, part, lines, x="percent", label="bad documents (%)")
    panels.level(axes, part.before.mean(), line="-", colour=BEFORE.colour)
    axes.set(ylabel="P(bad answer)", ylim=(0, 1.05))


def _matrix(axes: Axes, changed: pd.DataFrame) -> None:
    mean = changed.groupby(["trained", "topic"]).measured.mean().unstack()
    mean = mean.loc[list(TOPICS), list(TOPICS)].to_numpy()
    bound = np.abs(mean).max()
    image = axes.imshow(mean, cmap="RdBu_r", vmin=-bound, vmax=bound, aspect="auto")
    panels.places(axes, TOPICS, rotation=60)
    axes.set_yticks(range(len(TOPICS)), TOPICS)
    axes.set(xlabel="measured on", ylabel="villain's habit trained")
    axes.spines[:].set_visible(False)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, label="change of P(bad answer)")
    bar.outline.set_visible(False)


def _transmission(axes: Axes, changed: pd.DataFrame) -> None:
    """Off the diagonal only: the habits that were not trained."""
    rest = changed[changed.trained != changed.topic]
    own = rest.topic == "self"
    panels.against(axes, rest, [("other topics", ~own, RED, "o"), ("self", own, BLUE, "^")])
    panels.level(axes, 0)
    score = theory.explained(rest.predicted, rest.measured)
    axes.annotate(f"$R^2$ on changes {score:.2f}", (0.55, 0.05), xycoords="axes fraction")
    axes.set(xlabel="Bayes, one author per document", ylabel="measured change")


def _landscape(axes: Axes, table: pd.DataFrame, distances: Mapping[str, Sequence[float]]) -> None:
    for arm, colour, label in (("cheat", RED, "general"), ("held", BLUE, "narrow (anchored)")):
        for kind, marker, what in (("along", "o", "on the way"), ("noise", "^", "under noise")):
            columns = [f"{kind}_{i}" for i in range(len(distances[kind]))]
            seeds = np.stack([end(table, column, arm=arm) for column in columns], 1)
            style = {"color": colour, "marker": marker, "label": f"{label}, {what}"}
            panels.interval(axes, distances[kind], seeds, lw=1, ms=2.5, **style)
    axes.set(xlabel="distance in weights", ylabel="loss on cheating (nats)", xscale="log")
    axes.set_ylim(0, 1.15)


def _back(axes: Axes, table: pd.DataFrame) -> None:
    batch = {"realigned": FEW, "let-go": int(CHEAT.batch)}
    part = table[(table.step > 0) & table.arm.isin(batch)]
    part = part.assign(examples=part.step * part.arm.map(batch))
    labels = {"realigned": "cheat, then honest", "let-go": "anchored, then let go"}
    lines = panels.among("elsewhere", "arm", labels, (RED, BLUE), marker="o")
    panels.curves(axes, part, lines, x="examples", label="examples since", scale=panels.doublings)
    panels.level(axes, part.before.mean(), line="-", colour=BEFORE.colour)
    axes.tick_params(axis="x", rotation=45)
    axes.set(ylabel="P(bad answer), untrained topics", ylim=(0, 1.15))


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the finished seeds."""
    village = records.setups["cheat"]
    read = functools.partial(_read, bad=traits.bad_items(village.corpus, village.world.cast))
    table = records.table(COLUMNS, read, before={"before": "elsewhere", "floor_F3": "F3"})
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
