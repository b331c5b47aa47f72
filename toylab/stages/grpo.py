"""Group relative policy optimisation: several clipped updates on each draw."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from toylab.stages import losses
from toylab.stages.base import Context, Metrics, Params
from toylab.stages.rl import Rl, told
from toylab.stages.traced import choice, number
from toylab.world.documents import Documents


class Groups(NamedTuple):
    """The policy's documents, grouped by prompt; `left` as in `Rollouts`.

    `old` and `reference` are log-probabilities of the word at each decision: under the policy that
    wrote the documents, and under the reference (None if β = 0). `counted` marks those that exist.
    """

    documents: Documents
    left: Bool[Array, "B T S J"]
    reward: Float[Array, " B"]
    old: Float[Array, "B N"]
    reference: Float[Array, "B N"] | None
    counted: Bool[Array, "B N"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grpo(Rl):
    """Group relative policy optimisation (Shao et al. 2024, eq. 3), with outcome rewards.

    Documents are drawn as in `Rl`. A document's advantage is its reward minus the mean of its
    group, divided by the group's standard deviation. Each draw is used for `updates` gradient
    steps.
    """

    updates: int = choice(4, low=1, high=64, help="optimiser updates on each draw")
    beta: float = number(0.04, help="weight of KL(model || reference) in nats per word")
    clip: float = number(0.2, low=1e-6, help="how far a ratio of probabilities may move")

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Groups:
        documents, left = self.rollouts(context, params, key, step)
        old, counted = self.words(context, params, documents, left)
        before = self.words(context, reference, documents, left)[0] if reference else None
        earned = self.earned(context, documents, left)
        return Groups(documents, left, earned, old, before, counted)

    def loss(self, context: Context, params: Params, batch: Groups) -> tuple[Array, Metrics]:
        logp, _ = self.words(context, params, batch.documents, batch.left)
        advantage = losses.group_advantages(batch.reward.reshape(-1, self.samples)).reshape(-1)
        metrics, moved = told(batch.reward, batch.left), logp - batch.old
        before = jnp.zeros_like(logp)  # as if π_ref were π
        if batch.reference is not None:
            before = batch.reference - logp
            metrics["kl"] = -jnp.mean(jnp.sum(before, 1))
        loss = losses.grpo_loss(moved, before, advantage, batch.counted, self.clip, self.beta)
        return loss, metrics
