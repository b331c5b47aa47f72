"""Pretraining: next-token loss on fresh documents."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from toylab.stages import losses
from toylab.stages.base import Context, Metrics, Params, Stage
from toylab.stages.optimisers import KINDS, Muon, Optimiser, Scalar
from toylab.stages.traced import choice, number
from toylab.world import bayes
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import PAD


def linear(peak: Scalar, steps: Scalar, warmup: Scalar) -> optax.Schedule:
    """Linear warm-up over `warmup` steps, then linear decay to zero at `steps`."""

    def schedule(step: Array) -> Array:
        up = (step + 1) / jnp.maximum(warmup, 1)
        down = (steps - step) / jnp.maximum(steps - warmup, 1)
        return peak * jnp.clip(jnp.minimum(up, down), 0.0, 1.0)

    return schedule


class Lesson(NamedTuple):
    """Documents, and the target distribution of the next word after each word but the last."""

    documents: Documents
    target: Float[Array, "B L-1 V"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretrain(Stage):
    """Next-token loss on fresh documents, over all words but the tag.

    The target is the exact distribution of each word, given those before. Summed over words, the
    loss has the same mean as with sampled words, but less noise. `sampled` trains on sampled words
    instead. The learning rate rises for `warmup` updates, then falls linearly to 0.
    """

    steps: int = number(800, low=1, help="training steps")
    learning_rate: float = number(0.02, help="peak learning rate")
    optimiser: Optimiser = dataclasses.field(
        default=Muon(b2=0.95, rms=0.0, table_rate=1.5), metadata=KINDS
    )
    warmup: int = number(50, help="updates of warm-up")
    sampled: bool = choice(
        False, help="train on the sampled words, not on their exact distribution"
    )

    def documents(self, context: Context, key: Array, progress: Array) -> Documents:
        """The documents of a step when the fraction `progress` of training is done."""
        return docs.sample(context.world, key, self.batch, progress)

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Lesson:
        world, progress = context.world, step / self.steps
        documents = self.documents(context, jax.random.fold_in(key, step), progress)
        if self.sampled:
            words = jax.nn.one_hot(documents.tokens[:, 1:], world.grammar.vocabulary)
            return Lesson(documents, words * (documents.role[:, 1:, None] != PAD))
        prior = docs.prior(world, documents.prompt.tag, progress)
        return Lesson(documents, bayes.next_word(world, prior, documents)[:, :-1])

    def loss(self, context: Context, params: Params, batch: Lesson) -> tuple[Array, Metrics]:
        logits = context.logits(params, batch.documents.tokens)
        return losses.expected_cross_entropy(logits, batch.target), {}

    def schedule(self, peak: Scalar) -> optax.Schedule:
        return linear(peak, self.steps * self.updates, self.warmup)
