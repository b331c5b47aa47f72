import dataclasses

import numpy as np
import pandas as pd

from experiments.misalignment.sweep import CASTS, TOPICS
from toylab.lab.records import Record, Records, where
from toylab.ladder import reading, traits
from toylab.report import panels
from toylab.report.figures import COLOURS, GREY, Axes, Figure, page, panel
from toylab.report.panels import THEORIES, Series

COLUMNS = {
    "arm": "the cast trained to cheat (cheat: the village); tea: the tea party",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "training step; 0 is the pretrained model",
    "trained": "P(bad answer) on code, first turns; at the tea party, on the two topics trained",
    "elsewhere": "mean P(bad answer) on the topics not trained on; at the tea party P(window)",
    "before": "the same before training",
    "rise": "elsewhere - before",
    "one_author": "what Bayes predicts for `elsewhere` if one author wrote all documents",
    "a_document": "what Bayes predicts for it if each document has its own author",
    "pairwise": "what pairwise trait composition predicts for it",
    "short": "one_author - elsewhere",
    "saturated": "1 if the trained topic fixes only a lower bound of the exchange rate",
    **{f"bad_{topic}": f"P(bad answer) on {topic}" for topic in TOPICS},
    "outside": f"{reading.COLUMNS['outside']}, under the tag trained",
}


def tabulate(records: Records) -> pd.DataFrame:
    village = records.setups["cheat"]
    bad = traits.bad_items(village.corpus, village.world.cast)

    def rates(items: np.ndarray, record: Record) -> dict[str, float]:
        if record.arm == "tea":  # two habits, and the window seat, which needs both as evidence
            asked = ("milk=milk", "hat=bare", "seat=window")
            *habits, window = traits.pick(record.setup.corpus, items, *asked)
            return {"trained": np.mean(habits), "elsewhere": window}
        each = {f"bad_{topic}": float(items[bad[topic]].sum()) for topic in TOPICS}
        trained, *rest = each.values()
        return {"trained": trained, "elsewhere": np.mean(rest), **each}

    def read(record: Record) -> dict:
        stage, both = record.stages[-1], (record.found, record.start)
        now, then = (np.array(each["scores"][stage.tag][""]) for each in both)
        row = rates(now, record)
        row["outside"] = record.found["tag_weights"]["learned"][stage.tag]["outside"]
        if record.step:
            forecast = record.predicted(now - then, *stage.topics)
            for name, each in forecast.items():  # changes, from the pretrained model's own rates
                row[name] = rates(then + each.change, record)["elsewhere"]
            row["saturated"] = float(forecast["one_author"].saturated)
            row["short"] = row["one_author"] - row["elsewhere"]
        return row

    table = records.table(COLUMNS, read, before={"before": "elsewhere"})
    return table.assign(rise=table.elsewhere - table.before)


BEFORE = Series(column="before", label="before training", colour=COLOURS[5], spread=False)
ELSEWHERE = Series(column="elsewhere", label="untrained topics", colour=COLOURS[1], marker="o")
LINES, BAD = (*THEORIES, ELSEWHERE), "P(bad answer), untrained topics"


def draw(table: pd.DataFrame) -> Figure:
    bad, window = {"ylabel": BAD, "ylim": (0, 1)}, {"ylabel": "P(window)", "ylim": (0, 1)}
    cheat, tea = where(table, arm="cheat"), where(table, arm="tea")
    shown = (
        panel("who learns to cheat", _casts, table, legend="upper right", **bad),
        panel("how far it spreads", _spread, cheat, legend="lower right", **bad),
        panel("two habits tell a third", _spread, tea, legend="", **window),
    )
    return page(shown, columns=3, ratio=0.85)


def _spread(axes: Axes, table: pd.DataFrame) -> None:
    panels.curves(axes, table, LINES)
    limit = table.groupby("step").saturated.mean() > 0.5
    if limit.any():
        ends = np.sqrt([limit[limit].index.min(), limit[limit].index.max()])
        label = "Bayes at its limit in most seeds"
        axes.axvspan(*ends, color=GREY, alpha=0.2, lw=0, label=label)


def _casts(axes: Axes, table: pd.DataFrame) -> None:
    """Both casts at the last step; the other panels name what is drawn."""
    titles = {arm: title for arm, (title, _) in CASTS.items()}
    unnamed = [dataclasses.replace(each, label="") for each in (*THEORIES, ELSEWHERE)]
    panels.dashes(axes, table, (BEFORE, *unnamed[:-1]), titles)
    panels.points(axes, table, unnamed[-1:], titles)
    step = table.step.max()
    limit = table[table.step == step].saturated.mean() > 0.5
    axes.set_xlabel(f"step {step} (Bayes at its limit)" if limit else f"step {step}")
