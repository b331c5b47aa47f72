"""Who speaks, down to weights that no document shows: w* from exact branch sums.

w* maximises E_P log m_w(d), like `ladder.fit_weights`; but where that counts the documents that P
wrote, this sums, at every decision of theirs, over all that P might have said. A character whom P
plays once in ten thousand documents is read from a thousand.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from toylab.ladder import estimate
from toylab.policy.sampling import Branches
from toylab.world import bayes
from toylab.world.documents import Documents
from toylab.world.grammar import SLOTS, Grammar
from toylab.world.tables import Cast

LEAST = 1e-7  # no weight is read as less, so that logarithms stay finite
CLOSE = 1e-3
MOST_STEPS = 300
DEVIATIONS = 1.96
LOGIT = 16.0


class Weights(NamedTuple):
    """log w*, and the ends of a 95 % score interval of each weight."""

    log_weights: Float[Array, " K"]
    low: Float[Array, " K"]
    high: Float[Array, " K"]


@jax.jit
def fit(grammar: Grammar, cast: Cast, documents: Documents, branches: Branches) -> Weights:
    """Fits w* on documents that a policy wrote and its branches there.

    In EM the posterior of the author at a document's end, w_k + Σ (posterior after the word −
    posterior before), is replaced by its expectation over every next word (Rao–Blackwell). In the
    interval of a weight the others keep their proportions.
    """
    at = bayes.decisions(grammar, documents)
    before = bayes.before(cast, documents)[..., None, :]
    slot = jnp.arange(len(SLOTS))[:, None]
    x = documents.prompt.context[..., None, None]
    here = before + cast.prefix_logp[slot, x, at.node]
    after = before[..., None, :] + cast.prefix_logp[slot[..., None], x[..., None], at.child]
    p = jnp.where(at.allowed, jnp.exp(branches.logp), 0.0)
    said = jnp.any(at.allowed, -1)
    size, atoms = len(p), cast.logp.shape[-1]

    def step(weights: Float[Array, " K"]) -> Float[Array, " K"]:
        log_weights = jnp.log(weights)
        then = jnp.einsum("btsjc,btsjck->k", p, jax.nn.softmax(log_weights + after, -1))
        now = jnp.einsum("btsj,btsjk->k", said.astype(p.dtype), jax.nn.softmax(log_weights + here))
        new = jnp.maximum(weights + (then - now) / size, LEAST)
        return new / jnp.sum(new)

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[1] > CLOSE) & (carry[2] < MOST_STEPS)

    def again(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        new = step(carry[0])
        moved = jnp.max(jnp.where(new > LEAST * 2, jnp.abs(jnp.log(new / carry[0])), 0.0))
        return new, moved, carry[2] + 1

    start = (jnp.full(atoms, 1 / atoms), jnp.asarray(jnp.inf), jnp.asarray(0))
    weights, _, _ = jax.lax.while_loop(unfinished, again, start)

    def ends(k: Array) -> Float[Array, "2"]:
        others = jnp.where(jnp.arange(atoms) == k, -jnp.inf, jnp.log(weights))
        others = jax.nn.log_softmax(others)

        def pair(logp: Array) -> tuple[Array, Array]:
            return jax.nn.logsumexp(others + logp, -1), jnp.take(logp, k, -1)

        (rest_now, own_now), (rest_then, own_then) = pair(here), pair(after)

        def explains(logit: Float[Array, " B"]) -> Float[Array, " B"]:
            yes, no = jax.nn.log_sigmoid(logit), jax.nn.log_sigmoid(-logit)
            lead = (slice(None), *(None,) * 4)
            now = jnp.logaddexp(no[lead[:-1]] + rest_now, yes[lead[:-1]] + own_now)
            then = jnp.logaddexp(no[lead] + rest_then, yes[lead] + own_then)
            return jnp.sum(p * (then - now[..., None]), (1, 2, 3, 4))

        everybody = jnp.zeros(size, jnp.int32)
        found = [
            estimate.solve(explains, everybody, 1, -LOGIT, LOGIT, z).value[0]
            for z in (DEVIATIONS, -DEVIATIONS)
        ]
        return jax.nn.sigmoid(jnp.stack(found))

    low, high = jax.lax.map(ends, jnp.arange(atoms)).T
    return Weights(jnp.log(weights), low, high)
