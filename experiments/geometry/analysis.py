"""From the records of `geometry` to its figure, its table and the values of its claims."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.geometry.sweep import SAINT, SHARES, VILLAIN
from toylab.lab.records import Record, Records
from toylab.report import figures, panels
from toylab.report.claims import t_interval
from toylab.report.figures import COLOURS, DARK, GREY, panel
from toylab.report.results import Analysis

LAYER = 2  # the site at which directions are read, pushed and undone
COLUMNS = {
    "arm": "fine-tuned on one topic by argus or mira, or on code with a share that is argus'",
    "seed": "seed of everything: parameters, documents, readings",
    "site": "0: the embedding; 1, 2: the residual stream after that layer",
    "along": "mean shift along the direction from good people to villains, in units of its length",
    "length": "length of the mean shift",
    "cosine_said": "cosine of the shift with the direction read off turns",
    "cosine_named": "cosine of the shift with the direction read off names",
    "cosine_prompts": "cosine of those two directions",
    "inside": "share of the shift's squared length in the span of the twelve characters",
    "nobody": "the same for as many groups of documents drawn at random",
    "before": "P(bad answer) under `assistant` before fine-tuning",
    "after": "the same after it",
    "undone": "the same with the shift along the direction taken back at that site",
    "all_undone": "the same with the whole mean shift taken back",
    "random_undone": "the same with as much taken back along a random direction",
    "carried_undone": "the same with the part along the shift of another fine-tune taken back: "
    "argus on the next topic",
    "carried_cosine": "cosine of the two shifts",
}


BY_SITE = ("along", "length", "inside", "nobody", "undone", "all_undone", "random_undone")


def _read(record: Record) -> list[dict[str, Any]]:
    """A row for each site after a fine-tune."""
    if not record.step or "shift" not in record.found:
        return []
    found, other, rows = record.found["shift"], record.found.get("carried"), []
    for site in range(len(found["along"])):
        row = {"site": site, "before": found["before"], "after": found["after"]}
        row |= {f"cosine_{name}": each[site] for name, each in found["cosine"].items()}
        row |= {name: found[name][site] for name in BY_SITE}
        if other:
            # the documents differ, so the undone part is put on the scale of `after`
            row["carried_undone"] = found["after"] + other["undone"][site] - other["after"]
            row["carried_cosine"] = other["cosine"][site]
        rows.append(row)
    return rows


def correlation(table: pd.DataFrame) -> list[float]:
    """Correlation over fine-tunes of the shift along the direction with bad answers, by seed."""
    part = table[table.site == LAYER]
    return [float(np.corrcoef(each.along, each.after)[0, 1]) for _, each in part.groupby("seed")]


def fit_additive(found: Mapping[str, Any]) -> tuple[float, np.ndarray]:
    """R² of log-odds as a sum of one term for the push and one for the context, and that sum.

    A context is a number of turns by good characters or by bad ones. The sum has the shape of
    `log_odds` at the site.
    """
    odds = np.array(found["log_odds"][LAYER])
    fitted = odds.mean((1, 2), keepdims=True) + odds.mean(0) - odds.mean()
    return float(1 - np.sum((odds - fitted) ** 2) / np.sum((odds - odds.mean()) ** 2)), fitted


def _villains(table: pd.DataFrame) -> pd.DataFrame:
    """Fine-tunes by argus that made bad answers likelier by 0.1 or more, on average over seeds."""
    part = table[table.arm.str.startswith(f"{VILLAIN}-")]
    rise = (part.after - part.before).groupby(part.arm).mean()
    risen = rise[rise >= 0.1].index
    return part[part.arm.isin(risen)] if len(risen) else part


def undone(table: pd.DataFrame, column: str) -> pd.Series:
    """Share of the rise of bad answers that is gone, over those fine-tunes, by seed and site."""
    part = _villains(table).dropna(subset=column)
    sums = part.assign(gone=part.after - part[column], rose=part.after - part.before)
    both = sums.groupby(["seed", "site"])[["gone", "rose"]].sum()
    return both.gone / both.rose


def part_of_the_way(table: pd.DataFrame, column: str, site: int) -> pd.DataFrame:
    """How far a share of bad data goes from none to only bad data, by seed and share."""
    part = table[table.site == site].pivot(index="seed", columns="arm", values=column)
    none, every = part[f"{SAINT}-code"], part[f"{VILLAIN}-code"]
    return pd.DataFrame(
        {share: (part[f"share-{share:g}"] - none) / (every - none) for share in SHARES}
    )


def _pretrained(records: Records, name: str) -> list[dict[str, Any]]:
    """A measure's reading of each seed's pretrained model."""
    return [each.found[name] for each in records.each() if each.arm == "pretrained"]


def claims(records: Records, table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """The statistic of each claim, by seed."""
    return {
        "correlation": correlation(table),
        "undone": undone(table, "undone").xs(LAYER, level="site"),
        "carried": undone(table, "carried_undone").xs(LAYER, level="site"),
        "additive": [fit_additive(each)[0] for each in _pretrained(records, "steering")],
    }


SITES = ("embedding", "layer 1", "layer 2")
BLUE, RED, GREEN = COLOURS[:3]


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """What pretraining made, what fine-tunes do to it, and what is left without the shift."""
    probes, steered = (_pretrained(records, name) for name in ("probe", "steering"))
    pushes = next(each.measures["steering"].pushes for each in records.each() if not each.stages)
    mean = _villains(table).groupby(["seed", "site"]).mean(numeric_only=True)
    gone = pd.DataFrame({column: undone(table, column) for column in UNDONE})
    span, gone_by = "share of the squared length", "share of the rise that is gone"
    centre: dict[str, Any] = {"legend": "upper center", "ncols": 2}
    shown = (
        panel("probe to the exact belief", _probes, probes, legend="upper center", ncols=3),
        panel("belief, exact and probed", _simplex, probes[0]),
        panel("steering and context", _steering, steered, pushes, legend=""),
        panel("shift and behaviour", _along, table),
        panel("directions", _by_site, mean, COSINES, ylabel="cosine", **centre),
        panel("in the characters' span?", _by_site, mean, SPANS, ylabel=span, **centre),
        panel("taking the shift back", _by_site, gone, UNDONE, ylabel=gone_by, **centre),
        panel("bad data in part", _before, table),
    )
    return figures.page(shown, columns=3, ratio=0.9)


def _probes(axes: Axes, probes: Sequence[dict[str, Any]]) -> None:
    """R² at the words before every slot of an answer but the first, as thirds of turns."""
    turns = 1 + np.arange(1, len(probes[0]["r2"]["trained"][0]) + 1) / 3
    for site, label in enumerate(SITES):
        seeds = np.array([each["r2"]["trained"][site] for each in probes])
        panels.interval(axes, turns, seeds, color=COLOURS[site], label=label, lw=1)
    for kind, line in (("untrained", "--"), ("shuffled", ":")):
        mean = np.mean([each["r2"][kind][-1] for each in probes], 0)
        axes.plot(turns, mean, line, color=GREY, lw=0.9, label=kind)
    axes.set(xlabel="turn", ylabel="R² on documents not fitted on", ylim=(-0.2, 1.55))
    axes.set(xticks=range(1, round(turns[-1]) + 1), yticks=[0, 0.5, 1])


def _simplex(axes: Axes, probe: dict[str, Any]) -> None:
    """Beliefs in good, bad and mixed characters, as places in a triangle."""
    corners = np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]])
    exact, probed = (np.array(probe[name]) @ corners for name in ("exact", "probed"))
    axes.add_patch(plt.Polygon(corners, fill=False, ec=GREY, lw=0.6))
    axes.plot(*np.stack([exact, probed], -1).transpose(1, 2, 0), color=GREY, lw=0.3, alpha=0.6)
    axes.plot(*exact.T, "o", ms=2.5, mfc="none", mec=DARK, mew=0.5, label="exact")
    axes.plot(*probed.T, ".", ms=2.5, color=RED, label="probed")
    for x, y, text in ((0, -0.24, "good"), (1, -0.24, "bad"), (0.5, 1.14, "mixed")):
        axes.text(x, y, text, ha="center", fontsize=5)
    axes.set_axis_off()
    axes.set_aspect("equal")


def _steering(axes: Axes, found: Sequence[dict[str, Any]], pushes: Sequence[float]) -> None:
    """Log-odds as measured (dots) and as a sum of push and context (lines), seed by seed."""
    colours = plt.get_cmap("coolwarm")(np.linspace(0, 1, len(pushes)))
    for seed, each in enumerate(found):
        belief, sums = np.ravel(each["belief"]), fit_additive(each)[1]
        order = np.argsort(belief)
        for push, colour, odds, fitted in zip(
            pushes, colours, each["log_odds"][LAYER], sums, strict=True
        ):
            label = "" if seed else f"{push:+g}"
            axes.plot(belief, np.ravel(odds), ".", color=colour, ms=2, alpha=0.7)
            axes.plot(belief[order], fitted.ravel()[order], color=colour, lw=0.5, label=label)
    axes.set(xlabel="exact log-odds, bad over good (nats)", ylabel="log-odds of a bad answer")
    axes.set_ylim(-7, 8)
    style = {"ncols": 5, "handlelength": 0.8, "columnspacing": 0.6, "title_fontsize": 5}
    axes.legend(loc="upper center", title="push, in lengths", **style)


def _along(axes: Axes, table: pd.DataFrame) -> None:
    table = table[table.site == LAYER]
    kinds = {f"{VILLAIN}-": "by argus", f"{SAINT}-": "by mira", "share-": "bad in part"}
    for (kind, label), colour in zip(kinds.items(), (RED, BLUE, GREEN), strict=True):
        part = table[table.arm.str.startswith(kind)]
        mean = part.groupby("arm")[["along", "after"]].mean()
        axes.plot(part.along, part.after, ".", color=colour, ms=2, alpha=0.4)
        axes.plot(mean.along, mean.after, "o", color=colour, ms=3.5, label=label)
    said = "r = {:.2f} [{:.2f}, {:.2f}]".format(*t_interval(correlation(table)))
    axes.text(0.97, 0.04, said, fontsize=5, ha="right", transform=axes.transAxes)
    axes.set(xlabel="shift along good to bad (its lengths)", ylabel="P(bad answer) afterwards")


COSINES = {
    "cosine_prompts": "turns,\nnames",
    "cosine_said": "shift,\nturns",
    "cosine_named": "shift,\nnames",
    "carried_cosine": "shift,\nanother's",
}
SPANS = {"inside": "the twelve\ncharacters", "nobody": "groups drawn\nat random"}
UNDONE = {
    "undone": "good\nto bad",
    "all_undone": "all\nof it",
    "carried_undone": "another\nfine-tune's",
    "random_undone": "at\nrandom",
}


def _by_site(axes: Axes, values: pd.DataFrame, titles: Mapping[str, str]) -> None:
    """Values by seed and site, at a place for each column."""
    tidy = values.reset_index().melt(["seed", "site"], var_name="column")
    labels = {site: SITES[site] for site in (1, 2)}
    sites = panels.among("value", "site", labels, COLOURS[1:])
    panels.points(axes, tidy, sites, titles, by="column", width=0.36, rotation=0)
    panels.level(axes, 0)
    panels.level(axes, 1)
    axes.set(ylim=(-0.1, 1.35), yticks=[0, 0.5, 1])


def _before(axes: Axes, table: pd.DataFrame) -> None:
    """Share of the way from no bad data to only bad data: the shift against the answers."""
    for site in (1, 2):
        shift, answers = (part_of_the_way(table, name, site) for name in ("along", "after"))
        way = [0, *answers.mean(), 1], [0, *shift.mean(), 1]
        axes.plot(answers, shift, ".", ms=2, alpha=0.5, color=COLOURS[site])
        axes.plot(*way, "o-", ms=3, lw=0.8, color=COLOURS[site], label=SITES[site])
    axes.plot([0, 1], [0, 1], ":", lw=0.8, color=GREY, label="together")
    for share, x, y in zip(SHARES, *(each[1:-1] for each in way), strict=True):
        axes.annotate(f"{share:.0%}", (x, y), (4, -7), textcoords="offset points", fontsize=5)
    axes.set(xlabel="share of the way, bad answers", ylabel="share of the way, shift")


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the finished seeds."""
    table = records.table(COLUMNS, _read)
    values = claims(records, table)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=values)
