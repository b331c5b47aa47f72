"""Excess loss: how far a model is from the best next-word prediction there is."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from toylab.policy.network import Network
from toylab.stages import Params
from toylab.world import bayes
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import ANSWER, PAD
from toylab.world.tables import World


@functools.partial(jax.jit, static_argnames=("network", "size"))
def excess(
    network: Network, world: World, params: Params, key: Array, size: int = 512
) -> dict[str, Float[Array, ""]]:
    """The model's excess loss on fresh documents of pretraining, as `over` has it."""
    documents = docs.sample(world, key, size)
    return over(world, documents, network.apply(params, documents.tokens)[0])


def over(
    world: World, documents: Documents, logits: Float[Array, "B L V"]
) -> dict[str, Float[Array, ""]]:
    """Loss of next-token logits above the Bayes-optimal one, in nats a token.

    The divergence of the logits from what may come next, summed exactly after each word of the
    documents. Tags have the prior of pretraining's end. `answers` is the mean over the words of
    answers, `all` over every word but the tag.
    """
    best = bayes.next_word(world, world.log_prior[documents.prompt.tag], documents)
    ratio = jnp.log(jnp.where(best > 0, best, 1.0)) - jax.nn.log_softmax(logits, -1)
    above = jnp.sum(best * ratio, -1)[:, :-1]
    role = documents.role[:, 1:]

    def mean(counted: Array) -> Array:
        return jnp.sum(above * counted) / jnp.sum(counted)

    return {"answers": mean(role >= ANSWER), "all": mean(role != PAD)}
