"""From the records of `template` to its figure and table."""

from toylab.lab.records import Record, Records
from toylab.report import figures, panels
from toylab.report.results import Analysis

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


def analyse(records: Records) -> Analysis:
    """Figure and table of the finished seeds."""
    table = records.table(COLUMNS, read)
    lines = panels.among("share", "arm", {"usual": "usual rate", "gentle": "a tenth of it"})
    label = "share that another mixture explains"
    panel = figures.panel("selection, mean and 95 % t interval", panels.curves, ylabel=label)
    figure = figures.page([panel], table, lines, columns=1)
    return Analysis(figure=figure, table=table, columns=COLUMNS)
