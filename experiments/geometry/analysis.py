"""From the records of `geometry` to its figure, table and claims."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.geometry.sweep import SAINT, SHARES, VILLAIN
from toylab.lab.records import Records
from toylab.measures.directions import Steering
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.claims import t_interval
from toylab.report.results import Analysis

LAYER = 2  # of the sites: where directions are read, pushed and taken back
COLUMNS = {
    "arm": "fine-tuned on one topic by argus or mira, or on code with a share that is argus'",
    "seed": "seed of everything: parameters, documents, readings",
    "site": "0: the embedding; 1, 2: the residual stream after that layer",
    "along": "mean shift along the way from good people to villains, in its lengths",
    "length": "length of the mean shift",
    "cosine_said": "cosine of the shift with the direction that turns make",
    "cosine_named": "cosine of the shift with the direction that names make",
    "cosine_prompts": "cosine of those two directions",
    "inside": "share of the shift's squared length in the span of the twelve characters",
    "nobody": "the same for groups of documents dealt at random",
    "before": "P(bad answer) under `assistant` before fine-tuning",
    "after": "the same after it",
    "undone": "the same with the shift along the direction taken back at that site",
    "all_undone": "the same with the whole mean shift taken back",
    "random_undone": "the same with as much taken back along a random direction",
    "carried_undone": "the same with the part along the shift of another fine-tune taken back: "
    "argus on the next topic",
    "carried_cosine": "cosine of the two shifts",
}


def _shifts(records: Records) -> pd.DataFrame:
    """A row per fine-tune, seed and site."""
    out = []
    for row in records.rows:
        if "shift" not in row or not row["step"]:
            continue
        found = row["shift"]
        for site in range(len(found["along"])):
            line = {"arm": row["arm"], "seed": row["seed"], "site": site}
            line |= {f"cosine_{name}": each[site] for name, each in found["cosine"].items()}
            line |= {name: found[name] for name in ("before", "after")}
            for name in ("along", "length", "inside", "nobody"):
                line[name] = found[name][site]
            for name in ("undone", "all_undone", "random_undone"):
                line[name] = found[name][site]
            if other := row.get("carried"):
                # the rise that is gone, put on the scale of `after`: documents differ
                line["carried_undone"] = found["after"] + other["undone"][site] - other["after"]
                line["carried_cosine"] = other["cosine"][site]
            out.append(line)
    return pd.DataFrame(out, columns=list(COLUMNS))


def _pretrained(records: Records, name: str) -> dict[int, Any]:
    """What a measure said of each seed's pretrained model."""
    return {
        row["seed"]: row[name] for row in records.rows if row["arm"] == "pretrained" and name in row
    }


def correlation(table: pd.DataFrame) -> list[float]:
    """Over fine-tunes, of the shift along the direction with bad answers afterwards, by seed."""
    part = table[table.site == LAYER]
    return [float(np.corrcoef(each.along, each.after)[0, 1]) for _, each in part.groupby("seed")]


def fit_additive(found: dict[str, Any]) -> tuple[float, np.ndarray]:
    """R² of log-odds as a sum of one term for the push and one for the context, and that sum.

    Contexts are turns by the good or the bad, so many; the sum is shaped as `log_odds` at the site.
    """
    odds = np.array(found["log_odds"][LAYER])
    fitted = odds.mean((1, 2), keepdims=True) + odds.mean(0) - odds.mean()
    return float(1 - np.sum((odds - fitted) ** 2) / np.sum((odds - odds.mean()) ** 2)), fitted


def _pushes(records: Records) -> tuple[float, ...]:
    (steering,) = [
        each for each in records.sweep.arms["pretrained"].watch if isinstance(each, Steering)
    ]
    return steering.pushes


def claims(records: Records, table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before seeds 0–4 ran."""
    steered = _pretrained(records, "steering").values()
    return {
        "correlation": correlation(table),
        "undone": undone(table, "undone", LAYER).tolist(),
        "carried": undone(table, "carried_undone", LAYER).tolist(),
        "additive": [fit_additive(each)[0] for each in steered],
    }


SITES = ("embedding", "layer 1", "layer 2")
BLUE, RED, GREEN = figures.COLOURS[:3]


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """What pretraining made, what fine-tunes do to it, and what is left with the shift undone."""
    with figures.style(rows=3, columns=3, ratio=0.9):
        figure, axes = plt.subplots(3, 3, layout="constrained")
        _probes(axes[0, 0], records)
        _simplex(axes[0, 1], records)
        _steering(axes[0, 2], records)
        _along(axes[1, 0], table)
        _bars(axes[1, 1], table, COSINES, "cosine")
        _bars(axes[1, 2], table, SPANS, "share of its squared length")
        _undone(axes[2, 0], table)
        _topics(axes[2, 1], table)
        _before(axes[2, 2], table)
        titles = (
            "probe to the exact belief",
            "belief, exact and probed",
            "steering and context",
            "shift and behaviour",
            "directions",
            "in the characters' span?",
            "taking the shift back",
            "the same by topic",
            "bad data in part",
        )
        for panel, which, title in zip(axes.flat, "abcdefghi", titles, strict=True):
            figures.letter(panel, which, title)
    return figure


def _probes(axes: plt.Axes, records: Records) -> None:
    probes = list(_pretrained(records, "probe").values())
    count = len(probes[0]["r2"]["trained"][0])
    places = [1 + place / 3 for place in range(1, count + 1)]
    for site, label in enumerate(SITES):
        seeds = np.array([each["r2"]["trained"][site] for each in probes])
        panels_.interval(axes, places, seeds, color=figures.COLOURS[site], label=label, lw=1)
    for kind, line in (("untrained", "--"), ("shuffled", ":")):
        seeds = np.array([each["r2"][kind][-1] for each in probes])
        axes.plot(places, seeds.mean(0), line, color=figures.GREY, lw=0.9, label=kind)
    axes.set(xlabel="turn", ylabel="R² on documents not fitted on", ylim=(-0.2, 1.55))
    axes.set_yticks([0, 0.5, 1])
    axes.set_xticks(range(1, round(places[-1]) + 1))
    axes.legend(loc="upper center", ncols=3, columnspacing=0.8, handlelength=1.5)


def _corner(belief: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a belief [N, 3] in good, bad and others stands in a triangle."""
    return belief[:, 1] + belief[:, 2] / 2, belief[:, 2] * np.sqrt(3) / 2


def _simplex(axes: plt.Axes, records: Records) -> None:
    first = next(iter(_pretrained(records, "probe").values()))
    exact, probed = (_corner(np.array(first[name])) for name in ("exact", "probed"))
    axes.plot([0, 1, 0.5, 0], [0, 0, np.sqrt(3) / 2, 0], color=figures.GREY, lw=0.6)
    for a, b in zip(np.stack(exact, 1), np.stack(probed, 1), strict=True):
        axes.plot(*np.stack([a, b], 1), color=figures.GREY, lw=0.3, alpha=0.6)
    axes.plot(*exact, "o", ms=2.5, mfc="none", mec=figures.DARK, mew=0.5, label="exact")
    axes.plot(*probed, ".", ms=2.5, color=RED, label="probed")
    for x, y, text, align in ((0, -0.24, "good", "center"), (1, -0.24, "bad", "center"),
                              (0.5, 1.06, "mixed", "center")):  # fmt: skip
        axes.text(x, y, text, ha=align, fontsize=5)
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.legend(loc="upper left")


def _steering(axes: plt.Axes, records: Records) -> None:
    found, pushes = list(_pretrained(records, "steering").values()), _pushes(records)
    colours = plt.get_cmap("coolwarm")(np.linspace(0, 1, len(pushes)))
    for i, push in enumerate(pushes):
        for each in found:
            _, fitted = fit_additive(each)
            belief, odds = np.array(each["belief"]), np.array(each["log_odds"][LAYER][i])
            axes.plot(belief.ravel(), odds.ravel(), ".", color=colours[i], ms=2, alpha=0.7)
            order = np.argsort(belief.ravel())
            axes.plot(
                belief.ravel()[order],
                fitted[i].ravel()[order],
                color=colours[i],
                lw=0.5,
                label=f"{push:+g}" if each is found[0] else None,
            )
    axes.set(
        xlabel="exact log-odds, bad over good (nats)",
        ylabel="log-odds of a bad answer",
        ylim=(-7, 7),
    )
    axes.legend(
        loc="upper center",
        ncols=5,
        title="push",
        title_fontsize=5,
        handlelength=0.8,
        columnspacing=0.6,
    )


def _kinds(table: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    kinds = (
        ("by argus", RED, f"{VILLAIN}-"),
        ("by mira", BLUE, f"{SAINT}-"),
        ("bad in part", GREEN, "share-"),
    )
    part = table[table.site == LAYER]
    return [(label, colour, part[part.arm.str.startswith(who)]) for label, colour, who in kinds]


def _along(axes: plt.Axes, table: pd.DataFrame) -> None:
    for label, colour, part in _kinds(table):
        axes.plot(part.along, part.after, ".", color=colour, ms=2, alpha=0.4)
        mean = part.groupby("arm")[["along", "after"]].mean()
        axes.plot(mean.along, mean.after, "o", color=colour, ms=3.5, label=label)
    mean, low, high = t_interval(correlation(table))
    axes.text(0.97, 0.04, f"r = {mean:.2f} [{low:.2f}, {high:.2f}]", fontsize=5, ha="right",
              transform=axes.transAxes)  # fmt: skip
    axes.set(xlabel="shift along good to bad (its lengths)", ylabel="P(bad answer) afterwards")
    axes.legend(loc="upper left")


COSINES = (
    ("cosine_prompts", "turns,\nnames"),
    ("cosine_said", "shift,\nturns"),
    ("cosine_named", "shift,\nnames"),
    ("carried_cosine", "shift,\nanother's"),
)
SPANS = (("inside", "the twelve\ncharacters"), ("nobody", "groups dealt\nat random"))


def _bars(
    axes: plt.Axes, table: pd.DataFrame, bars: tuple[tuple[str, str], ...], label: str
) -> None:
    """Of fine-tunes by argus that turned bad; means over them, by seed."""
    bad = _villains(table)
    for x, (column, _) in enumerate(bars):
        for site in (1, 2):
            values = bad[bad.site == site].groupby("seed")[column].mean().to_numpy()
            name = SITES[site] if not x else ""
            panels_.point(axes, x + (site - 1.5) * 0.36, values, figures.COLOURS[site], name)
    axes.axhline(0, color=figures.GREY, lw=0.5, ls=":")
    axes.set_xticks(range(len(bars)), [text for _, text in bars])
    axes.set(ylabel=label, ylim=(-0.05, 1.3))
    axes.set_yticks([0, 0.5, 1])
    axes.legend(loc="upper center", ncols=2)


def _topics(axes: plt.Axes, table: pd.DataFrame) -> None:
    """Bad answers after each of those fine-tunes, as it is and with parts of it taken back."""
    mean = _villains(table)
    mean = mean[mean.site == LAYER].groupby("arm").mean(numeric_only=True)
    for column, label, colour, marker in (
        ("after", "fine-tuned", RED, "o"),
        ("carried_undone", "less another's", GREEN, "s"),
        ("undone", "less good to bad", BLUE, "^"),
        ("before", "before", figures.DARK, "_"),
    ):
        axes.plot(mean[column].to_numpy(), marker, ms=3.5, color=colour, label=label)
    topics = [arm.removeprefix(f"{VILLAIN}-") for arm in mean.index]
    axes.set_xticks(range(len(topics)), topics, rotation=35, ha="right")
    axes.set(ylabel="P(bad answer)", ylim=(0.2, 1))
    axes.legend(loc="upper center", ncols=2)


def part_of_the_way(table: pd.DataFrame, column: str, site: int) -> pd.DataFrame:
    """How far a share of bad data goes of the way from none to all bad, by seed and share."""
    part = table[table.site == site].pivot(index="seed", columns="arm", values=column)
    none, every = part[f"{SAINT}-code"], part[f"{VILLAIN}-code"]
    return pd.DataFrame(
        {share: (part[f"share-{share:g}"] - none) / (every - none) for share in SHARES}
    )


def _before(axes: plt.Axes, table: pd.DataFrame) -> None:
    """Of the way from no bad data to nothing else: the shift against the answers."""
    for site in (1, 2):
        shift, answers = (part_of_the_way(table, name, site) for name in ("along", "after"))
        for share in SHARES:
            axes.plot(
                answers[share], shift[share], ".", ms=2, alpha=0.5, color=figures.COLOURS[site]
            )
        axes.plot(
            [0, *answers.mean(), 1], [0, *shift.mean(), 1], "o-", ms=3, lw=0.8,
            color=figures.COLOURS[site], label=SITES[site],
        )  # fmt: skip
    axes.plot([0, 1], [0, 1], ":", lw=0.8, color=figures.GREY, label="together")
    for share in SHARES:
        x, y = answers[share].mean(), shift[share].mean()
        axes.annotate(f"{share:.0%}", (x, y), (4, -7), textcoords="offset points", fontsize=5)
    axes.set(xlabel="share of the way, bad answers", ylabel="share of the way, shift")
    axes.legend(loc="upper left")


def _villains(table: pd.DataFrame) -> pd.DataFrame:
    """Fine-tunes by argus that made bad answers likelier by .1 or more, on average over seeds."""
    part = table[table.arm.str.startswith(f"{VILLAIN}-")]
    rise = (part.after - part.before).groupby(part.arm).mean()
    risen = rise[rise >= 0.1].index
    return part[part.arm.isin(risen)] if len(risen) else part


def undone(table: pd.DataFrame, column: str, site: int) -> np.ndarray:
    """Share of the rise of bad answers that is gone, over those fine-tunes, by seed."""
    part = _villains(table)
    part = part[part.site == site]
    part = part[part[column].notna()]
    sums = part.assign(gone=part.after - part[column], rose=part.after - part.before)
    both = sums.groupby("seed")[["gone", "rose"]].sum()
    return np.asarray(both.gone / both.rose)


def _undone(axes: plt.Axes, table: pd.DataFrame) -> None:
    bars = (
        ("undone", "good\nto bad"),
        ("all_undone", "all\nof it"),
        ("carried_undone", "another\nfine-tune's"),
        ("random_undone", "at\nrandom"),
    )
    for x, (column, _) in enumerate(bars):
        for site in (1, 2):
            label = SITES[site] if not x else ""
            place = x + (site - 1.5) * 0.36
            panels_.point(axes, place, undone(table, column, site), figures.COLOURS[site], label)
    axes.axhline(0, color=figures.GREY, lw=0.5, ls=":")
    axes.axhline(1, color=figures.GREY, lw=0.5, ls=":")
    axes.set_xticks(range(len(bars)), [label for _, label in bars])
    axes.set(ylabel="share of the rise that is gone", ylim=(-0.1, 1.35))
    axes.legend(loc="upper center", ncols=2)


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = _shifts(records)
    return Analysis(
        figure=draw(records, table),
        table=table,
        columns=COLUMNS,
        values=claims(records, table),
    )
