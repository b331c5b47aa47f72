"""Reinforcement learning by another optimiser."""

import dataclasses

import optax
from optax.contrib import muon

from toylab.stages import Rl, pretrain

RMS = 0.2  # of an update over its rate, about what Adam's is (Liu et al. 2025)


def steady_muon(rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    """Muon on matrices and Adam on tables, as in pretraining, at a constant rate.

    Updates of matrices are scaled to be as large as Adam's, so that one rate serves both.
    """
    return muon(
        rate,
        beta=0.9,
        adam_b2=0.99,
        weight_decay=0.0,
        adam_weight_decay=0.0,
        muon_weight_dimension_numbers=pretrain.matrices,
        consistent_rms=RMS,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RlMuon(Rl):
    """`Rl` by `steady_muon`."""

    def transformation(self) -> optax.GradientTransformation:
        return steady_muon(self.learning_rate)
