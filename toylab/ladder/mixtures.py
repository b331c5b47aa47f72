"""The ladder: what re-weighting the cast explains, what exaggerating it explains, what is left.

Let P be a policy's distribution of answers under a tag, and m_w = Σ_k w_k p_k: one author a
document.

    (start)       F0   m_w0                           nothing happened
    selection     F1   m_w                            another mix of characters
    exaggeration  F2   mixtures of tempered atoms     characters larger than life

unexplained(F) = KL(P ‖ F) in nats a document, always with its F; a rung is the drop from one family
to the next. Weights are fitted by EM on documents that P wrote; the KL is then summed exactly, over
the branches that the grammar allows, at every decision of *other* documents that P wrote.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from toylab.policy.sampling import Branches
from toylab.world import bayes
from toylab.world.documents import Documents
from toylab.world.grammar import Grammar
from toylab.world.tables import Cast

CERTIFIED = 1e-3
MOST_STEPS = 20_000


class Fit(NamedTuple):
    """Weights of a mixture, and max_k E_P[p_k / m_w] - 1, which is 0 at the optimum.

    No other weights can have a likelihood higher by more than `gap` nats a document (Lindsay 1983).
    """

    log_weights: Float[Array, " K"]
    gap: Float[Array, ""]


@jax.jit
def fit_weights(log_likelihood: Float[Array, "B K"]) -> Fit:
    """Maximum-likelihood weights of a mixture of K fixed atoms, by EM until certified."""
    top = jnp.max(log_likelihood, 1, keepdims=True)
    likelihood = jnp.exp(log_likelihood - top)
    atoms = likelihood.shape[1]

    def ratio(weights: Float[Array, " K"]) -> Float[Array, " K"]:
        return jnp.mean(likelihood / (likelihood @ weights)[:, None], 0)

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        _, gap, steps = carry
        return (gap > CERTIFIED) & (steps < MOST_STEPS)

    def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        weights, _, steps = carry
        weights = weights * ratio(weights)
        weights = weights / jnp.sum(weights)
        return weights, jnp.max(ratio(weights)) - 1, steps + 1

    even = jnp.full(atoms, 1 / atoms)
    weights, gap, _ = jax.lax.while_loop(
        unfinished, step, (even, jnp.asarray(jnp.inf), jnp.asarray(0))
    )
    return Fit(jnp.log(weights), gap)


class Score(NamedTuple):
    """KL(P ‖ Q) in nats a document: mean, standard error, and where it sits.

    `where[x, s]` is the share of it at slot s of contexts x, `turns[t, s]` at turn t, in nats a
    document; `each` is the KL of every scored document's decisions.
    """

    mean: Float[Array, ""]
    error: Float[Array, ""]
    where: Float[Array, "X S"]
    turns: Float[Array, "T S"]
    each: Float[Array, " B"]


@jax.jit
def explain(
    grammar: Grammar,
    cast: Cast,
    joint: Float[Array, "B T S K"],
    documents: Documents,
    branches: Branches,
) -> Score:
    """KL(P ‖ Q) from documents that P wrote and its branches there, Q given as in `families`."""
    at = bayes.decisions(grammar, documents)
    q = bayes.branch_logp(cast, joint, documents, at)
    nats = jnp.sum(bayes.kl(branches.logp, q, at.allowed), -1)
    size = len(nats)
    each = jnp.sum(nats, (1, 2))
    where = jnp.zeros((grammar.phrases.shape[1], nats.shape[-1]))
    return Score(
        mean=jnp.mean(each),
        error=jnp.std(each) / jnp.sqrt(size),
        where=where.at[documents.prompt.context].add(nats) / size,
        turns=jnp.mean(nats, 0),
        each=each,
    )


def unexplained(
    grammar: Grammar,
    cast: Cast,
    log_weights: Float[Array, " K"],
    documents: Documents,
    branches: Branches,
) -> Score:
    """KL(P ‖ m_w): one author a document."""
    joint = log_weights + bayes.before(cast, documents)
    return explain(grammar, cast, joint, documents, branches)
