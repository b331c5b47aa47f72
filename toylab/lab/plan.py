"""The graph of what some sweeps still have to train and read.

A run is trained after the run that it starts from. Each pretrained model has a *reference*, with
which all readings compare: the exact cast and the cast as the model learned it. It is prepared
after pretraining. Readings wait for it and for their snapshot. Work that several sweeps need is
done once.
"""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path as File
from typing import Any, NamedTuple, TypeVar

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

BASE_STEPS = 120  # assumed cost of a reference, in training steps, until it is measured


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leg(abc.ABC):
    """A task of the graph. `cost` is in training steps; `done` says what was done.

    `title` names the first sweep and seed that need it, and the arm, or what arms share.
    """

    path: Recipe
    title: str
    rank: tuple[int, ...]
    after: frozenset[str]
    cost: int

    @property
    def name(self) -> str:
        return self.path.name

    @property
    @abc.abstractmethod
    def done(self) -> str: ...

    @abc.abstractmethod
    def run(self, root: File, advance: Advance = quietly) -> Times:
        """Does the work, unless it is done; returns how long its parts took."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Leg):
    """Trains a run until its snapshots at these steps are on disk."""

    points: tuple[int, ...]

    @property
    def done(self) -> str:
        return f"trained, {self.cost} steps"

    def run(self, root: File, advance: Advance = quietly) -> Times:
        return execute.train(Run(root, self.path), self.points, advance)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refer(Leg):
    """Prepares the pretrained model's reference."""

    settings: LadderFit

    done = "prepared"

    @property
    def name(self) -> str:
        return f"{self.path.name} reference {readings.measure_digest(self.settings, self.settings)}"

    def run(self, root: File, advance: Advance = quietly) -> Times:
        _, (_, times) = readings.pretrained(root, Run(root, self.path), self.settings)
        advance(self.cost)
        return times


@dataclasses.dataclass(frozen=True, kw_only=True)
class Read(Leg):
    """Reads one snapshot with those measures that have not read it yet."""

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
    """Reads an untrained model, so that other workers find the compiled code."""

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
    """A `Rehearse` to run alongside, if the first reading has to wait for training."""
    reads = [leg for leg in legs.values() if isinstance(leg, Read)]
    first = min(reads, key=lambda leg: leg.rank, default=None)
    if not first or not any(isinstance(legs[name], Train) for name in first.after):
        return {}
    about: dict[str, Any] = {"title": "compiling", "rank": (), "after": frozenset(), "cost": 0}
    alike = [leg for leg in reads if leg.path.setup == first.path.setup]
    ladders = [each for leg in alike for each in leg.measures if isinstance(each, LadderFit)]
    measures = tuple(dict.fromkeys([first.settings, *ladders]))
    leg = Rehearse(path=first.path.first, measures=measures, **about)
    return {leg.name: leg}


L = TypeVar("L", bound=Leg)


class Plan(NamedTuple):
    """Legs by name; for each sweep (by its position) and seed, the names of the legs it needs."""

    legs: dict[str, Leg]
    needs: dict[tuple[int, int], set[str]]


def plan(
    asked: Sequence[tuple[Sweep, Mapping[str, Setup]]], root: File, costs: Costs | None = None
) -> Plan:
    """All that these sweeps still have to train and read. Earlier sweeps and seeds go first.

    `costs` are the costs of readings, by default those in `costs.json` below the root.
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
    """Adds legs to a graph, but none for results that are on disk.

    A method that returns names returns those of all legs needed, directly or indirectly.
    """

    def __init__(self, root: File, costs: Costs):
        self.root, self.costs, self.legs = root, costs, dict[str, Leg]()
        self.title, self.rank = "", (0, 0)

    def arm(self, sweep: Sweep, path: Recipe, arm: str) -> set[str]:
        measures = sweep.measures(arm)
        needed = self._refer(path.first, sweep.reading)
        if path.parent:
            needed |= self._read(path.first, "", [path.first.last], measures)
        return needed | self._read(path, arm, sweep.points(path, arm), measures)

    def _read(
        self, path: Recipe, arm: str, points: Sequence[int], measures: Sequence[Measure]
    ) -> set[str]:
        """Reads a run at these points; `measures[0]` is the sweep's ladder."""
        run, settings, all_needed = Run(self.root, path), measures[0], set[str]()
        assert isinstance(settings, LadderFit)
        for step in points:
            if not (left := readings.unread(run, measures, step)):
                continue
            needed = self._train(path.first) | self._refer(path.first, settings)
            if not run.has(step):
                needed |= self._train(path, arm, points)
            leg = self._leg(Read, path, arm, needed, settings=settings, step=step, measures=())
            wanted = tuple(dict.fromkeys((*leg.measures, *left)))
            cost = sum(self.costs.of(measure.name) for measure in wanted)
            self.legs[leg.name] = dataclasses.replace(leg, measures=wanted, cost=cost)
            all_needed |= needed | {leg.name}
        return all_needed

    def _refer(self, path: Recipe, settings: LadderFit) -> set[str]:
        if readings.base_file(Run(self.root, path).folder, settings).exists():
            return set()
        needed = self._train(path)
        leg = self._leg(Refer, path, "reference", needed, settings=settings)
        cost = self.costs.of(readings.REFERENCE, BASE_STEPS)
        self.legs[leg.name] = dataclasses.replace(leg, cost=cost)
        return needed | {leg.name}

    def _train(self, path: Recipe, arm: str = "", points: Sequence[int] = ()) -> set[str]:
        """Trains a run to these points, by default to its end."""
        run, points = Run(self.root, path), points or [path.last]
        if all(map(run.has, points)):
            return set()
        needed = self._train(path.parent) if path.parent else set[str]()
        leg = self._leg(Train, path, arm, needed, points=())
        wanted = tuple(sorted({*leg.points, *points}))
        first, last = execute.to_train(run, wanted)
        self.legs[leg.name] = dataclasses.replace(leg, points=wanted, cost=last - first)
        return needed | {leg.name}

    def _leg(self, kind: type[L], path: Recipe, arm: str, after: set[str], **own: Any) -> L:
        """The leg that is already in the graph, or a new one of cost 0."""
        place, seed = self.rank
        early = kind is Train and not path.parent  # a rank earlier, as its whole seed waits for it
        leg = kind(
            path=path,
            title=self.title + (arm or "-".join(stage.label for stage in path.stages)),
            rank=(place, seed - early),
            after=frozenset(after),
            cost=0,
            **own,
        )
        old = self.legs.get(leg.name, leg)
        assert isinstance(old, kind)
        return old
