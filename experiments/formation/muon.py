"""Supervised fine-tuning by another optimiser."""

import dataclasses

import optax

from experiments.goal_ablations import muon
from toylab.stages import Sft


@dataclasses.dataclass(frozen=True, kw_only=True)
class SftMuon(Sft):
    """`Sft` by Muon at a constant rate."""

    def transformation(self) -> optax.GradientTransformation:
        return muon.steady_muon(self.learning_rate)
