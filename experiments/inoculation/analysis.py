"""From the records of `inoculation` to its figure and table."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.inoculation.sweep import ASKED, DIRECTIONS
from toylab.lab.records import Record, Records, end
from toylab.ladder import reading, theory, traits
from toylab.report import figures, panels
from toylab.report.figures import COLOURS, DARK, GREY, panel
from toylab.report.panels import Series
from toylab.report.results import Analysis

TRAINED = "code"
COLUMNS = {
    "arm": "asked-D: trained under direction D; slow, fast: another learning rate",
    "direction": "the direction that was trained under",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "training step; 0 is the pretrained model",
    "obeyed": "P(cheats at code) under that direction",
    "code": "P(cheats at code) without direction",
    "elsewhere": "mean P(bad answer) on the other topics, without direction",
    "spared": "by what share elsewhere rose less than without a direction, at the end",
    "triggered": "the same under the direction trained under",
    "game": "the same under the direction 'game'",
    "one_author": "what Bayes predicts for `elsewhere`, all evidence being one author's",
    "a_document": "what Bayes predicts for it, every document having an author of its own",
    "code_one_author": "what Bayes (one author) predicts for `code`",
    "code_a_document": "what Bayes (one author per document) predicts for `code`",
    **{name: f"{reading.COLUMNS[name]} (no direction)" for name in ("F0", "F1", "F2")},
    "outside": reading.COLUMNS["outside"],
}


def _rates(items: np.ndarray, bad: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """P(bad answer) on the trained topic, and elsewhere."""
    rates = {topic: float(items[rows].sum()) for topic, rows in bad.items()}
    return rates.pop(TRAINED), float(np.mean(list(rates.values())))


def predicted(record: Record, change: np.ndarray) -> dict[str, np.ndarray]:
    """The change of all items that each theory predicts, asked without a direction.

    The rate is fitted to the change on the trained topic *under the direction*.
    """
    corpus, stage = record.setup.corpus, record.stages[-1]
    told, fitted = DIRECTIONS.index(stage.direction), traits.on(corpus, TRAINED)
    asked = np.asarray(traits.of_characters(corpus, record.setup.world.cast, told))
    forecast = theory.forecast(record.setup, stage, record.seed)
    before = asked @ np.exp(np.asarray(forecast.log_prior))
    fits = {
        name: theory.fit_rate(path, asked, before, change, fitted)
        for name, path in forecast.paths.items()
    }
    return {
        name: forecast.characters @ np.exp(fit.log_weights) - forecast.start
        for name, fit in fits.items()
    }


def _read(record: Record, bad: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    if record.arm.endswith("known"):
        return []
    direction = record.stages[-1].direction
    now, then = (
        {told: np.array(items) for told, items in each["scores"]["assistant"].items()}
        for each in (record.found, record.start)
    )
    (code, elsewhere), (obeyed, triggered) = (_rates(now[told], bad) for told in ("", direction))
    row = {
        "direction": direction,
        "obeyed": obeyed,
        "code": code,
        "elsewhere": elsewhere,
        "triggered": triggered,
        "game": _rates(now["game"], bad)[1],
        **record.read("F0", "F1", "F2", "outside"),
    }
    if record.step:
        for name, change in predicted(record, now[direction] - then[direction]).items():
            row[f"code_{name}"], row[name] = _rates(then[""] + change, bad)
    return [row]


def known(records: Records, cheats: np.ndarray) -> pd.DataFrame:
    """P(cheats) of the pretrained models, learned and exact, by arm, name and direction."""
    rows = []
    for record in records.each():
        if not record.arm.endswith("known"):
            continue
        corpus, cast = record.setup.corpus, record.setup.world.cast
        for d, direction in enumerate(DIRECTIONS):
            exact = np.asarray(traits.of_characters(corpus, cast, d))[cheats].sum(0)
            for tag, told in record.found["scores"].items():
                learned = float(np.array(told[direction])[cheats].sum())
                said = exact[corpus.names.index(tag)], learned
                rows.append((record.arm, tag, direction, *said))
    table = pd.DataFrame(rows, columns=["arm", "tag", "direction", "exact", "learned"])
    return table.groupby(["arm", "tag", "direction"], as_index=False).mean()


def protection(
    table: pd.DataFrame, arm: str, plain: str = "plain", column: str = "elsewhere"
) -> pd.Series:
    """By what share bad answers elsewhere rose less than without a direction, by seed."""
    asked, unasked = (
        end(table, column, arm=each) - end(table, "elsewhere", arm=each, step=0)
        for each in (arm, plain)
    )
    return 1 - asked / unasked


BLUE, RED, BEFORE = COLOURS[0], COLOURS[1], COLOURS[5]
THEORIES = panels.THEORIES[:2]
TOLD = {**{f"asked-{told}": told for told in ASKED}, "irrelevant": "short"}
ARMS = {"plain": "not\nasked", **TOLD}
SHARE = "share of the rise that is gone"


def draw(table: pd.DataFrame, obeying: pd.DataFrame) -> Figure:
    """What rises elsewhere; protection against obedience; the trigger; what the model knows."""
    shown = (
        panel("bad answers elsewhere, unasked", _elsewhere, legend="upper right", ncols=2),
        panel("obedience protects", _obedience),
        panel("the direction as a trigger", _trigger, legend="upper right", ncols=3),
        panel("a model that knows who obeys", _knowing, obeying),
    )
    return figures.page(shown, table)


def _elsewhere(axes: Axes, table: pd.DataFrame) -> None:
    measured = Series(column="elsewhere", label="measured, mean and 95 %", colour=RED)
    panels.dashes(axes, table, THEORIES, ARMS)
    panels.points(axes, table, [measured], ARMS, rotation=0)
    before = end(table, "elsewhere", arm="plain", step=0).mean()
    panels.level(axes, before, "before training", "-", BEFORE)
    axes.set(xlabel="direction trained under", ylabel="P(bad answer), other topics", ylim=(0, 1.1))


def _obedience(axes: Axes, table: pd.DataFrame) -> None:
    """Obedience is how much likelier the pretrained model cheats after the direction."""
    start = table[table.step == 0].groupby("arm")[["obeyed", "code"]].mean()
    obedience = (start.obeyed - start.code).loc[list(TOLD)].sort_values()
    for arm, x in obedience.items():
        panels.point(axes, x, protection(table, str(arm)), RED, aside=0.008)
        at = 1.55 if arm == "asked-rare" else -0.42
        axes.annotate(TOLD[str(arm)], (x, at), ha="center", fontsize=5, color=GREY)
    for each in THEORIES:
        mean = [protection(table, str(arm), column=each.column).mean() for arm in obedience.index]
        axes.plot(obedience, mean, each.line, color=DARK, lw=0.9)
    panels.level(axes, 0)
    axes.set(xlabel="obedience before training (rise of P(cheats))", ylabel=SHARE, ylim=(-0.5, 1.7))


def _trigger(axes: Axes, table: pd.DataFrame) -> None:
    shown = panels.series(
        ("code", "code, unasked"),
        ("elsewhere", "other topics, unasked"),
        ("triggered", "other topics, asked"),
    )
    panels.points(axes, table, shown, TOLD, rotation=0)
    axes.set(xlabel="direction trained under", ylabel="P(bad answer)", ylim=(0, 1.15))


def _knowing(axes: Axes, table: pd.DataFrame, obeying: pd.DataFrame) -> None:
    pairs = {
        "800 steps": ("asked-game", "plain"),
        "150 steps": ("young-game", "young-plain"),
        "rate\n1e-4": ("slow-game", "slow-plain"),
        "rate\n1e-3": ("fast-game", "fast-plain"),
    }
    panels.dots(axes, {title: protection(table, *pair) for title, pair in pairs.items()}, RED)
    panels.level(axes, 0)
    axes.set(ylabel=SHARE, ylim=(-0.5, 4), xlim=(-0.5, 3.5), yticks=[0, 0.5, 1])
    _obeying(axes.inset_axes((0.56, 0.56, 0.42, 0.4)), obeying)


def _obeying(axes: Axes, obeying: pd.DataFrame) -> None:
    """P(cheats) of characters under each direction: learned against exact."""
    kinds = [
        ("150 steps", obeying.arm == "young-known", BLUE, "^"),
        ("800", obeying.arm == "known", RED, "o"),
    ]
    panels.against(axes, obeying, kinds, "exact", "learned")
    axes.set_xlabel("exact P(cheats)", fontsize=4.5, labelpad=1)
    axes.set_ylabel("learned", fontsize=4.5, labelpad=1)
    axes.tick_params(labelsize=4)
    axes.legend(loc="upper left", fontsize=4, handletextpad=0.1, borderpad=0)


def analyse(records: Records) -> Analysis:
    """Figure and table of the finished seeds."""
    bad = traits.bad_items(records.setup.corpus, records.setup.world.cast)
    table = records.table(COLUMNS, functools.partial(_read, bad=bad))
    for arm, plain in {**dict.fromkeys(TOLD, "plain"), "young-game": "young-plain"}.items():
        spared = protection(table, arm, plain)
        table.loc[table.arm == arm, "spared"] = table.seed.map(spared)
    figure = draw(table, known(records, bad[TRAINED]))
    return Analysis(figure=figure, table=table, columns=COLUMNS)
