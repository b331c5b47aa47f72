from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests import brute, checks, oracle
from tests.brute import Brute
from tests.checks import beliefs
from toylab.world import bayes, derive, tables
from toylab.world import documents as docs
from toylab.world.grammar import PAD, tag_names

CORPORA = Path(__file__).parent.parent / "corpora"
SHIPPED = sorted(file.name for file in CORPORA.glob("*.toml"))


def test_log_likelihood_equals_the_twin(holds) -> None:
    holds(beliefs.check_log_likelihood)


def test_belief_after_every_word_equals_the_twin(holds) -> None:
    holds(beliefs.check_belief)


def test_predictive_equals_the_twin_and_sums_to_one(holds) -> None:
    holds(beliefs.check_predictive)


def test_next_word_equals_the_twin_everywhere(holds) -> None:
    holds(beliefs.check_next_word)


@pytest.mark.slow
def test_excess_is_a_divergence_summed_over_next_words(holds) -> None:
    holds(beliefs.check_excess)


def test_divergence_equals_the_twin(holds) -> None:
    holds(beliefs.check_kl)


def test_reweighting_by_hand(holds) -> None:
    holds(beliefs.check_reweight)


def test_the_least_loss_is_the_entropy_of_the_answers(twin: Brute) -> None:
    """Word entropies, summed over decisions and averaged, give the entropy of a document."""
    world, which = tables.build(twin.corpus), twin.prompt(checks.DIRECTED, checks.ASKED)
    _, logp, at = beliefs.predicted(world, twin, beliefs.MIX, checks.rendered(world, twin, which))
    nats = np.asarray(checks.fresh(oracle.entropy)(logp, at.allowed), float).sum((1, 2, 3))
    chance = twin.likelihood[which] @ beliefs.MIX
    checks.same(chance @ nats, twin.surprise(beliefs.MIX, which))


def test_a_belief_may_start_differently_for_every_document(twin: Brute) -> None:
    world, which = tables.build(twin.corpus), twin.prompt(checks.DIRECTED, checks.ASKED)
    documents = checks.rendered(world, twin, which)
    rows = np.log(np.where(np.arange(which.sum())[:, None] % 2, beliefs.MIX, beliefs.OTHER))
    got = checks.fresh(oracle.belief)(world.grammar, world.cast, jnp.asarray(rows), documents)
    for parity, weights in ((0, beliefs.OTHER), (1, beliefs.MIX)):
        wanted = twin.posterior(weights)[which][parity::2]
        checks.same(jnp.exp(got[parity::2]), wanted)


def test_the_predictive_is_the_belief_averaged_over_next_words(twin: Brute) -> None:
    """Belief at a word = Σ over next words of their chance x the belief after them."""
    prior = brute.tag_prior(twin.corpus, "assistant")
    now, chance = twin.posterior(prior)[..., :2, :], twin.predictive(prior)
    joint = prior * twin.reach
    after = (joint / joint.sum(-1, keepdims=True))[twin.following]
    averaged = np.einsum("...v,...vk->...k", chance, after)
    some = chance.sum(-1) > 0
    world = tables.build(twin.corpus)
    row = world.log_prior[tag_names(twin.corpus).index("assistant")]
    documents = checks.rendered(world, twin)
    belief = checks.fresh(oracle.belief)(world.grammar, world.cast, row, documents)
    checks.same(jnp.exp(belief)[..., :2, :][some], averaged[some])
    checks.same(averaged[some], now[some], 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_next_words_multiply_to_the_chance_of_a_document(name: str) -> None:
    """In every corpus that ships: Σ log P(next word) = log P(questions) + log P(answers)."""
    world = tables.build(derive.load(CORPORA / name))
    documents = docs.sample(world, jax.random.key(0), 32)
    prior = world.log_prior[documents.prompt.tag]
    chance = np.asarray(bayes.next_word(world, prior, documents))
    after = np.asarray(documents.tokens)[:, 1:, None]
    inside = np.asarray(documents.role)[:, 1:] != PAD
    picked = np.take_along_axis(chance[:, :-1], after, -1)[..., 0]
    words = np.log(np.where(inside, picked, 1.0)).sum(1)
    answers = jax.nn.logsumexp(prior + bayes.document_log_likelihood(world.cast, documents), -1)
    checks.same(words, oracle.question_log_likelihood(world, documents) + answers, 1e-4)
    checks.same(chance.sum(-1)[:, :-1], inside)


# Properties, on three atoms.

NATS = st.floats(-8, 8, width=32)
VECTOR = arrays(np.float32, 3, elements=NATS)
RATE = st.floats(0, 2, width=32)
reweight, tilt = jax.jit(bayes.reweight), jax.jit(oracle.tilt)


@given(VECTOR, VECTOR)
def test_reweighting_at_rate_zero_is_the_prior(prior, evidence) -> None:
    prior = np.asarray(jax.nn.log_softmax(prior))
    checks.same(reweight(prior, evidence, 0.0), prior)


@given(VECTOR, VECTOR, VECTOR, RATE)
def test_evidence_is_additive(prior, first, second, tau) -> None:
    one_by_one = reweight(reweight(prior, first, tau), second, tau)
    checks.same(one_by_one, reweight(prior, first + second, tau), 1e-4)


@given(VECTOR, VECTOR, NATS, RATE)
def test_what_all_explain_alike_is_no_evidence(prior, evidence, shared, tau) -> None:
    got = reweight(prior, evidence + shared, tau)
    checks.same(got, reweight(prior, evidence, tau), 1e-4)


@given(VECTOR, VECTOR, RATE)
def test_log_odds_move_by_the_rate_times_the_evidence(prior, evidence, tau) -> None:
    got = np.asarray(reweight(prior, evidence, tau))
    odds, before = got - got[0], prior - prior[0]
    checks.same(odds, before + tau * (evidence - evidence[0]), 1e-4)
    checks.same(np.exp(got).sum(), 1.0)


@given(VECTOR, VECTOR, st.permutations(range(3)), RATE)
def test_reweighting_does_not_care_who_is_who(prior, evidence, order, tau) -> None:
    order = np.array(order)
    got = reweight(prior[order], evidence[order], tau)
    checks.same(got, np.asarray(reweight(prior, evidence, tau))[order], 1e-5)


@given(VECTOR, VECTOR, st.floats(0.125, 8, width=32))
def test_the_tilt_is_the_best_of_reward_less_divergence(reference, reward, beta) -> None:
    """Its value is β log Σ π_ref exp(r / β), and no other policy's is higher (Korbak et al.)."""
    reference = np.asarray(jax.nn.log_softmax(reference), float)

    def value(logp):
        p = np.exp(logp)
        return p @ reward - beta * p @ (logp - reference)

    best = np.asarray(tilt(reference, reward, beta), float)
    top = np.max(reference + reward / beta)
    exact = beta * (top + np.log(np.sum(np.exp(reference + reward / beta - top))))
    assert abs(value(best) - exact) < 1e-3
    for other in np.random.default_rng(0).normal(size=(5, 3)):
        assert value(np.asarray(jax.nn.log_softmax(other), float)) <= exact + 1e-3


@given(VECTOR, VECTOR)
def test_divergence_is_positive_and_zero_of_the_same(p, q) -> None:
    p, q = (np.asarray(jax.nn.log_softmax(x)) for x in (p, q))
    everything = np.ones(3, bool)
    assert bayes.kl(p, q, everything) >= -1e-5
    assert bayes.kl(p, p, everything) == 0
    assert -1e-5 <= oracle.entropy(p, everything) <= np.log(3) + 1e-5
