"""Reinforcement learning: the model answers, and rewarded answers become likelier."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from toylab.policy import sampling
from toylab.stages import losses
from toylab.stages.base import Context, Metrics, Params
from toylab.stages.targets import RewardStage
from toylab.stages.traced import choice
from toylab.world.documents import Documents


class Rollouts(NamedTuple):
    """The model's documents, grouped by prompt.

    `left` marks the decision at which a document left the grammar, and so ended. `reward` is the
    sum over its answers, or 0 if it left. `reference` is log π_ref of the answers, None if β is 0.
    """

    documents: Documents
    left: Bool[Array, "B T S J"]
    reward: Float[Array, " B"]
    reference: Float[Array, " B"] | None


def told(reward: Float[Array, " B"], left: Bool[Array, "B T S J"]) -> Metrics:
    return {"reward": jnp.mean(reward), "left": jnp.mean(jnp.any(left, (1, 2, 3)))}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rl(RewardStage):
    """Policy gradient on the model's own answers, with a leave-one-out baseline.

    A batch is `batch / samples` prompts, each answered `samples` times. The model is not
    constrained to the grammar: a document that leaves it ends there and earns nothing. Training
    maximises E[reward] − β · KL(π ‖ π_ref). If there is only one turn, or the model knows all
    questions before its first answer, the optimum is π ∝ π_ref · exp(reward / β). If not, the soft
    Bellman recursion gives it. With β = 0 the KL is not measured.
    """

    samples: int = choice(8, low=2, help="answers to each prompt")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch % self.samples:
            multiple = f"must be a multiple of samples {self.samples}"
            raise ValueError(f"{self.kind}.batch: {self.batch} {multiple}")

    @property
    def needs_reference(self) -> bool:
        return self.beta > 0

    def rollouts(
        self, context: Context, params: Params, key: Array, step: Array
    ) -> tuple[Documents, Bool[Array, "B T S J"]]:
        """Documents, and the decision at which each left the grammar; the rest does not count."""
        keys, grammar = jax.random.split(jax.random.fold_in(key, step), 3), context.world.grammar
        what = jax.tree.map(
            lambda leaf: jnp.repeat(leaf, self.samples, 0),
            self.prompt(context, keys[0], self.batch // self.samples),
        )
        documents, branches = sampling.generate(context.network, params, grammar, what, keys[1])
        return documents, sampling.leave(branches, keys[2])

    def earned(self, context: Context, documents: Documents, left: Array) -> Float[Array, " B"]:
        """The reward of each document; 0 if it left the grammar."""
        stayed = ~jnp.any(left, (1, 2, 3))
        return jnp.where(stayed, self.reward(context, documents), 0.0)

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Any:
        documents, left = self.rollouts(context, params, key, step)
        before = self.score(context, reference, documents, left) if reference else None
        return Rollouts(documents, left, self.earned(context, documents, left), before)

    def loss(self, context: Context, params: Params, batch: Any) -> tuple[Array, Metrics]:
        logp = self.score(context, params, batch.documents, batch.left)
        returns, metrics = batch.reward, told(batch.reward, batch.left)
        if batch.reference is not None:
            ratio = jax.lax.stop_gradient(logp) - batch.reference
            returns, metrics["kl"] = returns - self.beta * ratio, jnp.mean(ratio)
        groups = (-1, self.samples)
        return losses.rloo_loss(logp.reshape(groups), returns.reshape(groups)), metrics
