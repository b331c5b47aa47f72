"""Reinforcement learning: the model answers, and what is rewarded becomes likelier."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from toylab.stages import losses
from toylab.stages.base import Context, Metrics, Params
from toylab.stages.targets import RewardStage, rewards
from toylab.stages.traced import choice
from toylab.world.documents import Documents


class Rollouts(NamedTuple):
    """The model's documents, those of one outline side by side.

    Per document: the `reward` of all its answers, and log π_ref of them, the `reference`.
    """

    documents: Documents
    reward: Float[Array, " B"]
    reference: Float[Array, " B"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rl(RewardStage):
    """Policy gradient on the model's own answers, against a leave-one-out baseline.

    A batch is `batch / samples` outlines, each answered `samples` times. A document's return is its
    reward − β · log(π / π_ref) of all its answers: the KL is part of the reward, so the gradient is
    that of E[reward] − β · KL(π ‖ π_ref), whose optimum is π ∝ π_ref · exp(r/β) if all questions
    are known, and given by the soft Bellman recursion if not. β = 0 leaves the reward alone.
    """

    samples: int = choice(8, help="answers to each outline")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 2:
            raise ValueError(f"rl.samples: {self.samples} must be at least 2: one is the baseline")
        if self.batch % self.samples:
            raise ValueError(f"rl.batch: {self.batch} must be a multiple of samples {self.samples}")

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Rollouts:
        prompted, answered = jax.random.split(jax.random.fold_in(key, step))
        what = jax.tree.map(
            lambda leaf: jnp.repeat(leaf, self.samples, 0),
            self.prompt(context, prompted, self.batch // self.samples),
        )
        documents = self.answer(context, params, what, answered)
        return Rollouts(
            documents,
            jnp.sum(rewards(context.names, documents), 1),
            self.score(context, reference, documents),
        )

    def loss(self, context: Context, params: Params, batch: Rollouts) -> tuple[Array, Metrics]:
        logp = self.score(context, params, batch.documents)
        ratio = jax.lax.stop_gradient(logp) - batch.reference
        groups = (-1, self.samples)
        returns = batch.reward - self.beta * ratio
        loss = losses.rloo_loss(logp.reshape(groups), returns.reshape(groups))
        return loss, {"reward": jnp.mean(batch.reward), "kl": jnp.mean(ratio)}
