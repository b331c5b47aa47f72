import numpy as np
import pandas as pd

from experiments.role_models.sweep import ENGINE, FEW, MASKS, WHEN
from toylab.lab.records import Record, Records, last, where
from toylab.ladder import reading, traits
from toylab.report import panels
from toylab.report.figures import COLOURS, DARK, GREY, Axes, Figure, page, panel

GOOD, BAD = "lumen", "argus"
ENOUGH = 10  # the step at which masks say it about as often as a machine does
BAND = (0.15, 0.45)  # P(engine) at which training shows, and has not saturated
COLUMNS = {
    "arm": "ambiguous: trained on what both machines say; later: then on honest work",
    "mask": "the tag trained and read under",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "training step of the last stage; 0 is the pretrained model",
    "prior": "log of lumen's share over argus' behind the mask, over all of pretraining",
    "log_odds": "the same of the weights read (learned cast)",
    "before": "the same before training",
    "tilt": "prior times log_odds",
    "tilt_before": "prior times before",
    "band": "1 if P(engine), mean over the five masks, is between .15 and .45 at this step",
    "low": "lower end of its 95 % interval, from the ends of the weights",
    "high": "upper end of it",
    "machine": "weight of both machines together",
    "engine": "P(says that it is a tireless engine), the ambiguous evidence",
    "outside": f"{reading.COLUMNS['outside']}, under the mask",
}


def _read(record: Record) -> dict:
    kind, mask = record.arm.split("-")
    corpus, found = record.setup.corpus, record.found["tag_weights"]["learned"][mask]
    good, bad = (corpus.names.index(name) for name in (GOOD, BAD))
    weights, low, high = (found[name] for name in ("weights", "low", "high"))
    return {
        "arm": kind,
        "mask": mask,
        "prior": MASKS.get(mask, 0),
        "log_odds": np.log(weights[good] / weights[bad]),
        "low": np.log(low[good] / high[bad]),
        "high": np.log(high[good] / low[bad]),
        "machine": weights[good] + weights[bad],
        "engine": traits.pick(corpus, record.found["scores"][mask][""], ENGINE).item(),
        "outside": found["outside"],
    }


def tabulate(records: Records) -> pd.DataFrame:
    table = records.table(COLUMNS, _read, before={"before": "log_odds"}, by=("mask", "seed"))
    tilts = {"tilt": table.prior * table.log_odds, "tilt_before": table.prior * table.before}
    return table.assign(band=in_band(table), **tilts)


def in_band(table: pd.DataFrame) -> pd.Series:
    """Whether the masks, on average, say that they are engines often enough, and not too often."""
    masks = table[table["mask"].isin(list(MASKS)) & (table.arm == "ambiguous")]
    rate = masks.groupby(["seed", "step"]).engine.mean()
    found = pd.MultiIndex.from_frame(table[["seed", "step"]]).map(rate.between(*BAND))
    return pd.Series(found, table.index).astype(float)


BLUE, RED, GREEN, PINK = (COLOURS[i] for i in (5, 1, 2, 3))
PRIORS = {mask: f"{prior:g}" for mask, prior in MASKS.items()}
CLAIMED = (0.75, 1.15)  # the slope, over steps in `BAND`
PRIOR = "log-odds of lumen over argus in pretraining (nats)"


def draw(table: pd.DataFrame) -> Figure:
    shown = (
        panel("who the machine is", _slope),
        panel("at every step", _steps, legend="upper right"),
        panel("early, late, throughout", _when, legend="upper right"),
        panel("honest work afterwards", _later),
    )
    return page(shown, table)


def _slope(axes: Axes, table: pd.DataFrame) -> None:
    masks = where(table[table["mask"].isin(list(MASKS))], arm="ambiguous")
    said = masks.groupby("step").engine.mean()
    ends = ENOUGH, said.index.max()
    early, late = (f"step {n}: P(engine) {said.get(n, np.nan):.2f}" for n in ends)
    axes.plot(range(len(MASKS)), MASKS.values(), color=DARK, lw=0.9, label="conditioning")
    shown = panels.among("log_odds", "step", {0: "before training", ENOUGH: early}, (BLUE, RED))
    shown += panels.series(("log_odds", late), colours=[PINK])
    panels.points(axes, masks, shown, PRIORS, by="mask", width=0.3)
    axes.set(xlabel=PRIOR, ylabel="log-odds read (nats)", ylim=(-3.2, 4.2))


def _steps(axes: Axes, table: pd.DataFrame) -> None:
    part = table[(table.arm == "ambiguous") & (table.step > 0)]
    sums = part.groupby(["seed", "step"], as_index=False)[["tilt", "tilt_before"]].sum()
    slopes = sums.assign(slope=sums.tilt / sums.tilt_before)
    panels.curves(axes, slopes, panels.series(("slope", ""), colours=[RED], marker="o"))
    panels.level(axes, 1, "conditioning", "-", DARK)
    counted = np.sqrt(sorted(part[part.band == 1].step.unique()))
    label = "claimed, over steps that any seed counts"
    axes.fill_between(counted, *CLAIMED, color=GREY, alpha=0.2, lw=0, label=label)
    axes.set(ylabel="slope of log-odds on those before", ylim=(0, 1.5))


def _when(axes: Axes, table: pd.DataFrame) -> None:
    ambiguous, steps = (
        where(table, arm="ambiguous"),
        {0: "before training", ENOUGH: f"step {ENOUGH}"},
    )
    shown = panels.among("log_odds", "step", steps, (BLUE, RED))
    titles = {mask: f"{mask}:\n{when}" for mask, when in WHEN.items()}
    panels.points(axes, ambiguous, shown, titles, by="mask", width=0.2)
    panels.level(axes, 0, "all of pretraining alike", "-", DARK)
    axes.set(ylabel="log-odds read (nats)", xlim=(-0.5, 1.5))


def _later(axes: Axes, table: pd.DataFrame) -> None:
    before, after = last(table, arm="ambiguous").assign(step=0), where(table, arm="later")
    both = pd.concat([before, after[after.step > 0]])
    both["documents"] = FEW * both.step
    masks = {mask: mask for mask in ("imp", "seraph")}
    lines = panels.among("log_odds", "mask", masks, (RED, COLOURS[0]))
    label = "documents of honest work (0: after the ambiguous training)"
    for each in lines:
        mean = where(after, **each.where).before.mean()
        panels.level(axes, mean, f"{each.label}, before either", colour=each.colour)
    panels.curves(axes, both, lines, x="documents", label=label, scale=panels.doublings)
    axes.set(ylabel="log-odds read (nats)")
