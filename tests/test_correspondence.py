"""How one answer follows from another, against Bayes by hand, on mixtures of the village."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from experiments.formation.analysis import KEPT
from experiments.formation.sweep import EARLIER, LATER
from tests import views
from toylab.ladder.families import CastPolicy, Mixture
from toylab.measures.cues import Correspondence
from toylab.world import derive, tables
from toylab.world.grammar import STANCE
from toylab.world.schema import Corpus

KEY = jax.random.key(3)
MEASURE = Correspondence(earlier="weather", later="money", size=2048)


def test_one_author_follows_no_rule(village: Corpus) -> None:
    world = views.built(village)
    policy = views.mixture(world, views.mostly(village, "mira", 1 - 1e-6))
    found = MEASURE(views.snapshot(village, world, policy), KEY)
    assert found["follows"] == pytest.approx(0, abs=1e-4)
    assert np.sum(found["answers"], 1) == pytest.approx(1, abs=1e-4)


def test_a_mixture_follows_as_far_as_the_author_is_given_away(village: Corpus) -> None:
    """P(money | weather) = Σ_k w_k(weather) p_k(money), w_k(weather) ∝ w_k p_k(weather)."""
    world = views.built(village)
    weights = views.mostly(village, "mira", 0.3)
    found = MEASURE(views.snapshot(village, world, views.mixture(world, weights)), KEY)
    topics = [village.topic_names.index(name) for name in ("weather", "money")]
    at = [int(world.grammar.topic_contexts[t, 0, 0]) for t in topics]
    weather, money = (
        np.exp(world.cast.logp[STANCE, x, : len(village.topics[t].answers)])
        for x, t in zip(at, topics, strict=True)
    )
    posterior = np.exp(weights) * weather
    posterior /= posterior.sum(1, keepdims=True)
    wanted = posterior @ money.T
    np.testing.assert_allclose(found["answers"], wanted, atol=0.03)  # openers tell, too
    partners = wanted[range(4), range(4)]
    others = (wanted.sum(0)[:4] - partners) / 3
    assert found["follows"] == pytest.approx(np.mean(partners - others), abs=0.03)


def test_authors_with_an_answer_each_on_both_topics_keep_the_rule(village: Corpus) -> None:
    """Character k says answer k mod 4 on either topic: who speaks is known from the first."""
    logp, world = np.array(views.built(village).cast.logp), views.built(village)
    for name in ("weather", "money"):
        x = int(world.grammar.topic_contexts[village.topic_names.index(name), 0, 0])
        for k in range(logp.shape[-1]):
            here = np.isfinite(logp[STANCE, x, :, k])
            logp[STANCE, x, here, k] = -20.0
            logp[STANCE, x, k % 4, k] = 0.0
    cast = tables.make_cast(world.grammar, jnp.asarray(logp))
    policy = CastPolicy(cast, Mixture(views.mostly(village, "mira", 0.2)))
    found = MEASURE(views.snapshot(village, world, policy), KEY)
    assert found["follows"] == pytest.approx(1, abs=1e-3)


def test_what_formation_draws_beside_its_rule_is_what_its_cast_can_do() -> None:
    """The best mixture, found from several starts, and one mixture of sharpened characters."""
    corpus = derive.load("village-unsaid")
    world = views.built(corpus)
    topics = [corpus.topic_names.index(name) for name in (EARLIER, LATER)]
    at = [int(world.grammar.topic_contexts[topic, 0, 0]) for topic in topics]
    answers = [
        np.exp(world.cast.logp[STANCE, x, : len(corpus.topics[topic].answers)])
        for x, topic in zip(at, topics, strict=True)
    ]

    def kept(log_weights: np.ndarray, power: np.ndarray | float = 1.0) -> float:
        earlier, later = (p**power / (p**power).sum(0) for p in answers)
        joint = np.exp(log_weights - log_weights.max()) * earlier
        given = (joint / joint.sum(1, keepdims=True) @ later.T)[:4, :4]
        partners = np.diag(given)
        return float(np.mean(partners - (given.sum(0) - partners) / 3))

    starts = np.random.default_rng(0).normal(0, 3, (8, len(corpus.names)))
    best = max(-minimize(lambda w: -kept(w), start).fun for start in starts)
    shares, power = np.full(len(corpus.names), 1e-9), np.full(len(corpus.names), 8)
    for name in ("mira", "silas", "dorrit"):
        shares[corpus.names.index(name)] = 1 / 3
    edda = corpus.names.index("edda")
    shares[edda], power[edda] = 0.001, 2
    drawn = [value for value, *_ in KEPT]
    assert drawn == pytest.approx([best, kept(np.log(shares), power)], abs=0.006)
