"""From the records of `template` to its figure and table."""

import pandas as pd
from matplotlib.figure import Figure

from toylab.lab.records import Record, Records
from toylab.report import figures, panels

COLUMNS = {
    "arm": "which learning rate",
    "seed": "seed of everything",
    "step": "training step; 0 is the pretrained model",
    "share": "(F0 - F1) / F0: share of the distance from w0 that another mixture explains",
    "outside": "mean probability of words that the grammar forbids",
}


def read(record: Record) -> dict[str, float]:
    """The numbers of one snapshot: a row of the table."""
    cast = record.found["reading"]["learned"]
    return {"share": 1 - cast["F1"] / cast["F0"], **record.read("outside")}


def tabulate(records: Records) -> pd.DataFrame:
    """A row for every snapshot."""
    return records.table(COLUMNS, read)


def draw(table: pd.DataFrame) -> Figure:
    """The figure, from the table alone."""
    lines = panels.among("share", "arm", {"usual": "usual rate", "gentle": "a tenth of it"})
    label = "share that another mixture explains"
    title = "selection, mean and 95 % t interval"
    return figures.page(
        [figures.panel(title, panels.curves, table, lines, ylabel=label)], columns=1
    )
