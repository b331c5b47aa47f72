"""What an experiment asks to be trained and read: values only."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.figure
import pandas as pd

from toylab.claims import Claim
from toylab.corpus import Corpus, unknown
from toylab.grammar import tag_names
from toylab.lab.paths import Path
from toylab.measures.reading import Settings
from toylab.model import ModelConfig
from toylab.stages import Lab, Pretrain, Stage

QUICK_SEED = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to post-train: stages after pretraining, and at which steps of the last to read."""

    title: str
    stages: tuple[Stage, ...]
    read_at: tuple[int, ...]

    def points(self) -> tuple[int, ...]:
        """The steps to read at, within the stage; its end is always one."""
        last = int(self.stages[-1].steps)
        return tuple(sorted({point for point in self.read_at if point < last} | {last}))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """An experiment's arms over seeds. All arms of a seed share one pretrained model."""

    name: str
    question: str
    corpus: str
    arms: Mapping[str, Arm]
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    pretrain: Pretrain = dataclasses.field(default_factory=Pretrain)
    reading: Settings = dataclasses.field(default_factory=Settings)
    seeds: int = 5
    first_seed: int = 0
    quick: bool = False

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"seeds: {self.seeds} must be at least 1")

    def pretrained(self, lab: Lab, seed: int) -> Path:
        """The path that all arms of a seed share."""
        return Path(lab, seed, (self.pretrain,))

    def path(self, lab: Lab, seed: int, arm: str) -> Path:
        """The path of one arm and seed."""
        return Path(lab, seed, (self.pretrain, *self.arms[arm].stages))

    def check(self, corpus: Corpus) -> None:
        """Raises `ValueError` if an arm or a reading names something that the corpus lacks."""
        if self.reading.tag not in tag_names(corpus):
            raise ValueError(f"reading.tag: {unknown(self.reading.tag, tag_names(corpus))}")
        for name, arm in self.arms.items():
            for stage in arm.stages:
                try:
                    stage.check(corpus)
                except ValueError as error:
                    raise ValueError(f"{name}.{error}") from None


def quick(sweep: Sweep) -> Sweep:
    """The same sweep on two scratch seeds with less of everything: plumbing, not science."""
    short = {
        name: dataclasses.replace(
            arm,
            stages=tuple(s.lasting(min(s.steps, 20)) for s in arm.stages),
            read_at=tuple(point for point in arm.read_at if point in (5, 20)),
        )
        for name, arm in sweep.arms.items()
    }
    return dataclasses.replace(
        sweep,
        arms=short,
        pretrain=dataclasses.replace(sweep.pretrain, steps=min(sweep.pretrain.steps, 300)),
        reading=dataclasses.replace(
            sweep.reading, fit=256, held_out=min(sweep.reading.held_out, 128), score=128
        ),
        seeds=2,
        first_seed=QUICK_SEED,
        quick=True,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Records:
    """All that an analysis sees: readings, and what the corpus and the pretrained models said.

    `rows` are dicts with `arm`, `seed`, `step` and a `reading`; step 0 is the pretrained snapshot.
    `bases` has, per seed, nuisances and the excess loss.
    """

    sweep: Sweep
    lab: Lab
    rows: list[dict[str, Any]]
    bases: dict[int, dict[str, Any]]

    def seeds(self) -> list[int]:
        """The seeds of which every arm is finished."""
        return sorted(self.bases)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Analysis:
    """What an experiment yields: one figure, one tidy table with its dictionary, some claims."""

    figure: matplotlib.figure.Figure
    table: pd.DataFrame
    columns: Mapping[str, str]
    claims: list[Claim]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A folder of `experiments/`: what to train, and what to make of the records."""

    sweep: Sweep
    analyse: Callable[[Records], Analysis]
