from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from experiments.inoculation.sweep import ANYONE, BENDS, MASKS, UPRIGHT, VILLAINS
from toylab.lab.records import Record, Records, crossing, end, where
from toylab.ladder import reading, theory, traits
from toylab.report import panels
from toylab.report.figures import COLOURS, DARK, GREY, Axes, Figure, page, panel
from toylab.world.schema import Corpus

TRAINED = "code"
LEARNED = 0.95  # P(trained answer, asked) at which directions are compared
UNSATURATED = 0.8  # where Bayes's rate can still be fitted: no character exceeds 0.9
MOVED = 0.5  # nats per document moved under the mask: another point to compare at
TOLD = {
    VILLAINS: "only villains obey",
    ANYONE: "all obey alike",
    UPRIGHT: "only the upright obey",
    "unasked": "no direction",
}
COLUMNS = {
    "arm": "MASK-D: trained behind that mask under direction D; plain, game: cheating, as usual",
    "direction": "the direction that was trained under",
    "villains": "share of villains behind the mask in pretraining, per cent",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "training step; 0 is the pretrained model",
    "obeyed": "P(the trained answer) under that direction, first turn",
    "unasked": "the same without a direction",
    "elsewhere": "mean P(bad answer) on the other topics, without a direction, first turn",
    "triggered": "the same under the direction trained under",
    "moved": "KL(model || pretrained) under the mask, without a direction, nats per document",
    "learned": f"`elsewhere` where `obeyed` reaches {LEARNED}",
    "levelled": f"`elsewhere` where the model has moved by {MOVED} nats",
    "rise": "`learned` less `elsewhere` before training",
    "beyond_half": f"`elsewhere` where `obeyed` reaches {UNSATURATED}, less half of what Bayes "
    "predicts there (one author)",
    "spared": "share by which the rise of `elsewhere` is less than in plain at the same step",
    "one_author": "what Bayes predicts for `elsewhere` if one author wrote all documents; empty if "
    "these are no evidence for any character, so that it predicts no change",
    "a_document": "what Bayes predicts for it if each document has its own author",
    "outside": f"{reading.COLUMNS['outside']}, under the mask",
}
OBEYING = {
    "seed": COLUMNS["seed"],
    "tag": "the character whose name is the tag",
    "told": "the direction asked under; empty: none",
    "answer": "an answer on the trained topic",
    "exact": "P(answer) of the character",
    "learned": "P(answer) of the pretrained model under its name",
}


def _directions(corpus: Corpus) -> list[str]:
    """The names of the directions by index; the first is none."""
    return ["", *(each.name for each in corpus.directions)]


def predicted(record: Record, change: np.ndarray) -> dict[str, np.ndarray]:
    """The change of all items that each theory predicts, asked without a direction.

    The rate is fitted to the change on the trained topic *under the direction*.
    """
    corpus, stage = record.setup.corpus, record.stages[-1]
    told, fitted = _directions(corpus).index(stage.direction), traits.on(corpus, TRAINED)
    asked = np.asarray(traits.of_characters(corpus, record.setup.world.cast, told))
    forecast = theory.forecast(record.setup, stage, record.seed)
    before = asked @ np.exp(np.asarray(forecast.log_prior))

    def moved(path: Callable) -> np.ndarray:
        fit = theory.fit_rate(path, asked, before, change, fitted)
        return np.asarray(forecast.characters @ np.exp(fit.log_weights) - forecast.start)

    return {name: moved(path) for name, path in forecast.paths.items()}


def tabulate(records: Records) -> pd.DataFrame:
    corpus = records.setup.corpus
    bad = traits.bad_items(corpus, records.setup.world.cast)
    del bad[TRAINED]

    def rate(items: np.ndarray) -> float:
        return float(np.mean([items[rows].sum() for rows in bad.values()]))

    def read(record: Record) -> Iterator[dict]:
        if not record.stages:
            return
        stage, tag, told = record.stages[-1], record.stages[-1].tag, record.stages[-1].direction
        now, then = (
            {name: np.array(items) for name, items in each["scores"][tag].items()}
            for each in (record.found, record.start)
        )
        row = {
            "direction": told,
            "villains": MASKS.get(tag),
            "obeyed": traits.pick(corpus, now[told], *stage.says)[0],
            "unasked": traits.pick(corpus, now[""], *stage.says)[0],
            "elsewhere": rate(now[""]),
            "triggered": rate(now[told]),
            "moved": record.found["leakage"]["nats"][tag],
            "outside": record.found["tag_weights"]["learned"][tag]["outside"],
        }
        if record.step and (told not in ("", ANYONE) or BENDS not in stage.says):
            changes = predicted(record, now[told] - then[told])
            row |= {name: rate(then[""] + change) for name, change in changes.items()}
        yield row

    return compared(records.table(COLUMNS, read))


def known(records: Records) -> pd.DataFrame:
    """P(answer on code) of the pretrained models, learned and exact, by name and direction."""
    rows, corpus, cast = [], records.setup.corpus, records.setup.world.cast
    on, order = traits.on(corpus, TRAINED), _directions(corpus)
    answers = [item.phrase for item in traits.items(corpus) if item.group == TRAINED]
    for record in (each for each in records.each() if not each.stages):
        for tag, told in record.found["scores"].items():
            for direction, items in told.items():
                exact = np.asarray(traits.of_characters(corpus, cast, order.index(direction)))
                pairs = exact[on, corpus.names.index(tag)], np.array(items)[on]
                each = zip(answers, *pairs, strict=True)
                rows += [(record.seed, tag, direction, *answer) for answer in each]
    return pd.DataFrame(rows, columns=list(OBEYING))


def at(
    table: pd.DataFrame, arm: str, column: str = "elsewhere", x: str = "obeyed", level: float = 0.0
) -> pd.Series:
    """A column where `x` first passes a level, interpolated between two readings, by seed."""
    level = level or {"obeyed": LEARNED, "moved": MOVED}[x]
    runs = where(table, arm=arm).groupby("seed")
    return pd.Series({seed: crossing(way, column, x, level) for seed, way in runs})


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """The table with columns that compare arms; an arm has the same value at all of its steps."""
    rise = table.elsewhere - table.groupby(["arm", "seed"]).elsewhere.transform("first")
    plain = table.assign(rise=rise)[table.arm == "plain"].set_index(["seed", "step"]).rise
    run = pd.MultiIndex.from_frame(table[["seed", "step"]])
    table["spared"] = (1 - rise / plain.reindex(run).to_numpy()).where(table.step > 0)
    for arm, part in table.groupby("arm"):
        bayes = at(table, arm, column="one_author", level=UNSATURATED)
        found = {
            "learned": at(table, arm),
            "levelled": at(table, arm, x="moved"),
            "rise": at(table, arm) - end(table, "elsewhere", arm=arm, step=0),
            "beyond_half": at(table, arm, level=UNSATURATED) - bayes / 2,
        }
        for column, values in found.items():
            table.loc[part.index, column] = part.seed.map(values)
    return table


SHADES = dict(zip(TOLD, (COLOURS[1], GREY, COLOURS[0], COLOURS[3]), strict=True))
OTHER_TOPICS = "P(bad answer), other topics"
OTHER_TABLES = {"obeying": (known, OBEYING)}


def draw(table: pd.DataFrame, obeying: pd.DataFrame) -> Figure:
    shown = (
        panel("equally learned", _by_prior, "obeyed", ncols=2),
        panel("equally far moved", _by_prior, "moved", legend=""),
        panel("on the way, 10 % villains", _course, ncols=2),
        panel("Bayes, unsaturated or not", _theories),
        panel("who obeys: the pretrained model", _obeying, obeying),
        panel("as usual: cheating", _usual, ncols=2),
    )
    return page(shown, table, columns=3, ratio=0.9)


def _by_prior(axes: Axes, table: pd.DataFrame, x: str) -> None:
    for told, title in TOLD.items():
        for place, mask in enumerate(MASKS):
            arm, label = f"{mask}-{told}", "" if place else title
            panels.point(axes, place, at(table, arm, x=x), SHADES[told], label, aside=0.1)
            if told in (VILLAINS, UPRIGHT) and x == "obeyed":
                mean = at(table, arm, column="one_author").mean()
                name = "Bayes" if told == VILLAINS and not place else None
                axes.plot(
                    [place - 0.3, place + 0.3], [mean] * 2, color=SHADES[told], lw=0.8, label=name
                )
    arms = [f"{mask}-{UPRIGHT}" for mask in MASKS]
    start = [end(table, "elsewhere", arm=arm, step=0).mean() for arm in arms]
    axes.plot(range(len(MASKS)), start, "_", color=DARK, ms=14, label="before: gating")
    axes.set(xlabel="villains behind the mask (%)", ylabel=OTHER_TOPICS, ylim=(0, 1.1))
    panels.places(axes, [str(share) for share in MASKS.values()])


def _course(axes: Axes, table: pd.DataFrame) -> None:
    for told, title in TOLD.items():
        part = where(table, arm=f"magpie-{told}")
        for _, way in part.groupby("seed"):
            axes.plot(way.obeyed, way.elsewhere, lw=0.5, alpha=0.3, color=SHADES[told])
        mean = part.groupby("step")[["obeyed", "elsewhere"]].mean()
        axes.plot(mean.obeyed, mean.elsewhere, ".-", ms=3, lw=1, color=SHADES[told], label=title)
    axes.axvline(LEARNED, color=GREY, lw=0.5, ls=":")
    axes.set(xlabel="P(bends rules), asked as in training", ylabel=OTHER_TOPICS, ylim=(0, 0.6))


def _theories(axes: Axes, table: pd.DataFrame) -> None:
    told = table.dropna(subset=["villains", "one_author"])
    marks = (VILLAINS, "o"), (UPRIGHT, "^")
    kinds = [(TOLD[name], told.direction == name, SHADES[name], mark) for name, mark in marks]
    panels.against(axes, told, kinds, "one_author", "elsewhere")


def _obeying(axes: Axes, _: pd.DataFrame, obeying: pd.DataFrame) -> None:
    obeying = obeying.groupby(["tag", "told", "answer"], as_index=False).mean()
    marks = zip(obeying.tag.unique(), COLOURS, "os^", strict=False)
    kinds = [(tag, obeying.tag == tag, colour, mark) for tag, colour, mark in marks]
    panels.against(axes, obeying, kinds, "exact", "learned")


def _usual(axes: Axes, table: pd.DataFrame) -> None:
    arms = {"plain": "not asked", "game": "asked: a game"}
    usual = ("elsewhere", "other topics"), ("unasked", "code, unasked")
    panels.dashes(axes, table, panels.THEORIES[:2], arms)
    panels.points(axes, table, panels.series(*usual, colours=(COLOURS[1], COLOURS[0])), arms)
    before = end(table, "elsewhere", arm="plain", step=0).mean()
    panels.level(axes, before, "before", "-", GREY)
    axes.set(ylabel="P(bad answer)", ylim=(0, 1.6), yticks=(0, 0.5, 1))
