"""Losses: arrays in, arrays out."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def token_log_likelihood(
    logits: Float[Array, "B L V"], tokens: Int[Array, "B L"]
) -> Float[Array, "B L-1"]:
    """log-probability of each token but the first, given those before it, in nats."""
    logits, target = logits[:, :-1], tokens[:, 1:]
    picked = jnp.take_along_axis(logits, target[..., None], -1)[..., 0]
    return picked - jax.nn.logsumexp(logits, -1)


def cross_entropy(
    logits: Float[Array, "B L V"], tokens: Int[Array, "B L"], counted: Bool[Array, "B L"]
) -> Float[Array, ""]:
    """Mean next-token loss over the counted tokens, in nats a token.

    `counted[b, t]` says whether predicting token t of document b counts; token 0 never does.
    """
    weight = counted[:, 1:].astype(logits.dtype)
    total = -jnp.sum(token_log_likelihood(logits, tokens) * weight)
    return total / jnp.maximum(jnp.sum(weight), 1.0)
