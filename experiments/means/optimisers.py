"""Reinforcement learning by other optimisers than Adam as it comes."""

import dataclasses

import optax
from optax.contrib import muon

from toylab.stages import Rl
from toylab.stages.base import choice
from toylab.stages.pretrain import matrices

OPTIMISERS = ("muon", "sgd", "coarse")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RlBy(Rl):
    """`Rl` by Muon (on matrices; Adam on tables), by gradient descent with momentum, or by Adam
    that is *coarse*: with an epsilon of 1e-3, under which gradients count by their size instead of
    being blown up to steps of the learning rate.
    """

    optimiser: str = choice("muon", help=", ".join(OPTIMISERS))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"rlby.optimiser: {self.optimiser!r}; try {', '.join(OPTIMISERS)}")

    @property
    def label(self) -> str:
        return f"{super().label}-{self.optimiser}"

    def transformation(self) -> optax.GradientTransformation:
        if self.optimiser == "sgd":
            return optax.sgd(self.learning_rate, momentum=0.9)
        if self.optimiser == "coarse":
            return optax.adamw(self.learning_rate, b2=0.99, eps=1e-3, weight_decay=0.0)
        return muon(
            self.learning_rate,
            beta=0.9,
            adam_b2=0.99,
            weight_decay=0.0,
            adam_weight_decay=0.0,
            muon_weight_dimension_numbers=matrices,
        )
