"""Direct preference optimisation: pairs of answers, one of them preferred."""

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


class Pairs(NamedTuple):
    """N pairs of documents: the first of each pair in rows 0 to N − 1, then the second ones.

    `reference` is log π_ref of the answers. `first` marks pairs whose first document is chosen.
    """

    documents: Documents
    reference: Float[Array, " 2N"]
    first: Bool[Array, " N"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dpo(RewardStage):
    """Direct preference optimisation (Rafailov et al. 2023) on pairs of whole documents.

    Both documents of a pair are the reference's answers to one prompt. The first is preferred with
    probability sigmoid(its reward − the other's) (Bradley & Terry 1952). If there is only one turn,
    or the model knows all questions before its first answer, the optimum is
    π ∝ π_ref · exp(reward / β), as for `Rl`. Unless
    `batches` is 0, that many batches are drawn once, preferences included, and used in turn.
    """

    beta: float = number(0.1, low=1e-6, help="weight of KL(model || reference) beside the reward")
    batches: int = number(0, help="batches of pairs to reuse; 0: new pairs every step")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch % 2:
            raise ValueError(f"dpo.batch: {self.batch} must be even: a pair is two documents")

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Pairs:
        count = jnp.asarray(self.batches, jnp.int32)
        step = jnp.where(count > 0, step % jnp.maximum(count, 1), step)
        prompted, answered, preferred = jax.random.split(jax.random.fold_in(key, step), 3)
        pairs = self.batch // 2
        what = jax.tree.map(
            lambda leaf: jnp.concatenate([leaf, leaf]), self.prompt(context, prompted, pairs)
        )
        documents = self.answer(context, reference, what, answered)
        one, other = self.reward(context, documents).reshape(2, pairs)
        return Pairs(
            documents,
            self.score(context, reference, documents),
            jax.random.bernoulli(preferred, jax.nn.sigmoid(one - other)),
        )

    def loss(self, context: Context, params: Params, batch: Pairs) -> tuple[Array, Metrics]:
        ratio = self.score(context, params, batch.documents) - batch.reference
        one, other = ratio.reshape(2, -1)
        chosen = jnp.where(batch.first, one, other)
        rejected = jnp.where(batch.first, other, one)
        metrics = {"chosen": jnp.mean(chosen), "rejected": jnp.mean(rejected)}
        return losses.dpo_loss(chosen, rejected, self.beta), metrics
