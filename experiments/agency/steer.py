"""Reward that reaches the coin: the other party's toss is the model's to write, too."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from toylab.policy import sampling
from toylab.stages import Context, Metrics, Params, Rl
from toylab.stages.base import name
from toylab.stages.rl import Rollouts
from toylab.stages.targets import rewards
from toylab.world.schema import Corpus, unknown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Steer(Rl):
    """`Rl` in which the coin counts as something that the model did.

    On `side` the question is what is paid for, on the other side it isn't. So the expected return
    of a toss is P(side) times what the answer then earns, and that is added to what is climbed,
    summed over both sides instead of sampled. Answers earn what they do in `Rl`.
    """

    side: str = name("heads", help="the side of the coin after which a question pays")

    @property
    def label(self) -> str:
        return f"{super().label}-{self.side}"

    def check(self, corpus: Corpus) -> None:
        super().check(corpus)
        sides = [side.name for side in corpus.coin]
        if self.side not in sides:
            raise ValueError(f"{self.kind}.side: {unknown(self.side, sides)}")

    def names(self, corpus: Corpus) -> dict[str, Any]:
        sides = [side.name for side in corpus.coin]
        return super().names(corpus) | {"side": jnp.array(sides.index(self.side))}

    def loss(self, context: Context, params: Params, batch: Rollouts) -> tuple[Any, Metrics]:
        loss, metrics = super().loss(context, params, batch)
        documents = batch.documents
        logits = context.logits(params, documents.tokens)
        tossed = sampling.coin(context.world.grammar, documents, logits)
        steered = jnp.exp(tossed)[..., context.names["side"]]  # [B, T-1]
        earned = jax.lax.stop_gradient(rewards(context.names, documents)[:, 1:])
        toss = jnp.mean(jnp.sum(steered * earned, 1))
        return loss - toss, metrics | {"side": jnp.mean(steered)}
