"""Which optimiser, schedule and batch bring `village` to a small excess in the fewest steps?

    PYTHONPATH=. .venv/bin/python benchmarks/search.py [SEED] [NAME ...]

Pretrains once for every variation (all, or those named). Prints steps, batch, seconds without
compilation, and the excess on answers (nats per token, 8,192 documents). Each takes about half a
minute.
"""

import dataclasses
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon

from toylab.measures.calibration import excess
from toylab.policy.transformer import ModelConfig
from toylab.stages import Optimiser, Pretrain, Setup, base, begin, segments, train_key
from toylab.stages.base import EVALUATE, Params
from toylab.stages.optimisers import Scalar, Schedule
from toylab.stages.pretrain import linear
from toylab.stages.traced import choice
from toylab.world import derive

ROOT = Path(__file__).parent.parent
DOCUMENTS = 8192
TABLES = ("embedding", "position", "unembedding")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariedMuon(Optimiser):
    """Muon with more settings exposed, its own and Adam's."""

    newton_schulz: int = choice(5)
    momentum: float = choice(0.9)
    b2: float = choice(0.95)
    by_adam: tuple[str, ...] = choice(TABLES)  # the rest goes to Muon
    table_rate: float = choice(0.03)

    def transformation(
        self, peak: Scalar, schedule: Schedule, tables: Collection[str]
    ) -> optax.GradientTransformation:
        def chosen(params: Params) -> dict:
            return {n: None if n in self.by_adam else MuonDimensionNumbers() for n in params}

        return muon(
            schedule(peak),
            ns_steps=self.newton_schulz,
            beta=self.momentum,
            adam_b2=self.b2,
            adam_learning_rate=schedule(self.table_rate),
            weight_decay=0.0,
            muon_weight_dimension_numbers=chosen,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Varied(Pretrain):
    """Pretraining with other decays of the learning rate and other initial parameters."""

    optimiser: Optimiser = dataclasses.field(default=VariedMuon())
    power: float = choice(1.0)  # of the decay: 1 is linear
    initial: tuple[tuple[str, float], ...] = choice(())  # factors of initial parameters, by name

    def schedule(self, peak: Scalar) -> optax.Schedule:
        straight = linear(1.0, self.steps, self.warmup)
        return lambda step: peak * straight(step) ** self.power


BEFORE = VariedMuon(momentum=0.95, by_adam=TABLES[:2], table_rate=0.02)
DOWN = tuple((f"{name}{i}", 0.0) for name in ("out", "down") for i in (0, 1))
SLOW = VariedMuon(table_rate=0.02)
VARIATIONS: dict[str, Varied] = {
    name: dataclasses.replace(Varied(steps=600), **change)
    for name, change in {
        "plain": {},
        "plain-300": {"steps": 300},
        "plain-800": {"steps": 800},
        "plain-1000": {"steps": 1000},
        "muon-.03": {"learning_rate": 0.03},
        "tables-.02": {"optimiser": SLOW},
        "tables-.05-300": {
            "optimiser": VariedMuon(table_rate=0.05),
            "learning_rate": 0.03,
            "steps": 300,
        },
        "batch-32": {"batch": 32},
        "batch-32-1400": {"batch": 32, "steps": 1400},
        "batch-16-2400": {"batch": 16, "steps": 2400, "optimiser": SLOW},
        "newton-schulz-3": {"optimiser": VariedMuon(newton_schulz=3)},
        "momentum-.95": {"optimiser": VariedMuon(momentum=0.95)},
        "unembedding-by-muon": {"optimiser": VariedMuon(by_adam=TABLES[:2])},
        "adam-b2-.99": {"optimiser": VariedMuon(b2=0.99)},
        "power-1.5": {"power": 1.5},
        "zero-outputs": {"initial": DOWN},
        "embedding-init-.1": {"initial": (("embedding", 0.2),)},
        "sampled": {"sampled": True},
        "sampled-1600": {"sampled": True, "steps": 1600},
        "sampled-1600-before": {"sampled": True, "steps": 1600, "optimiser": BEFORE},
        "before": {"optimiser": BEFORE},
    }.items()
}


def train(setup: Setup, stage: Varied, seed: int) -> Iterator[tuple[Params, float]]:
    """Parameters, and seconds, after one step (compiling) and at the end."""
    params = setup.init(seed)
    scale = dict(stage.initial)
    state = begin(
        setup, stage, {name: value * scale.get(name, 1.0) for name, value in params.items()}
    )
    began = time.perf_counter()
    for after, _ in segments(setup, stage, state, train_key(seed, 0), (1, int(stage.steps))):
        jax.block_until_ready(after)
        yield after.params, time.perf_counter() - began


def main(seed: int, names: list[str]) -> None:
    setup = Setup(derive.load(ROOT / "corpora" / "village.toml"), ModelConfig())
    key = jax.random.fold_in(jax.random.key(seed), EVALUATE)
    print(f"{'variation':36} steps batch seconds excess")
    for name in names or VARIATIONS:
        stage = VARIATIONS[name]
        (_, compiled), (params, total) = train(setup, stage, seed)
        at = float(excess(setup.network, setup.world, params, key, DOCUMENTS)["answers"])
        print(
            f"{name:36} {int(stage.steps):5} {stage.batch:5} {total - compiled:7.1f} {at:.4f}",
            flush=True,
        )
        base._advance.clear_cache()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, sys.argv[2:])
