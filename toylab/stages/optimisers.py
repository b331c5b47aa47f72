"""Optimisers: how a stage turns gradients into updates."""

import abc
import dataclasses
from collections.abc import Callable, Collection

import optax
from jaxtyping import Array
from optax.contrib import MuonDimensionNumbers, muon

from toylab.policy.network import Params
from toylab.stages.traced import Traced, choice, number

Scalar = Array | float  # a config's numbers are traced while it trains
Schedule = Callable[[Scalar], optax.ScalarOrSchedule]  # from the peak learning rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimiser(Traced, abc.ABC):
    """The settings of an `optax` transformation."""

    @abc.abstractmethod
    def transformation(
        self, peak: Scalar, schedule: Schedule, tables: Collection[str]
    ) -> optax.GradientTransformation:
        """The transformation. `peak` is the peak learning rate; for `tables` see `Network`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam(Optimiser):
    """AdamW (Loshchilov & Hutter 2019)."""

    b1: float = choice(0.9, low=0.0, high=0.99999, help="decay of the mean of gradients")
    b2: float = choice(0.99, low=0.0, high=0.99999, help="decay of the mean of their squares")
    weight_decay: float = choice(0.0, low=0.0, help="weight decay per step, in learning rates")

    def transformation(
        self, peak: Scalar, schedule: Schedule, tables: Collection[str]
    ) -> optax.GradientTransformation:
        return optax.adamw(schedule(peak), b1=self.b1, b2=self.b2, weight_decay=self.weight_decay)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Muon(Optimiser):
    """Muon on matrices that map activations to activations, Adam on all else (Jordan et al. 2024).

    With `rms`, a matrix's update is scaled to a root mean square of `rms` times the learning rate.
    At 0.2, Adam's updates are about as large (Liu et al. 2025), so one rate suits both optimisers.
    """

    momentum: float = choice(0.9, low=0.0, high=0.99999, help="decay of the mean of gradients")
    b2: float = choice(
        0.99, low=0.0, high=0.99999, help="decay of Adam's mean of squared gradients"
    )
    rms: float = choice(
        0.2, low=0.0, help="RMS of a matrix's update, in learning rates; 0: unscaled"
    )
    table_rate: float = number(1.0, help="Adam's learning rate relative to that of matrices")

    def transformation(
        self, peak: Scalar, schedule: Schedule, tables: Collection[str]
    ) -> optax.GradientTransformation:
        def matrices(params: Params) -> dict[str, MuonDimensionNumbers | None]:
            maps = {
                name  # parameters that optax has masked have no ndim
                for name, value in params.items()
                if name not in tables and getattr(value, "ndim", 0) == 2
            }
            return {name: MuonDimensionNumbers() if name in maps else None for name in params}

        return muon(
            schedule(peak),
            beta=self.momentum,
            adam_b2=self.b2,
            adam_learning_rate=schedule(self.table_rate * peak),
            weight_decay=0.0,
            consistent_rms=self.rms or None,
            muon_weight_dimension_numbers=matrices,
        )


KINDS = {"kinds": {"adam": Adam, "muon": Muon}}  # the metadata of a field that holds an optimiser
