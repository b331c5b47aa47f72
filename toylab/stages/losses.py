"""Losses: arrays in, arrays out."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def token_log_likelihood(
    logits: Float[Array, "B L-1 V"], tokens: Int[Array, "B L"]
) -> Float[Array, "B L-1"]:
    """log-probability of each token but the first, given those before it, in nats."""
    picked = jnp.take_along_axis(logits, tokens[:, 1:, None], -1)[..., 0]
    return picked - jax.nn.logsumexp(logits, -1)


def cross_entropy(
    logits: Float[Array, "B L-1 V"], tokens: Int[Array, "B L"], counted: Bool[Array, "B L"]
) -> Float[Array, ""]:
    """Mean next-token loss over the counted tokens, in nats per token.

    `counted[b, t]` says whether predicting token t of document b counts; token 0 never does.
    """
    weight = counted[:, 1:].astype(logits.dtype)
    total = -jnp.sum(token_log_likelihood(logits, tokens) * weight)
    return total / jnp.maximum(jnp.sum(weight), 1.0)


def expected_cross_entropy(
    logits: Float[Array, "B L V"], target: Float[Array, "B L V"]
) -> Float[Array, ""]:
    """Mean cross-entropy to a distribution over next words, in nats per token.

    `target[b, t]` is the distribution of the word after token t of document b, or all zeros if that
    word does not count. With the true distribution, the sum over words has the same expectation as
    in `cross_entropy`, for any logits. Per token the two can differ, because the number of words is
    random.
    """
    counted = jnp.sum(target, -1)
    total = jnp.sum(counted * jax.nn.logsumexp(logits, -1)) - jnp.sum(target * logits)
    return total / jnp.maximum(jnp.sum(counted), 1.0)


def dpo_loss(
    chosen: Float[Array, " N"], rejected: Float[Array, " N"], beta: float | Array
) -> Float[Array, ""]:
    """Mean of −log sigmoid(β · (chosen − rejected)) over N pairs, in nats per pair.

    `chosen` and `rejected` are log(π / π_ref) of the two answers (Rafailov et al. 2023, eq. 7).
    """
    return -jnp.mean(jax.nn.log_sigmoid(beta * (chosen - rejected)))


def rloo_loss(logp: Float[Array, "G N"], returns: Float[Array, "G N"]) -> Float[Array, ""]:
    """A scalar whose gradient is minus the policy gradient, for N samples of each of G prompts.

    `logp` is the log-probability of a whole sample under the policy that drew it. A sample's
    baseline is the mean return of the N − 1 others (Kool et al. 2019; Ahmadian et al. 2024).
    Advantages are not divided by their standard deviation: that would favour prompts whose returns
    differ little (Liu et al. 2025). The scalar itself has no meaning.
    """
    others = (jnp.sum(returns, 1, keepdims=True) - returns) / (returns.shape[1] - 1)
    return -jnp.mean(jax.lax.stop_gradient(returns - others) * logp)


def group_advantages(returns: Float[Array, "G N"]) -> Float[Array, "G N"]:
    """Returns minus the group's mean, divided by its standard deviation; 0 if all are equal."""
    centred = returns - jnp.mean(returns, 1, keepdims=True)
    spread = jnp.std(returns, 1, keepdims=True)
    return jnp.where(spread > 0, centred / jnp.where(spread > 0, spread, 1.0), 0.0)


def grpo_loss(
    moved: Float[Array, "B N"],
    before: Float[Array, "B N"],
    advantage: Float[Array, " B"],
    counted: Bool[Array, "B N"],
    clip: float | Array,
    beta: float | Array,
) -> Float[Array, ""]:
    """Minus the clipped objective of B answers of up to N words (Shao et al. 2024, eq. 3).

    It averages min(r · A, clip(r, 1 ± clip) · A) − β · (exp(before) − before − 1) over the words of
    an answer, then over answers. `moved` is log r = log(π / π_old), and A is `advantage`. `before`
    is log(π_ref / π), so the second term estimates the KL. `counted` marks the words that exist.
    """
    ratio, gain = jnp.exp(moved), advantage[:, None]
    clipped = jnp.minimum(ratio * gain, jnp.clip(ratio, 1 - clip, 1 + clip) * gain)
    each = clipped - beta * (jnp.exp(before) - before - 1)
    words = jnp.maximum(jnp.sum(counted, 1), 1)
    return -jnp.mean(jnp.sum(jnp.where(counted, each, 0.0), 1) / words)


def kto_loss(
    ratio: Float[Array, " N"],
    desirable: Bool[Array, " N"],
    weight: Float[Array, " N"],
    divergence: Float[Array, ""],
    beta: float | Array,
) -> Float[Array, ""]:
    """Mean of weight · (1 − sigmoid(β · (ratio − divergence))) over N answers.

    `ratio` is log(π / π_ref), `divergence` is KL(π ‖ π_ref). Their difference changes sign for an
    answer that is not desirable (Ethayarajh et al. 2024, eq. 8).
    """
    gain = jnp.where(desirable, ratio - divergence, divergence - ratio)
    return jnp.mean(weight * jax.nn.sigmoid(-beta * gain))
