"""Reinforcement learning: the model answers, and rewarded answers become likelier."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from toylab.stages import losses
from toylab.stages.base import Context, Metrics, Params
from toylab.stages.targets import RewardStage
from toylab.stages.traced import choice
from toylab.world.documents import Documents


class Rollouts(NamedTuple):
    """The model's documents, those of one prompt side by side.

    `reward` is that of all answers of a document, `reference` their log π_ref, if it is needed.
    """

    documents: Documents
    reward: Float[Array, " B"]
    reference: Float[Array, " B"] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rl(RewardStage):
    """Policy gradient on the model's own answers, against a leave-one-out baseline.

    A batch is `batch / samples` prompts, each answered `samples` times. A document's return is its
    reward − β · log(π / π_ref) of all its answers. So the KL is part of the reward, and the
    gradient is that of E[reward] − β · KL(π ‖ π_ref). The optimum is π ∝ π_ref · exp(reward / β) if
    all questions are known before the first answer; if not, the soft Bellman recursion gives it.
    With β = 0 the reference is not asked, and the KL not known.
    """

    samples: int = choice(8, help="answers to each prompt")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 2:
            raise ValueError(f"{self.kind}.samples: {self.samples} must be at least 2")
        if self.batch % self.samples:
            multiple = f"must be a multiple of samples {self.samples}"
            raise ValueError(f"{self.kind}.batch: {self.batch} {multiple}")

    @property
    def needs_reference(self) -> bool:
        return self.beta > 0

    def rollouts(self, context: Context, params: Params, key: Array, step: Array) -> Documents:
        """The model's documents, those of one prompt side by side."""
        prompted, answered = jax.random.split(jax.random.fold_in(key, step))
        what = jax.tree.map(
            lambda leaf: jnp.repeat(leaf, self.samples, 0),
            self.prompt(context, prompted, self.batch // self.samples),
        )
        return self.answer(context, params, what, answered)

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Any:
        documents = self.rollouts(context, params, key, step)
        before = self.score(context, reference, documents) if reference else None
        return Rollouts(documents, self.reward(context, documents), before)

    def loss(self, context: Context, params: Params, batch: Any) -> tuple[Array, Metrics]:
        logp = self.score(context, params, batch.documents)
        returns, metrics = batch.reward, {"reward": jnp.mean(batch.reward)}
        if batch.reference is not None:
            ratio = jax.lax.stop_gradient(logp) - batch.reference
            returns, metrics["kl"] = returns - self.beta * ratio, jnp.mean(ratio)
        groups = (-1, self.samples)
        return losses.rloo_loss(logp.reshape(groups), returns.reshape(groups)), metrics
