"""One number by maximum likelihood, from exact branch sums.

A model Q_v of what a policy P says has one free number v. Its expected log-likelihood is summed
over all branches of every decision, Σ_b P(b|prefix) log Q_v(b|prefix), so nothing but the prefixes
is sampled, and what P hardly ever says counts though no document has it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from toylab.world import bayes
from toylab.world.bayes import Decisions

HALVINGS = 24


class Estimate(NamedTuple):
    """The value for each group of documents and its standard error, infinite where flat."""

    value: Float[Array, " G"]
    error: Float[Array, " G"]


def fit_of(
    p: Float[Array, "N T S J C"], q: Float[Array, "N T S J C"], at: Decisions
) -> Float[Array, " N"]:
    """Σ P log Q of every document, less what doesn't depend on Q: −KL of its decisions, in nats."""
    return -jnp.sum(bayes.kl(p, q, at.allowed), (1, 2, 3))


def solve(
    fit: Callable[[Float[Array, " N"]], Float[Array, " N"]],
    group: Int[Array, " N"],
    groups: int,
    low: float,
    high: float,
    deviations: float = 0.0,
) -> Estimate:
    """Halves [low, high] until the mean slope of `fit` is zero in each group of documents.

    `fit` takes a value for every document, and says how well that does there. With `deviations`
    the slope is so many standard errors from zero instead: the ends of a score interval, which
    holds also where the best value is at a bound. Groups outside 0 … `groups` − 1 are left out.
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
