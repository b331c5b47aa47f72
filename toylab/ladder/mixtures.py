"""Mixtures of characters, m_w = Σ_k w_k p_k: their weights, and KL(P ‖ Q) by exact sums.

`fit_weights` maximises E_P log m_w(d), averaged over documents that a policy P wrote.
`weights_from_branches` maximises the same, but at every decision it sums over all words that P
might have said. So from a thousand documents it can measure the weight of a character that P plays
once in ten thousand.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from toylab.policy.sampling import Branches, in_parts
from toylab.world import bayes
from toylab.world.bayes import Decisions
from toylab.world.documents import Documents
from toylab.world.grammar import SLOTS, Grammar
from toylab.world.tables import Cast

CERTIFIED = 1e-3
MOST_STEPS = 20_000
LEAST = 1e-7  # a floor under weights fitted to branches; keeps logarithms finite
CLOSE = 1e-3
MOST_BRANCH_STEPS = 300
DEVIATIONS = 1.96
LOGIT = 16.0
HALVINGS = 24

Step = Callable[[Float[Array, " K"]], tuple[Float[Array, " K"], Float[Array, ""]]]


def _em(step: Step, atoms: int, close: float, most: int) -> tuple[Array, Array]:
    """Repeats `step` from uniform weights until its second result is ≤ `close`, or `most` times."""

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[1] > close) & (carry[2] < most)

    def again(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        return (*step(carry[0]), carry[2] + 1)

    even = jnp.full(atoms, 1 / atoms)
    start = (even, jnp.asarray(jnp.inf), jnp.asarray(0))
    weights, distance, _ = jax.lax.while_loop(unfinished, again, start)
    return weights, distance


class Fit(NamedTuple):
    """Weights of a mixture, and `gap` = max_k E_P[p_k / m_w] - 1, which is 0 at the optimum.

    No other weights have a log-likelihood higher by more than `gap` nats per document (Lindsay
    1983).
    """

    log_weights: Float[Array, " K"]
    gap: Float[Array, ""]


@jax.jit
def fit_weights(log_likelihood: Float[Array, "B K"]) -> Fit:
    """Maximum-likelihood weights of a mixture of K fixed atoms, by EM.

    Stops when `gap` is at most `CERTIFIED`, or after `MOST_STEPS` steps.
    """
    top = jnp.max(log_likelihood, 1, keepdims=True)
    likelihood = jnp.exp(log_likelihood - top)

    def ratio(weights: Float[Array, " K"]) -> Float[Array, " K"]:
        return jnp.mean(likelihood / (likelihood @ weights)[:, None], 0)

    def step(weights: Float[Array, " K"]) -> tuple[Array, Array]:
        weights = weights * ratio(weights)
        weights = weights / jnp.sum(weights)
        return weights, jnp.max(ratio(weights)) - 1

    weights, gap = _em(step, likelihood.shape[1], CERTIFIED, MOST_STEPS)
    return Fit(jnp.log(weights), gap)


class Weights(NamedTuple):
    """log w*, and the ends of a 95 % score interval of each weight."""

    log_weights: Float[Array, " K"]
    low: Float[Array, " K"]
    high: Float[Array, " K"]


@jax.jit
def weights_from_branches(
    grammar: Grammar, cast: Cast, documents: Documents, branches: Branches
) -> Weights:
    """Fits w* on documents that a policy wrote and its branches there.

    EM needs the posterior over the author at a document's end: the weight w_k plus the change of
    the posterior at every word. Each change is replaced by its expectation over the next word
    (Rao–Blackwell). For the interval of one weight, the others keep their proportions.
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

    def step(weights: Float[Array, " K"]) -> tuple[Array, Array]:
        log_weights = jnp.log(weights)
        then = jnp.einsum("btsjc,btsjck->k", p, jax.nn.softmax(log_weights + after, -1))
        now = jnp.einsum("btsj,btsjk->k", said.astype(p.dtype), jax.nn.softmax(log_weights + here))
        new = jnp.maximum(weights + (then - now) / size, LEAST)
        new = new / jnp.sum(new)
        return new, jnp.max(jnp.where(new > LEAST * 2, jnp.abs(jnp.log(new / weights)), 0.0))

    weights, _ = _em(step, atoms, CLOSE, MOST_BRANCH_STEPS)

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

        everything = jnp.zeros(size, jnp.int32)
        found = [
            solve(explains, everything, 1, -LOGIT, LOGIT, z).value[0]
            for z in (DEVIATIONS, -DEVIATIONS)
        ]
        return jax.nn.sigmoid(jnp.stack(found))

    low, high = jax.lax.map(ends, jnp.arange(atoms)).T
    return Weights(jnp.log(weights), low, high)


class Estimate(NamedTuple):
    """What `solve` finds for each group of documents: the best value, and its standard error.

    The error is infinite where the log-likelihood is flat.
    """

    value: Float[Array, " G"]
    error: Float[Array, " G"]


def fit_of(
    p: Float[Array, "N T S J C"], q: Float[Array, "N T S J C"], at: Decisions
) -> Float[Array, " N"]:
    """Σ P log Q of each document, up to a constant: −KL summed over its decisions, in nats."""
    return -jnp.sum(bayes.kl(p, q, at.allowed), (1, 2, 3))


def solve(
    fit: Callable[[Float[Array, " N"]], Float[Array, " N"]],
    group: Int[Array, " N"],
    groups: int,
    low: float,
    high: float,
    deviations: float = 0.0,
) -> Estimate:
    """The value in [low, high] that maximises the sum of `fit` in each group, by bisection.

    `fit` takes a value for every document and returns the expected log-likelihood of each. With
    `deviations`, finds one end of a score interval instead: where the derivative of the sum is that
    many times its standard error. Groups outside 0 … `groups` − 1 are left out.
    """

    def slope(value: Float[Array, " N"]) -> Float[Array, " N"]:
        return jax.jvp(fit, (value,), (jnp.ones_like(value),))[1]

    def total(each: Float[Array, " N"]) -> Float[Array, " G"]:
        return jax.ops.segment_sum(each, group, groups)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = (ends[0] + ends[1]) / 2
        each = slope(middle[group])
        up = total(each) > deviations * jnp.sqrt(total(each**2))
        return jnp.where(up, middle, ends[0]), jnp.where(up, ends[1], middle)

    ends = (jnp.full(groups, low), jnp.full(groups, high))
    ends = jax.lax.fori_loop(0, HALVINGS, halve, ends)
    value = (ends[0] + ends[1]) / 2
    at_value = value[group]
    each, bend = jax.jvp(slope, (at_value,), (jnp.ones_like(at_value),))
    spread, bent = jnp.sqrt(total(each**2)), -total(bend)
    error = jnp.where(bent > 1e-6, spread / jnp.maximum(bent, 1e-6), jnp.inf)
    return Estimate(value, error)


class Score(NamedTuple):
    """KL(P ‖ Q) in nats: mean over documents, its standard error, and the KL of `each` document."""

    mean: Float[Array, ""]
    error: Float[Array, ""]
    each: Float[Array, " B"]


@jax.jit
def explain(
    grammar: Grammar,
    cast: Cast,
    joint: Float[Array, "B T S K"],
    documents: Documents,
    branches: Branches,
) -> Score:
    """KL(P ‖ Q) from documents that P wrote and its branches there; `joint` as in `families`."""

    def part(joint: Array, documents: Documents, logp: Array) -> Float[Array, " B"]:
        at = bayes.decisions(grammar, documents)
        return -fit_of(logp, bayes.branch_logp(cast, joint, documents, at), at)

    each = in_parts(part, joint, documents, branches.logp)
    return Score(jnp.mean(each), jnp.std(each) / jnp.sqrt(len(each)), each)
