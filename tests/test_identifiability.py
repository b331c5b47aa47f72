import itertools
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from toylab.world import identifiability, tables
from toylab.world.derive import load
from toylab.world.grammar import CLOSER, OPENER, STANCE
from toylab.world.identifiability import Evidence
from toylab.world.parse import parse
from toylab.world.schema import Corpus
from toylab.world.tables import World

# Two people who differ in how often they say yes, and in nothing else.
TEXT = """
title = "yes and no"
turns = 1
slip = 0.02
plain = {{share = 0.1, opens = "well", closes = "so"}}
tags = {{assistant = {{share = 1, prior = {{ann = 0.75}}}}}}
[topics.asked]
questions = ["is it"]
answers = {{yes = "yes", no = "no"}}
[characters.ann]
about = "says yes"
opens = {{hm = 1}}
closes = {{bye = 1}}
traits.asked = {{yes = {ann}}}
[characters.ben]
about = "says no"
opens = {{hm = 1}}
closes = {{bye = 1}}
traits.asked = {{yes = {ben}}}
"""
P, Q = 0.98 * 0.9 + 0.01, 0.98 * 0.2 + 0.01  # how often ann and ben say yes, with slips
WEIGHTS = jnp.log(jnp.array([0.75, 0.25]))


def two(ann: float = 0.9, ben: float = 0.2) -> World:
    return tables.build(parse(tomllib.loads(TEXT.format(ann=ann, ben=ben)), "two.toml"))


def coin(p: float) -> float:
    """Entropy of a coin."""
    return -p * np.log(p) - (1 - p) * np.log(1 - p)


def exact() -> Evidence:
    """Replaces the sample by all documents of the two: each answer once, with equal weight."""
    yes = np.array([P, Q])
    return Evidence(jnp.log(jnp.array([yes, 1 - yes])), jnp.log(jnp.array([0.5, 0.5])))


def village() -> Corpus:
    return load(Path(__file__).parent.parent / "corpora" / "village.toml")


def test_divergence_by_hand() -> None:
    there = P * np.log(P / Q) + (1 - P) * np.log((1 - P) / (1 - Q))
    back = Q * np.log(Q / P) + (1 - Q) * np.log((1 - Q) / (1 - P))
    for slots in ((0, 1, 2), (STANCE,)):
        apart = identifiability.divergence(two(), slots)
        np.testing.assert_allclose(apart, [[0, there], [back, 0]], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(identifiability.divergence(two(), (OPENER, CLOSER)), 0, atol=1e-6)
    near = identifiability.nearest(identifiability.divergence(two()))
    np.testing.assert_array_equal(near.other, [1, 0])
    np.testing.assert_allclose(near.turns, np.log(20) / np.array([there, back]), rtol=1e-5)


def test_contexts_count_alike_and_directions_not_at_all() -> None:
    built = tables.build(village())
    share = np.asarray(identifiability.turn_weights(built.grammar))
    table = np.asarray(built.grammar.topic_contexts)
    np.testing.assert_allclose(share[table[:, 0, 0]], 1 / 12, rtol=1e-6)
    np.testing.assert_array_equal(share[table[:, 0, 1:]], 0)
    p = np.exp(built.cast.logp)
    with np.errstate(invalid="ignore"):
        terms = p[..., 3] * (built.cast.logp[..., 3] - built.cast.logp[..., 7])
    expected = np.nansum(terms * share[:, None])
    np.testing.assert_allclose(identifiability.divergence(built)[3, 7], expected, rtol=1e-4)


def test_the_cast_reaches_its_hull_and_no_further() -> None:
    hull = identifiability.hull(two(0.9, 0.8).cast)
    least = 0.98 * 0.8 + 0.01
    np.testing.assert_allclose(hull.reach[STANCE, 0], [P, 1 - least], rtol=1e-5)
    off = -0.5 * np.log(4 * least * (1 - least))  # from even to the one nearer to it
    np.testing.assert_allclose(hull.even[STANCE, 0], off, rtol=1e-3)
    np.testing.assert_allclose(identifiability.hull(two().cast).even[STANCE, 0], 0, atol=1e-5)


def test_projection_is_optimal() -> None:
    rng = np.random.default_rng(0)
    p, target = rng.dirichlet(np.ones(5), 4).T, rng.dirichlet(np.ones(5))
    found = identifiability.project(jnp.array(target), jnp.log(p))
    np.testing.assert_allclose(found.weights.sum(), 1, rtol=1e-4)

    def cost(logits: np.ndarray) -> float:
        weights = np.exp(logits - logits.max())
        return float(np.sum(target * np.log(target / (p @ weights * (1 / weights.sum())))))

    best = min(
        scipy.optimize.minimize(cost, rng.normal(size=4), method="Nelder-Mead").fun
        for _ in range(5)
    )
    np.testing.assert_allclose(found.nats, best, atol=2e-3)


def test_without_each() -> None:
    rng = np.random.default_rng(0)
    likelihood, w = rng.normal(size=(7, 4)), np.array([0.5, 0.0, 0.3, 0.2])
    got = identifiability.without_each(jnp.array(likelihood), jnp.log(w))
    for k in range(4):
        rest = np.delete(w, k) / (1 - w[k])
        expected = np.log(np.exp(np.delete(likelihood, k, 1)) @ rest)
        np.testing.assert_allclose(got[:, k], expected, rtol=1e-4, atol=1e-5)


def information(w: float, p: float, q: float) -> float:
    """Fisher information of a document about the weight w of p, in a mixture with q."""
    m = w * p + (1 - w) * q
    return (p - q) ** 2 / (m * (1 - m))


@pytest.mark.parametrize("n", [50, 4000, 10**6])
def test_detection_limit_by_hand(n: int) -> None:
    got = identifiability.detection_limit(exact(), WEIGHTS, n)
    for k, (p, q) in enumerate([(P, Q), (Q, P)]):
        z = lambda w, p=p, q=q: w * np.sqrt(n * information(w, p, q)) - 2  # noqa: E731
        np.testing.assert_allclose(got[k], scipy.optimize.brentq(z, 1e-9, 1), rtol=1e-3)


def test_detection_limits_shrink_with_documents() -> None:
    few, many = (identifiability.detection_limit(exact(), WEIGHTS, n) for n in (10**6, 10**8))
    np.testing.assert_allclose(few / many, 10, rtol=0.02)  # as 1/√n where people are alike ...
    built = tables.build(village())
    weights = built.log_prior[-1]
    evidence = identifiability.gather_evidence(built, jax.random.key(0), weights, 4096)
    few, many = (identifiability.detection_limit(evidence, weights, n) for n in (400, 4000))
    np.testing.assert_allclose(few / many, 10, rtol=0.1)  # ... and as 4/n where they are not
    np.testing.assert_allclose(many, 4 / 4000, rtol=0.15)


def test_samples_stand_for_all_documents() -> None:
    evidence = identifiability.gather_evidence(two(), jax.random.key(0), WEIGHTS, 2**14)
    for figure in (identifiability.detection_limit, identifiability.weight_errors):
        np.testing.assert_allclose(figure(evidence, WEIGHTS), figure(exact(), WEIGHTS), rtol=0.03)


def test_weight_errors_by_hand() -> None:
    got = identifiability.weight_errors(exact(), WEIGHTS, 900)
    expected = 1 / np.sqrt(900 * information(0.75, P, Q))  # one weight decides the other
    np.testing.assert_allclose(got, expected, rtol=1e-3)


def test_whoever_sounds_alike_can_not_be_found() -> None:
    alike = Evidence(jnp.log(jnp.array([[P, P], [1 - P, 1 - P]])), jnp.log(jnp.array([0.5, 0.5])))
    assert np.isinf(identifiability.detection_limit(alike, WEIGHTS)).all()
    assert (identifiability.weight_errors(alike, WEIGHTS) > 1).all()


def test_loss_by_hand() -> None:
    loss = identifiability.bayes_loss(two(), jax.random.key(0), WEIGHTS, 2**15)
    voice = 2 * coin(0.98 * 0.1 + 0.01)  # opener and closer; an answer has three tokens
    mixed = coin(0.75 * P + 0.25 * Q)
    known = 0.75 * coin(P) + 0.25 * coin(Q)
    np.testing.assert_allclose(loss.bayes, (voice + mixed) / 3, rtol=0.02)
    np.testing.assert_allclose(loss.entropy, (voice + known) / 3, rtol=0.02)
    np.testing.assert_allclose(loss.told, mixed - known, rtol=0.03)
    np.testing.assert_allclose(loss.prior, coin(0.75), rtol=1e-4)


def test_neighbours_are_the_least_divergent() -> None:
    apart = identifiability.divergence(tables.build(village()))
    near = identifiability.nearest(apart)
    for k, other in itertools.permutations(range(12), 2):
        assert near.nats[k] <= apart[k, other]
    np.testing.assert_array_equal(near.nats, apart[jnp.arange(12), near.other])
