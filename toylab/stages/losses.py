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


def expected_cross_entropy(
    logits: Float[Array, "B L V"], target: Float[Array, "B L V"]
) -> Float[Array, ""]:
    """Mean loss over the words that may come next, by how likely each is, in nats a token.

    `target[b, t]` is the distribution of the word after token t of document b, or all zeros where
    none counts. With the true distribution the sum over words is what that of `cross_entropy`, on
    words drawn from it, is on average, for any logits, and so is its gradient: the conditional
    expectation of both given the words before (Rao and Blackwell), which varies less. (The mean
    divides by how many words there are, which is drawn, too: the one difference.)
    """
    counted = jnp.sum(target, -1)
    total = jnp.sum(counted * jax.nn.logsumexp(logits, -1)) - jnp.sum(target * logits)
    return total / jnp.maximum(jnp.sum(counted), 1.0)


def dpo_loss(
    chosen: Float[Array, " N"], rejected: Float[Array, " N"], beta: float | Array
) -> Float[Array, ""]:
    """Mean of −log sigmoid(β · (chosen − rejected)) over N pairs, in nats a pair.

    `chosen` and `rejected` are log(π / π_ref) of the two answers (Rafailov et al. 2023, eq. 7).
    """
    return -jnp.mean(jax.nn.log_sigmoid(beta * (chosen - rejected)))


def rloo_loss(logp: Float[Array, "G N"], returns: Float[Array, "G N"]) -> Float[Array, ""]:
    """A scalar whose gradient is the policy gradient, for N samples of each of G prompts.

    `logp` is that of the whole sample under the policy that drew it. Each sample's baseline is the
    mean return of the N − 1 others (Kool et al. 2019; Ahmadian et al. 2024). Advantages are not
    divided by their standard deviation, which would weigh prompts by how little is at stake there
    (Liu et al. 2025). The value itself means nothing.
    """
    others = (jnp.sum(returns, 1, keepdims=True) - returns) / (returns.shape[1] - 1)
    return -jnp.mean(jax.lax.stop_gradient(returns - others) * logp)
