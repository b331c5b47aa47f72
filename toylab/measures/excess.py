"""Excess loss: how far a model is from the best next-word prediction there is."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from toylab import bayes
from toylab import world as worlds
from toylab.grammar import ANSWER, PAD, QUESTION
from toylab.model import Transformer
from toylab.stages import Params
from toylab.stages.losses import token_log_likelihood
from toylab.world import Documents, World


@functools.partial(jax.jit, static_argnames=("network", "size"))
def excess(
    network: Transformer, world: World, params: Params, key: Array, size: int = 1024
) -> dict[str, Float[Array, ""]]:
    """The model's excess loss on fresh documents of pretraining, as `over` has it."""
    documents = worlds.sample(world, key, size)
    return over(world, documents, network.apply({"params": params}, documents.tokens)[0])


def over(
    world: World, documents: Documents, logits: Float[Array, "B L V"]
) -> dict[str, Float[Array, ""]]:
    """Loss of next-token logits above the Bayes-optimal one, in nats a token.

    Tags have the prior of pretraining's end. `answers` is on the words of answers, `all` on every
    word but the tag. Both are differences of log-likelihoods on the same documents, whose
    expectation is a KL divergence.
    """
    logp = token_log_likelihood(logits, documents.tokens)
    role = documents.role[:, 1:]
    prior = world.log_prior[documents.outline.tag]
    best = jax.nn.logsumexp(prior + bayes.document_log_likelihood(world.cast, documents), -1)
    asked = bayes.question_log_likelihood(world, documents)

    def above(counted: Array, optimal: Array) -> Array:
        return (jnp.sum(optimal) - jnp.sum(logp * counted)) / jnp.sum(counted)

    return {
        "answers": above(role >= ANSWER, best),
        "all": above((role != PAD) & (role >= QUESTION - 1), best + asked),
    }
