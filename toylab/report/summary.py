"""The results of runs in a few lines for the terminal: ladder, weights, what moved most."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from toylab.lab.names import Named
from toylab.lab.store import load_json, reading
from toylab.report.board import OTHERS, RUNGS, TRAITS, WEIGHTS, course

Row = Mapping[str, float]  # values by the name of the metric
LADDER = {rung: f"ladder/{rung}" for rung in ("total", "selection", "exaggeration", "left")}


def ends(run: Named) -> tuple[Row, Row] | None:
    """A run's first reading (that of the pretrained model) and its last; None if there is none."""
    read = [row for row in course(run).values() if RUNGS[0] in row]
    return (read[0], read[-1]) if read else None


def mean(rows: Sequence[Row]) -> Row:
    """The mean of rows, for the metrics that they all have."""
    return {
        tag: float(np.mean([row[tag] for row in rows])) for tag in set(rows[0]).intersection(*rows)
    }


def moved(before: Row, after: Row, kind: str, most: int) -> str:
    """The values of a kind that moved most, as text."""
    tags = [tag for tag in after if tag.startswith(kind) and tag in before and tag != OTHERS]
    tags.sort(key=lambda tag: -abs(after[tag] - before[tag]))
    return ", ".join(
        f"{tag.removeprefix(kind)} {100 * before[tag]:.0f} → {100 * after[tag]:.0f} %"
        for tag in tags[:most]
    )


def lines(arms: Mapping[str, tuple[Row, Row]]) -> Iterator[str]:
    """The ladder of each arm beside its floor, the characters who speak, and what moved most."""
    wide = max(map(len, ("nats per document", *arms)))
    yield (
        f"{'nats per document':{wide}}"
        + "".join(f"{name:>{len(name) + 2}}" for name in LADDER)
        + "  floor"
    )
    for arm, (before, after) in arms.items():
        cells = [f"{after.get(tag, np.nan):>z{len(name) + 2}.2f}" for name, tag in LADDER.items()]
        yield f"{arm:{wide}}{''.join(cells)}{before[LADDER['left']]:7.2f}"
    for title, kind in (("who speaks", WEIGHTS), ("moved most", TRAITS)):
        yield f"{title}:"
        for arm, (before, after) in arms.items():
            yield f"  {arm:{wide}} {moved(before, after, kind, 2)}"


def of_arms(arms: Mapping[str, Iterable[Named]]) -> Iterator[str]:
    """The `lines` for the arms of an experiment, as means over the seeds that were read."""
    found = {arm: [each for run in runs if (each := ends(run))] for arm, runs in arms.items()}
    read = {
        arm: (mean([each[0] for each in some]), mean([each[1] for each in some]))
        for arm, some in found.items()
        if some
    }
    if read:
        yield from lines(read)


def compared(first: Named, second: Named) -> Iterator[str]:
    """Two runs side by side: settings that differ, ladder, and where they differ most.

    Raises `ValueError` if one has not been read yet.
    """
    rows, settings = [], []
    for run in (first, second):
        if (found := ends(run)) is None:
            raise ValueError(f"{run.name}: has no reading yet; let its experiment finish")
        rows.append(found[1])
        with reading(file := run.folders[-1] / "config.json"):
            settings.append(_flat(load_json(file)))
    one, other = rows
    wide = max(map(len, (first.name, second.name)))
    yield f"{'':24} {first.name:>{wide}}  {second.name:>{wide}}"
    for name in sorted(set(settings[0]) | set(settings[1])):
        cells = [str(each.get(name, "–")) for each in settings]
        if cells[0] != cells[1]:
            yield f"{name:24} {cells[0]:>{wide}}  {cells[1]:>{wide}}"
    both = set(one) & set(other)
    shown = [tag for tag in LADDER.values() if tag in both]
    for kind in (WEIGHTS, TRAITS):
        tags = [tag for tag in both if tag.startswith(kind)]
        shown += sorted(tags, key=lambda tag: -abs(one[tag] - other[tag]))[:5]
    for tag in shown:
        yield f"{tag:24} {one[tag]:>z{wide}.2f}  {other[tag]:>z{wide}.2f}"


def _flat(config: Mapping[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {"seed": config["seed"]}
    stages = config["stages"]
    assert isinstance(stages, list)
    for place, stage in enumerate(stages):
        name = stage["kind"] if place < 2 else f"{place + 1}. {stage['kind']}"
        flat |= {f"{name}.{key}": value for key, value in stage.items() if key != "kind"}
    return flat
