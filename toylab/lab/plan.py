"""What of a sweep remains to be trained and read."""

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
    """The measures that look at a step."""
    return [each for each in measures if step == last or not each.at_end]


def unread(run: Run, measures: Sequence[Measure], step: int, last: int) -> list[Measure]:
    """Those of them that have not yet. The first of `measures` is the sweep's reading."""
    return [
        each
        for each in due(measures, step, last)
        if not run.readings(step, measure_digest(each, measures[0])).exists()
    ]


@functools.cache
def measure_digest(asked: Measure, reading: Measure) -> str:
    """What a result's file is found by: the measure, its settings, and its source.

    So it is for `reading`, by which the pretrained model was prepared that results stand beside.
    """
    settings = [dataclasses.asdict(each) for each in (asked, reading)]
    text = asked.name + json.dumps(settings, sort_keys=True) + digest.digest(asked, reading)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclasses.dataclass(frozen=True)
class Leg:
    """A line of the plan: a path, and what of it remains to be done, in training steps.

    `read` counts snapshots, `cost` what reading them takes.
    """

    path: Recipe
    arm: str
    train: int
    read: int
    cost: int

    @property
    def units(self) -> int:
        """Training steps, or what takes as long."""
        return self.train + self.cost


def plan(
    sweep: Sweep, setups: Mapping[str, Setup], root: File, costs: Costs | None = None
) -> list[Leg]:
    """What a sweep would train and read; paths that several arms share stand in it once.

    Readings are counted by `costs`, or by those measured below the root.
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
