"""Reward that reaches the coin: the user's toss is the model's to write, too."""

import dataclasses
from typing import Any, ClassVar

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
    """`Rl`, the inner stage, in which the coin counts as something that the model did.

    On `side` the question is what is paid for, on the other side it isn't. So the expected return
    of a toss is P(side) times what the answer then earns, and that is added to what is climbed,
    summed over both sides instead of sampled. Answers earn what they do in `Rl`.
    """

    needs_reference: ClassVar[bool] = True

    side: str = names.named(
        lambda corpus, _: [side.name for side in corpus.coin],
        "heads",
        help="the side of the coin after which a question pays",
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
        earned = jax.lax.stop_gradient(rewards(context.names, documents)[:, 1:])
        toss = jnp.mean(jnp.sum(steered * earned, 1))
        return loss - toss, metrics | {"side": jnp.mean(steered)}
