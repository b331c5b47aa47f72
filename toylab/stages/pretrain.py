"""Pretraining: next-token loss on fresh documents."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array
from optax.contrib import MuonDimensionNumbers, muon

from toylab import world as worlds
from toylab.grammar import PAD
from toylab.stages import losses
from toylab.stages.base import Context, Metrics, Params, Stage, choice, number
from toylab.world import Documents

Scalar = Array | float  # a stage's numbers are traced while it trains


def linear(peak: Scalar, steps: Scalar, warmup: Scalar) -> optax.Schedule:
    """Up over `warmup` steps, then straight down to zero at `steps`."""

    def schedule(step: Array) -> Array:
        up = (step + 1) / jnp.maximum(warmup, 1)
        down = (steps - step) / jnp.maximum(steps - warmup, 1)
        return peak * jnp.clip(jnp.minimum(up, down), 0.0, 1.0)

    return schedule


def matrices(params: Params) -> dict[str, MuonDimensionNumbers | None]:
    """Which parameters Muon orthogonalises: the matrices that map activations to activations.

    Embeddings are tables of rows, not maps, and go to Adam (Jordan et al. 2024).
    """
    return {
        name: None if name in ("embedding", "position") else MuonDimensionNumbers()
        for name in params
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretrain(Stage):
    """Next-token loss on all words of fresh documents: Muon on matrices, Adam on embeddings."""

    steps: int = number(1600, low=0, help="optimiser steps")
    batch: int = choice(64, help="documents a step")
    learning_rate: float = number(0.02, help="peak rate of the matrices (Muon)")
    embedding_rate: float = number(0.02, help="peak rate of the embeddings (Adam)")
    warmup: int = number(50, help="steps of warm-up")

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Documents:
        key = jax.random.fold_in(key, step)
        return worlds.sample(context.world, key, self.batch, step / self.steps)

    def loss(self, context: Context, params: Params, batch: Documents) -> tuple[Array, Metrics]:
        logits = context.logits(params, batch.tokens)
        return losses.cross_entropy(logits, batch.tokens, batch.role != PAD), {}

    def transformation(self) -> optax.GradientTransformation:
        return muon(
            linear(self.learning_rate, self.steps, self.warmup),
            adam_learning_rate=linear(self.embedding_rate, self.steps, self.warmup),
            adam_b2=0.95,
            weight_decay=0.0,
            muon_weight_dimension_numbers=matrices,
        )
