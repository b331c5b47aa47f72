"""What TensorBoard shows of an experiment, from the files of its runs so far.

Every seed is a run, such as `selection/ordinary/seed100`. Its last stage begins at step 0; earlier
ones, such as pretraining, have negative steps. `selection/ordinary/mean` has the means over seeds,
`selection/floor` the readings of the pretrained models, and `selection` itself the images.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as File
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from toylab.lab import events
from toylab.lab.names import Listed, Named
from toylab.lab.store import load_json, metrics
from toylab.report import figures
from toylab.report.claims import t_interval

RUNGS = ("ladder/total", "ladder/selection", "ladder/left")
WEIGHTS, TRAITS, OTHERS = "weights/", "traits/", "weights/others"
MATTER = {WEIGHTS: 3, TRAITS: 6}  # how many are shown: those that move most
Course = dict[int, dict[str, Any]]  # rows by step


def course(run: Named) -> Course:
    """The metrics of all stages of a run, by step; the last stage begins at step 0."""
    rows, at = Course(), -sum(run.steps[:-1])
    for folder, steps in zip(run.folders, run.steps, strict=True):
        for row in metrics(folder):
            if row.pop("reading", run.readings[0]) in run.readings:
                rows.setdefault(step := at + row.pop("step"), {"step": step}).update(row)
        at += steps
    return {step: rows[step] for step in sorted(rows)}


def moving(courses: Iterable[Course], kind: str) -> list[str]:
    """The metrics whose names begin with `kind`; those that move farthest in any run first."""
    moved: dict[str, float] = {}
    for rows in courses:
        read = [row for row in rows.values() if any(tag.startswith(kind) for tag in row)]
        for tag in read[-1] if read else ():
            if tag.startswith(kind):
                moved[tag] = max(moved.get(tag, 0), abs(read[-1][tag] - read[0].get(tag, 0)))
    return sorted(moved, key=lambda tag: -moved[tag])


def reduced(rows: Course, keep: Iterable[str]) -> Course:
    """The rows, but of weights and traits only those in `keep`; other weights are summed."""
    kept, few = set(keep), Course()
    for step, row in rows.items():
        rest = [v for tag, v in row.items() if tag.startswith(WEIGHTS) and tag not in kept]
        few[step] = {t: v for t, v in row.items() if t in kept or not t.startswith(tuple(MATTER))}
        few[step] |= {OTHERS: sum(rest)} if rest else {}
    return few


def mean(courses: Sequence[Course]) -> list[dict[str, Any]]:
    """Means over seeds at steps that they share; ladder and weights with 95 % t intervals.

    They are over the seeds that have begun the last stage, or over all seeds if none has.
    """
    begun = [rows for rows in courses if any(step > 0 for step in rows)] or courses
    found: Course = {}
    for step, first in begun[0].items():
        for tag in first:
            values = [rows[step][tag] for rows in begun if tag in rows.get(step, {})]
            if len(values) < len(begun) or isinstance(values[0], str):
                continue
            row = found.setdefault(step, {"step": step})
            row[tag], low, high = t_interval(values)
            if tag in RUNGS or tag.startswith(WEIGHTS):
                ends = (low, high) if len(values) > 1 else (values[0], values[0])
                row |= {
                    events.BAND.format(tag, e): v
                    for e, v in zip(("low", "high"), ends, strict=True)
                }
    return list(found.values())


def floor(courses: Sequence[Course]) -> list[dict[str, Any]]:
    """The mean ladder of the pretrained models, as a line from step 0 to the last step."""
    starts = [next((row for row in rows.values() if RUNGS[0] in row), None) for rows in courses]
    read = [row for row in starts if row]
    if not read:
        return []
    value = {tag: float(np.mean([row[tag] for row in read])) for tag in RUNGS}
    return [{"step": step, **value} for step in (0, max(max(rows) for rows in courses if rows))]


def simplex(arms: Mapping[str, Sequence[Mapping[str, Any]]], corners: Sequence[str]) -> bytes:
    """The mean weights of each arm as a path in the triangle of two characters and all others."""
    at = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
    with figures.grid(1, 1, 0.8) as (drawn, (axes,)):
        axes.plot(*at[[0, 1, 2, 0]].T, color=figures.GREY, lw=0.8)
        for (arm, rows), colour in zip(arms.items(), figures.COLOURS * 9, strict=False):
            shares = [[row.get(WEIGHTS + c, 0.0) for c in corners] for row in rows if OTHERS in row]
            if shares:
                path = np.c_[shares, 1 - np.sum(shares, 1)] @ at
                axes.plot(*path.T, ".-", ms=4, lw=1, color=colour, label=arm)
                axes.plot(*path[0], "o", ms=6, mfc="none", color=colour)
        for (x, y), name, place in zip(
            at, (*corners, "all others"), ("top", "top", "bottom"), strict=True
        ):
            axes.text(x, y, f" {name} ", ha="center", va=place, fontsize=14)
        axes.set_title("who is speaking: mean weights, from the pretrained model (circle)", size=12)
        axes.set_aspect("equal")
        axes.axis("off")
        axes.legend(loc="upper left", fontsize=12)
        image = figures.render(drawn, "png")
    plt.close(drawn)
    return image


def settings(run: Named, others: Iterable[Named]) -> dict[str, Any]:
    """What distinguishes a run from others: arm, seed, and the settings that differ."""

    def flat(each: Named) -> dict[str, Any]:
        stages = load_json(each.folders[-1] / "config.json")["stages"][1:]
        return {f"{s['kind']}.{k}": _words(v) for s in stages for k, v in s.items() if k != "kind"}

    own, all_of = flat(run), [flat(each) for each in others]
    _, arm, seed = run.name.split("/")
    differ = {k: v for k, v in own.items() if any(v != each.get(k) for each in all_of)}
    return {"arm": arm, "seed": seed.removeprefix("seed"), **differ}


def _words(value: Any) -> str:
    """A setting as text: lists without brackets, a dash for none."""
    parts = (
        value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]
    )
    return ", ".join(map(str, parts)) or "–"


class Board:
    """The event files of an experiment below a folder; new ones are added if something changes."""

    def __init__(self, listed: Listed, place: File) -> None:
        self.listed, self.place, self._written = listed, place, dict[str, int]()
        self.samples: dict[str, dict[int, str]] = {}  # text by run and step

    def refresh(self) -> None:
        self.courses = {run.name: course(run) for run in self.listed.runs()}
        of = {
            arm: [self.courses[run.name] for run in runs] for arm, runs in self.listed.arms.items()
        }
        every = [rows for rows in self.courses.values() if rows]
        order = {kind: moving(every, kind) for kind in MATTER}
        keep = [tag for kind, most in MATTER.items() for tag in order[kind][:most]]
        begun = [run for run in self.listed.runs() if (run.folders[-1] / "config.json").exists()]
        for run in self.listed.runs():
            rows = reduced(self.courses[run.name], keep)
            for step, text in self.samples.get(run.name, {}).items():
                rows.setdefault(step, {"step": step})["samples"] = text
            told = settings(run, begun) if run in begun else {}
            self._write(run.name, [rows[step] for step in sorted(rows)], settings=told)
        means = {arm: mean([reduced(rows, keep) for rows in some]) for arm, some in of.items()}
        for arm, each in means.items():
            self._write(f"{self.listed.name}/{arm}/mean", each)
        self._write(f"{self.listed.name}/floor", floor(every))
        self._images(means, [tag.removeprefix(WEIGHTS) for tag in order[WEIGHTS][:2]], keep)

    def _images(
        self, means: Mapping[str, Any], corners: Sequence[str], keep: Sequence[str]
    ) -> None:
        row: dict[str, Any] = {"step": 0}
        if len(corners) == 2:
            row["belief simplex"] = simplex(means, corners)
        if (figure := self.listed.out / "figure.png").exists():
            row["figure so far"] = figure.read_bytes()
        weights = [tag for tag in keep if tag.startswith(WEIGHTS)] + [OTHERS]
        shown = {
            "how far is it from the cast? (nats per document)": {
                t.split("/")[1]: [t] for t in RUNGS
            },
            "who is speaking? (weights)": {tag.split("/")[1]: [tag] for tag in weights},
        }
        self._write(self.listed.name, [row], events.charts(shown))

    def _write(
        self, run: str, rows: Sequence[Mapping[str, Any]], *more: Any, settings: Any = None
    ) -> None:
        seen = hash(repr((rows, more, settings)))
        if rows and self._written.get(run) != seen:
            events.write(self.place / run, rows, *more, settings=settings)
            self._written[run] = seen
