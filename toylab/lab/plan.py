"""The graph of what some sweeps still have to train and read.

A run is trained after the run that it begins with. A pretrained model's reference comes after its
training; a reading comes after the training of its snapshot, and after the reference. What several
sweeps need is done once.
"""

import abc
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as File
from typing import Any, NamedTuple

from toylab.lab import execute, readings
from toylab.lab.costs import Costs, Times
from toylab.lab.execute import Advance, quietly
from toylab.lab.paths import Recipe
from toylab.lab.store import Run
from toylab.lab.sweep import Sweep
from toylab.ladder import reading
from toylab.ladder.measure import Measure, Snapshot, measure_key
from toylab.ladder.reading import LadderFit
from toylab.stages import Setup

BASE_STEPS = 120  # cost of a reference, in training steps of the default batch, until measured


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leg(abc.ABC):
    """A part of the plan, as `schedule` takes it; its cost is in training steps.

    `title` names the sweep, seed and arm that it is for, or the first of several.
    """

    path: Recipe
    title: str
    rank: tuple[int, ...]
    after: frozenset[str]
    cost: int

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Names the leg in its graph."""

    @property
    @abc.abstractmethod
    def done(self) -> str:
        """What was done, in words."""

    @abc.abstractmethod
    def run(self, root: File, advance: Advance = quietly) -> Times:
        """Does the work, unless it is done already."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Leg):
    """Trains a run until its snapshots at these steps are on disk."""

    points: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def done(self) -> str:
        return f"trained, {self.cost} steps"

    def run(self, root: File, advance: Advance = quietly) -> Times:
        return execute.train(Run(root, self.path), self.points, advance)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refer(Leg):
    """Prepares the pretrained model's reference, with which all readings compare."""

    settings: LadderFit

    @property
    def name(self) -> str:
        return f"{self.path.name} reference {readings.measure_digest(self.settings, self.settings)}"

    @property
    def done(self) -> str:
        return "prepared"

    def run(self, root: File, advance: Advance = quietly) -> Times:
        _, (_, times) = readings.pretrained(root, Run(root, self.path), self.settings)
        advance(self.cost)
        return times


@dataclasses.dataclass(frozen=True, kw_only=True)
class Read(Leg):
    """Reads one snapshot with all measures that are due there and missing."""

    settings: LadderFit
    step: int
    measures: tuple[Measure, ...]

    @property
    def name(self) -> str:
        compared = readings.measure_digest(self.settings, self.settings)
        return f"{self.path.name} at {self.step} by {compared}"

    @property
    def done(self) -> str:
        return f"read at step {self.step}"

    def run(self, root: File, advance: Advance = quietly) -> Times:
        run = Run(root, self.path)
        return readings.read(
            root, run, self.step, self.measures, self.settings, lambda x: advance(x * self.cost)
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rehearse(Leg):
    """Reads an untrained model, only to compile the code that other workers then load."""

    measures: tuple[LadderFit, ...]

    name = "rehearsal"
    done = "compiled"

    def run(self, root: File, advance: Advance = quietly) -> Times:
        setup, key = self.path.setup, measure_key(self.path.seed, 0)
        policy = reading.policy_of(setup, setup.init(self.path.seed))
        base = reading.prepare(setup, policy, key, self.measures[0])
        execute.excess(setup, self.path.seed, policy.params, 0)
        for each in self.measures:
            each(Snapshot(setup, base, policy, policy), key)
        return Times()


def rehearsal(legs: Mapping[str, Leg]) -> dict[str, Leg]:
    """A `Rehearse` to do beside these, if the first reading has to wait for a pretrained model."""
    reads = [leg for leg in legs.values() if isinstance(leg, Read)]
    first = min(reads, key=lambda leg: leg.rank, default=None)
    if not first or not any(isinstance(legs[name], Train) for name in first.after):
        return {}
    about: dict[str, Any] = {"title": "compiling", "rank": (), "after": frozenset(), "cost": 0}
    alike = [leg for leg in reads if leg.path.setup == first.path.setup]
    ladders = [each for leg in alike for each in leg.measures if isinstance(each, LadderFit)]
    measures = tuple(dict.fromkeys([first.settings, *ladders]))
    leg = Rehearse(path=next(first.path.prefixes()), measures=measures, **about)
    return {leg.name: leg}


class Plan(NamedTuple):
    """Legs by name; for each sweep (by its position) and seed, the names of the legs it needs."""

    legs: dict[str, Leg]
    needs: dict[tuple[int, int], set[str]]


def plan(
    asked: Sequence[tuple[Sweep, Mapping[str, Setup]]], root: File, costs: Costs | None = None
) -> Plan:
    """What these sweeps would train and read, the first sweep and seed first.

    `costs` are those of readings; by default, those that were measured below the root.
    """
    builder, needs = _Builder(root, costs or Costs(root)), dict[tuple[int, int], set[str]]()
    for place, (sweep, setups) in enumerate(asked):
        for seed in sweep.seed_range:
            builder.rank, builder.title = (place, seed), f"{sweep.name} seed {seed}: "
            paths = {arm: sweep.path(setup, seed, arm) for arm, setup in setups.items()}
            each = [builder.arm(sweep, path, arm) for arm, path in paths.items()]
            needs[place, seed] = set[str]().union(*each)
    return Plan(builder.legs, needs)


class _Builder:
    """Adds legs to a graph; what is on disk needs none.

    Every method returns the names of the legs that are needed, directly or through others.
    """

    def __init__(self, root: File, costs: Costs):
        self.root, self.costs, self.legs = root, costs, dict[str, Leg]()
        self.title, self.rank = "", (0, 0)

    def arm(self, sweep: Sweep, path: Recipe, arm: str) -> set[str]:
        """What one arm needs with one seed."""
        measures, first = sweep.measures(arm), next(path.prefixes())
        needed = self._refer(first, sweep.reading)
        if path.parent:
            needed |= self._read(first, "", [int(first.stage.steps)], measures)
        return needed | self._read(path, arm, sweep.points(path, arm), measures)

    def _read(
        self, path: Recipe, arm: str, points: Sequence[int], measures: Sequence[Measure]
    ) -> set[str]:
        """Reads a run at these points; `measures[0]` is the sweep's reading."""
        run, settings, all_needed = Run(self.root, path), measures[0], set[str]()
        assert isinstance(settings, LadderFit)
        first = next(path.prefixes())
        for step in points:
            left = readings.unread(run, measures, step)
            if not left:
                continue
            needed = self._train(first, "", [int(first.stage.steps)]) | self._refer(first, settings)
            if not run.has(step):
                needed |= self._train(path, arm, points)
            leg = Read(
                **self._common(path, arm, needed),
                cost=0,
                settings=settings,
                step=step,
                measures=tuple(left),
            )
            old = self.legs.get(leg.name, leg)
            assert isinstance(old, Read)
            wanted = tuple(dict.fromkeys(old.measures + leg.measures))
            cost = sum(self.costs.of(measure.name) for measure in wanted)
            self.legs[leg.name] = dataclasses.replace(old, measures=wanted, cost=cost)
            all_needed |= needed | {leg.name}
        return all_needed

    def _refer(self, path: Recipe, settings: LadderFit) -> set[str]:
        if readings.base_file(Run(self.root, path).folder, settings).exists():
            return set()
        needed = self._train(path, "", [int(path.stage.steps)])
        leg = Refer(
            **self._common(path, "reference", needed),
            cost=self.costs.of(readings.REFERENCE, BASE_STEPS),
            settings=settings,
        )
        self.legs.setdefault(leg.name, leg)
        return needed | {leg.name}

    def _train(self, path: Recipe, arm: str, points: Sequence[int]) -> set[str]:
        run = Run(self.root, path)
        if all(map(run.has, points)):
            return set()
        parent = path.parent
        needed = self._train(parent, "", [int(parent.stage.steps)]) if parent else set[str]()
        place, seed = self.rank
        # Pretraining comes a seed early: nothing else of a seed can begin before it.
        common = self._common(path, arm, needed) | {"rank": (place, seed - (not parent))}
        leg = Train(**common, cost=0, points=tuple(points))
        old = self.legs.get(leg.name, leg)
        assert isinstance(old, Train)
        wanted = tuple(sorted({*old.points, *points}))
        first, last = execute.to_train(run, wanted)
        self.legs[leg.name] = dataclasses.replace(old, points=wanted, cost=last - first)
        return needed | {leg.name}

    def _common(self, path: Recipe, arm: str, after: Iterable[str]) -> dict[str, Any]:
        title = self.title + (arm or "-".join(stage.label for stage in path.stages))
        return {"path": path, "title": title, "rank": self.rank, "after": frozenset(after)}
