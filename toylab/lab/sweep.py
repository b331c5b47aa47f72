"""What an experiment trains and reads, as plain values."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from toylab.lab import machine
from toylab.lab.paths import Recipe
from toylab.ladder.measure import Measure
from toylab.ladder.reading import LadderFit
from toylab.policy.network import Model
from toylab.policy.transformer import ModelConfig
from toylab.stages import Pretrain, Setup, Stage
from toylab.world.schema import Corpus

QUICK_SEED = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to post-train: the stages after pretraining.

    The last stage is read at the steps in `read_at` and at its end. Without stages, pretraining is
    read. Corpus, model and pretraining are the sweep's unless the arm has its own. `corpus` is a
    name, a file, or a `Corpus`, such as one drawn at random. `watch` has measures besides those of
    the sweep.
    """

    title: str
    stages: tuple[Stage, ...] = ()
    read_at: tuple[int, ...] = ()
    corpus: str | Corpus = ""
    model: Model | None = None
    pretrain: Pretrain | None = None
    watch: tuple[Measure, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """An experiment's arms over seeds. Arms share pretrained models where they can.

    Every snapshot that an arm reads is put on the ladder, with the settings in `reading`, and given
    to the measures in `watch`. The command `all` skips a `long` sweep unless it is given `--long`.
    If `corpus` is empty, every arm has its own. Claims are registered for `seeds` seeds, counted
    from `first_seed`. Explore on other seeds, from 1000 on.
    """

    name: str
    question: str
    arms: Mapping[str, Arm]
    corpus: str = ""
    model: Model = dataclasses.field(default_factory=ModelConfig)
    pretrain: Pretrain = dataclasses.field(default_factory=Pretrain)
    reading: LadderFit = dataclasses.field(default_factory=LadderFit)
    watch: tuple[Measure, ...] = ()
    seeds: int = 10
    first_seed: int = 100
    quick: bool = False
    long: bool = False

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"seeds: {self.seeds} must be at least 1")

    @property
    def seed_range(self) -> range:
        return range(self.first_seed, self.first_seed + self.seeds)

    def measures(self, arm: str) -> tuple[Measure, ...]:
        """All measures of an arm; the first is the ladder."""
        return (self.reading, *self.watch, *self.arms[arm].watch)

    def map(self, change: Callable[[Any, str, str], Any]) -> "Sweep":
        """The sweep with every config changed by `change(config, name, arm or "")`.

        Of several stages of one kind in an arm, the second is called, for example, `sft@2`. A model
        that belongs to an arm isn't changed.
        """

        def watched(measures: tuple[Measure, ...], arm: str = "") -> tuple[Measure, ...]:
            return tuple(change(measure, measure.name, arm) for measure in measures)

        top = {name: getattr(self, name) for name in ("model", "reading", "pretrain")}
        changed: dict[str, Any] = {name: change(each, name, "") for name, each in top.items()}
        changed["watch"] = watched(self.watch)
        arms = {
            name: dataclasses.replace(
                arm,
                stages=tuple(change(*each, name) for each in _named(arm.stages)),
                pretrain=arm.pretrain and change(arm.pretrain, "pretrain", name),
                watch=watched(arm.watch, name),
            )
            for name, arm in self.arms.items()
        }
        return dataclasses.replace(self, arms=arms, **changed)

    def setups(self, find: Callable[[str], Corpus]) -> dict[str, Setup]:
        """The setup of each arm; `find` loads a corpus by name or file."""
        asked = {name: arm.corpus or self.corpus for name, arm in self.arms.items()}
        corpora = {each: find(each) for each in set(asked.values()) if isinstance(each, str)}
        return {
            name: Setup(
                corpora[each] if isinstance(each, str) else each,
                self.arms[name].model or self.model,
            )
            for name, each in asked.items()
        }

    def path(self, setup: Setup, seed: int, arm: str) -> Recipe:
        pretrain = self.arms[arm].pretrain or self.pretrain
        return Recipe(setup, seed, (pretrain, *self.arms[arm].stages))

    def points(self, path: Recipe, arm: str) -> tuple[int, ...]:
        """The steps of the arm's last stage that are read; the last step is always among them."""
        last = path.last
        return tuple(sorted({p for p in self.arms[arm].read_at if p < last} | {last}))

    def check(self, setups: Mapping[str, Setup]) -> None:
        """Raises `ValueError` if names clash, memory is short, or a corpus lacks what is named."""
        for name, arm in self.arms.items():
            setup, measures = setups[name], self.measures(name)
            called = [measure.name for measure in measures]
            for each in called:
                if called.count(each) > 1:
                    raise ValueError(f"watch: two measures are called {each!r}; watch one of them")
            for measure in measures:
                measure.check(setup)
            for stage in arm.stages:
                try:
                    stage.check(setup.corpus)
                except ValueError as error:
                    raise ValueError(f"{name}.{error}") from None
            machine.check(setup, (arm.pretrain or self.pretrain, *arm.stages), measures)


def _named(stages: tuple[Stage, ...]) -> Iterator[tuple[Stage, str]]:
    kinds = [stage.kind for stage in stages]
    for place, (stage, kind) in enumerate(zip(stages, kinds, strict=True)):
        yield stage, f"{kind}@{kinds[: place + 1].count(kind)}" if kinds.count(kind) > 1 else kind


def quick(sweep: Sweep) -> Sweep:
    """The sweep with less of everything, on two development seeds (one if it is `long`)."""

    def shorter(config: Any, name: str, arm: str) -> Any:
        if isinstance(config, Stage):
            return config.lasting(min(config.steps, 150 if name == "pretrain" else 20))
        return config.smaller() if isinstance(config, Measure) else config

    short = sweep.map(shorter)
    arms = {
        name: dataclasses.replace(arm, read_at=tuple(p for p in arm.read_at if p <= 20)[:2])
        if arm.stages
        else arm
        for name, arm in short.arms.items()
    }
    seeds = 1 if sweep.long else 2
    return dataclasses.replace(short, arms=arms, seeds=seeds, first_seed=QUICK_SEED, quick=True)
