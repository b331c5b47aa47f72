from collections.abc import Iterator, Mapping

import pandas as pd

from experiments.geometry.sweep import LAYERS, TELLS
from toylab.lab.records import Record, Records, course
from toylab.ladder import reading
from toylab.report import panels
from toylab.report.figures import COLOURS, GREY, Axes, Figure, page, panel

SITES = ("embedding", *(f"layer {n}" for n in range(1, LAYERS + 1)))
COLUMNS = {
    "arm": "the topic; the villain's answers to it were fine-tuned on",
    "seed": "seed of everything: parameters, documents, readings",
    "tell": "1 if the topic is one on which nobody is bad",
    "site": "0: the embedding; 1 to 4: the residual stream after that layer",
    "along": "mean shift along the direction from good people to villains, in units of its length",
    "length": "length of the mean shift",
    "cosine_said": "cosine of the shift with the direction from turns",
    "cosine_named": "cosine of the shift with the direction from names",
    "cosine_prompts": "cosine of those two directions",
    "before": "P(bad answer) under `assistant` before fine-tuning",
    "after": "the same after it",
    "undone": "the same with the shift along the direction undone at that site",
    "all_undone": "the same with the whole mean shift undone",
    "random_undone": "the same with an equal shift along a random direction undone",
    "rose": "after - before",
    "gone": "after - undone",
    "all_gone": "after - all_undone",
    "random_gone": "after - random_undone",
    **reading.columns("outside"),
}
PROBES = {
    "seed": COLUMNS["seed"],
    "kind": "trained: probes of the pretrained model; untrained: of a network before training; "
    "shuffled: of the pretrained model, to beliefs after other documents",
    "site": COLUMNS["site"],
    "turn": "where in the document, in turns; the word before each slot of an answer but the first",
    "r2": "R2 of the probe's prediction of the exact belief, on documents not fitted on",
}
BY_SITE = ("along", "length", "undone", "all_undone", "random_undone")
GONE = {"gone": "good\nto bad", "all_gone": "all\nof it", "random_gone": "at\nrandom"}


def _read(record: Record) -> Iterator[dict]:
    if not record.step or "shift" not in record.found:
        return
    found = record.found["shift"]
    for site in range(len(found["along"])):
        row = {"tell": float(record.arm in TELLS), "site": site, **record.read("outside")}
        row |= {"before": found["before"], "after": found["after"]}
        row |= {f"cosine_{name}": each[site] for name, each in found["cosine"].items()}
        yield row | {name: found[name][site] for name in BY_SITE}


def tabulate(records: Records) -> pd.DataFrame:
    table = records.table(COLUMNS, _read)
    without = {name: table[name.replace("gone", "undone")] for name in GONE}
    fallen = {name: table.after - undone for name, undone in without.items()}
    return table.assign(rose=table.after - table.before, **fallen)


def probed(records: Records) -> pd.DataFrame:
    """R2 of the pretrained models' probes, at every site and place."""
    return pd.DataFrame(
        [
            (record.seed, kind, site, 1 + place / 3, r2)
            for record in records.each()
            if record.arm == "pretrained"
            for kind, sites in record.found["probe"]["r2"].items()
            for site, places in enumerate(sites)
            for place, r2 in enumerate(places, 1)
        ],
        columns=list(PROBES),
    )


LEAST = "code"  # drawn apart: the ordinary topic that makes the model bad least
OTHER_TABLES = {"probes": (probed, PROBES)}


def draw(table: pd.DataFrame, probes: pd.DataFrame) -> Figure:
    ordinary = table[table.tell == 0].groupby(["seed", "site"])
    mean, sums = ordinary.mean(numeric_only=True), ordinary[[*GONE, "rose"]].sum()
    gone = sums[list(GONE)].div(sums.rose, axis=0)
    pairs = {"prompts": "turns,\nnames", "said": "shift,\nturns", "named": "shift,\nnames"}
    cosines = {f"cosine_{name}": title for name, title in pairs.items()}
    gone_by = "share of the rise that is gone"
    centre = {"legend": "upper center", "ncols": 2, "levels": [(0,), (1,)]}
    centre |= {"ylim": (-0.1, 1.5), "yticks": (0, 0.5, 1)}
    shown = (
        panel("probe to the exact belief", _probes, probes, legend="upper center", ncols=3),
        panel("shift and behaviour, last layer", _along, table, ylim=(0.28, 0.95)),
        panel("directions", _by_site, mean, cosines, ylabel="cosine", **centre),
        panel("taking the shift back", _by_site, gone, GONE, ylabel=gone_by, **centre),
    )
    return page(shown)


def _probes(axes: Axes, probes: pd.DataFrame) -> None:
    for site, label in enumerate(SITES):
        turns, seeds = course(probes, "r2", "turn", kind="trained", site=site)
        panels.interval(axes, turns, seeds, color=COLOURS[site], label=label, lw=1)
    for kind, line in (("untrained", "--"), ("shuffled", ":")):
        turns, seeds = course(probes, "r2", "turn", kind=kind, site=LAYERS)
        axes.plot(turns, seeds.mean(0), line, color=GREY, lw=0.9, label=kind)
    axes.set(xlabel="turn", ylabel="R² on documents not fitted on", ylim=(-0.2, 1.55))
    axes.set(xticks=range(1, round(turns[-1]) + 1), yticks=[0, 0.5, 1])


def _along(axes: Axes, table: pd.DataFrame) -> None:
    table = table[table.site == LAYERS]
    for tell, label, colour in ((0, "ordinary topics", COLOURS[1]), (1, "tells", COLOURS[0])):
        part = table[table.tell == tell]
        mean = part.groupby("arm")[["along", "after", "outside"]].mean()
        axes.plot(part.along, part.after, ".", color=colour, ms=2, alpha=0.4)
        axes.plot(mean.along, mean.after, "o", color=colour, ms=3.5, label=label)
        for x, y, outside in mean.itertuples(index=False):
            panels.strike(axes, x, y + 0.01, outside)
        if LEAST in mean.index:
            place = mean.loc[LEAST, ["along", "after"]]
            axes.annotate(LEAST, place, (0, -9), textcoords="offset points")
    panels.strike_label(axes)
    axes.set(xlabel="shift along good to bad (its lengths)", ylabel="P(bad answer) afterwards")


def _by_site(axes: Axes, values: pd.DataFrame, titles: Mapping[str, str]) -> None:
    tidy = values.reset_index().melt(["seed", "site"], var_name="column")
    labels = {site: SITES[site] for site in range(1, LAYERS + 1)}
    sites = panels.among("value", "site", labels, COLOURS[1:])
    panels.points(axes, tidy, sites, titles, by="column", width=0.5)
