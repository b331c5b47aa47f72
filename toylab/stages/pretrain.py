"""Pretraining: next-token loss on fresh documents."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float
from optax.contrib import MuonDimensionNumbers, muon

from toylab.stages import losses
from toylab.stages.base import Context, Metrics, Params, Stage, choice, number
from toylab.world import bayes
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import PAD

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

    Embeddings and unembeddings are tables of rows, not maps, and go to Adam (Jordan et al. 2024).
    """
    tables = ("embedding", "position", "unembedding")
    return {name: None if name in tables else MuonDimensionNumbers() for name in params}


class Lesson(NamedTuple):
    """Documents, and for each of their words the distribution over the next to be learned."""

    documents: Documents
    target: Float[Array, "B L V"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretrain(Stage):
    """Next-token loss on all words of fresh documents: Muon on matrices, Adam on tables.

    The loss of a word is averaged over what might have come there, which the world knows exactly:
    summed over words, the same loss on average as on those that did come, and the same gradient,
    with less noise. `sampled` trains on the words themselves, as one must where nobody knows the
    cast.
    """

    steps: int = number(800, low=0, help="optimiser steps")
    batch: int = choice(64, help="documents a step")
    learning_rate: float = number(0.02, help="peak rate of the matrices (Muon)")
    embedding_rate: float = number(0.03, help="peak rate of the embeddings (Adam)")
    warmup: int = number(50, help="steps of warm-up")
    sampled: bool = choice(False, help="learn from the words that came, not from all that might")

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Lesson:
        world, progress = context.world, step / self.steps
        documents = docs.sample(world, jax.random.fold_in(key, step), self.batch, progress)
        if self.sampled:
            words = jax.nn.one_hot(documents.tokens[:, 1:], world.grammar.vocabulary)
            target = words * (documents.role[:, 1:, None] != PAD)
            return Lesson(documents, jnp.pad(target, ((0, 0), (0, 1), (0, 0))))
        prior = docs.prior(world, documents.prompt.tag, progress)
        return Lesson(documents, bayes.next_word(world, prior, documents))

    def loss(self, context: Context, params: Params, batch: Lesson) -> tuple[Array, Metrics]:
        logits = context.logits(params, batch.documents.tokens)
        return losses.expected_cross_entropy(logits, batch.target), {}

    def transformation(self) -> optax.GradientTransformation:
        return muon(
            linear(self.learning_rate, self.steps, self.warmup),
            beta=0.9,
            adam_learning_rate=linear(self.embedding_rate, self.steps, self.warmup),
            adam_b2=0.95,
            weight_decay=0.0,
            muon_weight_dimension_numbers=matrices,
        )
