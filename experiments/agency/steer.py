"""Reward that reaches the coin: the user's toss counts as an action of the model."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from toylab.policy import sampling
from toylab.stages import Context, Metrics, Params, Wrapping
from toylab.stages.rl import Rollouts
from toylab.stages.targets import rewards
from toylab.world import names
from toylab.world.schema import Corpus


@dataclasses.dataclass(frozen=True, kw_only=True)
class Steer(Wrapping):
    """`Rl` (the inner stage), in which the coin counts as an action of the model.

    After `side`, a question with rewarded answers is asked; after the other side, one whose answers
    earn nothing. So the expected return of a toss is P(side) times the reward of the answer. It is
    added to the objective exactly, as a sum over both sides rather than by sampling.
    """

    side: str = names.named(
        lambda corpus, _: [side.name for side in corpus.coin],
        "heads",
        help="the side of the coin after which answers are rewarded",
    )

    @property
    def label(self) -> str:
        return f"{super().label}-{self.side}"

    def names(self, corpus: Corpus) -> dict[str, Any]:
        side = names.resolve(self, corpus)["side"]
        return super().names(corpus) | {"side": jnp.array(side)}

    def loss(self, context: Context, params: Params, batch: Rollouts) -> tuple[Any, Metrics]:
        loss, metrics = super().loss(context, params, batch)
        documents = batch.documents
        logits = context.logits(params, documents.tokens)
        tossed = sampling.coin(context.world.grammar, documents, logits)
        steered = jnp.exp(tossed)[..., context.names["side"]]  # [B, T-1]
        stayed = ~jnp.any(batch.left, (1, 2, 3))[:, None]
        earned = jax.lax.stop_gradient(rewards(context.names, documents)[:, 1:] * stayed)
        toss = jnp.mean(jnp.sum(steered * earned, 1))
        return loss - toss, metrics | {"side": jnp.mean(steered)}
