"""The ladder of any runs, as a table and a figure."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toylab.lab.records import Record, Records
from toylab.ladder import reading
from toylab.ladder.fit import FAMILIES
from toylab.report import figures, panels

READ = (*FAMILIES, *(f"{family}_error" for family in FAMILIES), "outside")
COLUMNS = {
    "arm": "way of post-training",
    "seed": "seed of everything",
    "step": "step of the last stage; 0 is the pretrained model, whose readings are the floors",
    "cast": "tables that the ladder used: exact, or learned",
    **{name: reading.COLUMNS[name] for name in READ},
}


def table(records: Records) -> pd.DataFrame:
    """A row for every arm, seed, step and cast: of the whole ladder if read, else of `reading`."""

    def read(record: Record) -> list[dict[str, Any]]:
        found = record.found.get("ladder", record.found["reading"])
        return [
            {"cast": cast, "outside": found["outside"], **found[cast]}
            for cast in ("exact", "learned")
        ]

    return records.table(COLUMNS, read).dropna(axis=1, how="all")


def figure(found: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """The rungs along the steps of each arm's last stage: means over seeds, on the learned cast."""
    columns = min(len(titles), 3)
    learned, families = found[found.cast == "learned"], found.columns.intersection(FAMILIES)
    with figures.grid(len(titles), columns, 0.4 if columns == 1 else 0.75) as (drawn, axes):
        for panel, (arm, title) in zip(axes, titles.items(), strict=True):
            stack(panel, learned[learned.arm == arm].groupby("step")[list(families)].mean())
            panel.set(xlabel="step of the last stage", title=title)
        axes[0].set_ylabel("nats per document")
        drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    return drawn


def stack(axes: Axes, found: pd.DataFrame) -> None:
    """The rungs as stacked bars, one for each row; `found` has a column for each family.

    If only part of the ladder was read, all that its last family leaves is drawn as unexplained.
    """
    whole = found.reindex(columns=list(FAMILIES))
    read = list(FAMILIES[:-1])
    panels.rungs(axes, whole.assign(**whole[read].ffill(axis=1)))
