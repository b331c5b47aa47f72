"""Supervised fine-tuning by another optimiser."""

import dataclasses
from types import ModuleType

import optax

from experiments.means import muon
from toylab.stages import Sft, pretrain, sft


@dataclasses.dataclass(frozen=True, kw_only=True)
class SftMuon(Sft):
    """`Sft` by Muon at a constant rate."""

    @property
    def modules(self) -> tuple[ModuleType, ...]:
        return (*super().modules, sft, pretrain, muon)

    def transformation(self) -> optax.GradientTransformation:
        return muon.steady_muon(self.learning_rate)
