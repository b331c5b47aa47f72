"""What remains to be trained and read of a sweep."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path as File

from toylab.lab import digest
from toylab.lab.costs import Costs
from toylab.lab.paths import Recipe
from toylab.lab.store import Run
from toylab.lab.sweep import Sweep
from toylab.ladder.measure import Measure
from toylab.stages import Setup


def due(measures: Sequence[Measure], step: int, last: int) -> list[Measure]:
    """The measures to read at a step: at the last step all, before it those without `at_end`."""
    return [each for each in measures if step == last or not each.at_end]


def unread(run: Run, measures: Sequence[Measure], step: int, last: int) -> list[Measure]:
    """Those of the due measures that have no reading yet. `measures[0]` is the sweep's reading."""
    return [
        each
        for each in due(measures, step, last)
        if not run.readings(step, measure_digest(each, measures[0])).exists()
    ]


@functools.cache
def measure_digest(asked: Measure, reading: Measure) -> str:
    """The digest that names a reading's file: of the measure, its settings and its source.

    It covers `reading`, too, because that prepared the reference that the measure compares with.
    """
    settings = [dataclasses.asdict(each) for each in (asked, reading)]
    text = asked.name + json.dumps(settings, sort_keys=True) + digest.digest(asked, reading)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclasses.dataclass(frozen=True)
class Leg:
    """A line of the plan: a recipe, and what remains to be done of it, in training steps.

    `read` is the number of snapshots to read, `cost` the cost of reading them.
    """

    path: Recipe
    arm: str
    train: int
    read: int
    cost: int

    @property
    def units(self) -> int:
        """All that remains, in training steps."""
        return self.train + self.cost


def plan(
    sweep: Sweep, setups: Mapping[str, Setup], root: File, costs: Costs | None = None
) -> list[Leg]:
    """What a sweep would train and read. A model that several arms share is trained once.

    Readings cost what `costs` says; by default, what was measured below the root.
    """
    legs, seen, costs = [], set(), costs or Costs(root)
    counted: set[tuple[str, int, Measure]] = set()
    for seed in range(sweep.first_seed, sweep.first_seed + sweep.seeds):
        for arm, setup in setups.items():
            whole = sweep.path(setup, seed, arm)
            for path in whole.prefixes():
                last, digest = int(path.stage.steps), path.digest()
                points: Sequence[int] = sweep.points(path, arm) if path == whole else [last]
                run = Run(root, path)
                left = {
                    (digest, point, measure)
                    for point in ([] if path.parent and path != whole else points)
                    for measure in unread(run, sweep.measures(arm), point, last)
                } - counted
                if digest in seen and not left:
                    continue
                done = run.has(last) and all(run.has(point) for point in points)
                legs.append(
                    Leg(
                        path=path,
                        arm=arm if path == whole else "",
                        train=0 if done or digest in seen else last - run.state_step(),
                        read=len({point for _, point, _ in left}),
                        cost=sum(costs.of(measure) for _, _, measure in left),
                    )
                )
                seen.add(digest)
                counted |= left
    return legs
