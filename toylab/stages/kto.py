"""Kahneman-Tversky optimisation: single answers, each desirable or not."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from toylab.stages import losses
from toylab.stages.base import Context, Metrics, Params
from toylab.stages.targets import RewardStage
from toylab.stages.traced import number
from toylab.world.documents import Documents


class Judged(NamedTuple):
    """Documents, log π_ref of each one's answers, whether it is desirable, and KL(π ‖ π_ref)."""

    documents: Documents
    reference: Float[Array, " B"]
    desirable: Bool[Array, " B"]
    divergence: Float[Array, ""]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kto(RewardStage):
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024, eq. 8) on whole documents.

    The reference writes the documents. Each is desirable with probability sigmoid(reward − level).
    KL(π ‖ π_ref) is estimated on documents that the model writes for the same prompts. (The paper
    uses answers to other prompts.) No gradient flows through it.
    """

    beta: float = number(0.1, low=1e-6, help="weight of log(model / reference), per nat")
    level: float = number(0.5, help="the reward that is desirable half the time")
    desirable: float = number(1.0, help="weight of desirable documents")
    undesirable: float = number(1.0, help="weight of the others")

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Judged:
        keys = jax.random.split(jax.random.fold_in(key, step), 4)
        what = self.prompt(context, keys[0], self.batch)
        documents = self.answer(context, reference, what, keys[1])
        own = self.answer(context, params, what, keys[2])
        moved = self.score(context, params, own) - self.score(context, reference, own)
        chance = jax.nn.sigmoid(self.reward(context, documents) - self.level)
        return Judged(
            documents,
            self.score(context, reference, documents),
            jax.random.bernoulli(keys[3], chance),
            jnp.maximum(jnp.mean(moved), 0.0),
        )

    def loss(self, context: Context, params: Params, batch: Judged) -> tuple[Array, Metrics]:
        ratio = self.score(context, params, batch.documents) - batch.reference
        weight = jnp.where(batch.desirable, self.desirable, self.undesirable)
        loss = losses.kto_loss(ratio, batch.desirable, weight, batch.divergence, self.beta)
        return loss, {"kl": batch.divergence, "desirable": jnp.mean(batch.desirable * 1.0)}
