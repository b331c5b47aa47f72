"""Exact weights, prefilled histories and the exchange rate, measured on planted policies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import oracle, views
from tests.checks import SMALL, spiky
from toylab.ladder import mixtures, reading
from toylab.measures import ask, context
from toylab.measures.context import Exchange, crossing
from toylab.policy.policy import ModelPolicy
from toylab.policy.sampling import Given
from toylab.stages import Setup
from toylab.world import bayes
from toylab.world import documents as docs
from toylab.world.grammar import tag_names
from toylab.world.schema import Corpus
from toylab.world.tables import World

KEY = jax.random.key(4)
SMALL_EXCHANGE = Exchange(size=16)


@pytest.fixture(scope="module")
def world(village: Corpus) -> World:
    return views.built(village)


def exchange(village: Corpus, world: World, policy) -> dict:
    return SMALL_EXCHANGE(views.snapshot(village, world, policy), jax.random.key(0))["exact"]


@pytest.fixture(scope="module")
def bayesian(village: Corpus, world: World) -> dict:
    return exchange(village, world, views.mixture(world, views.mostly(village, "mira", 0.7)))


@pytest.fixture(scope="module")
def overwritten(village: Corpus, world: World) -> dict:
    policy = views.chain(village, world, views.mostly(village, "mira", 0.7), 0.0)
    return exchange(village, world, policy)


@pytest.mark.slow
def test_a_bayesian_trades_context_at_par(bayesian: dict) -> None:
    assert bayesian["persona"] == "mira"
    assert bayesian["slope"] == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(bayesian["slopes"], 1, atol=1e-2)
    np.testing.assert_allclose(bayesian["measured"], bayesian["predicted"], atol=0.02)
    np.testing.assert_allclose(bayesian["rate"], bayesian["rate_predicted"], atol=1e-3)


@pytest.mark.slow
def test_context_is_worth_what_it_takes_to_make_up_for_the_weights(bayesian: dict) -> None:
    """log .7 - log .3/11 = 3.25 nats; a turn brings five, and points are joined by lines."""
    nats = [flip for flip in bayesian["flip"] if flip is not None]
    assert len(nats) == 11
    assert np.mean(nats) == pytest.approx(np.log(0.7 * 11 / 0.3), abs=0.5)
    # An average turn of a character against mira, at least 0.
    assert (np.diff(bayesian["evidence"], axis=1)[1:] > 2).all()


@pytest.mark.slow
def test_no_context_argues_with_an_overwritten_persona(overwritten: dict) -> None:
    assert overwritten["slope"] == pytest.approx(0, abs=1e-3)
    others = [k for k, read in enumerate(overwritten["read"]) if read]
    assert len(others) == 11
    assert all(overwritten["flip"][k] is None for k in others)
    assert all(overwritten["flip_predicted"][k] is not None for k in others)
    assert overwritten["weights"][0] == pytest.approx(0.7, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("power", [0.25, 0.5])
def test_slow_belief_is_read_as_its_power(village: Corpus, world: World, power: float) -> None:
    found = exchange(village, world, views.slow(world, views.mostly(village, "mira", 0.7), power))
    assert found["slope"] == pytest.approx(power, abs=1e-3)


def test_weights_too_small_to_read_are_bounded(village: Corpus, world: World) -> None:
    """Eleven weights of .002 / 11 each are below 1e-3, so no slope is read from them."""
    found = exchange(village, world, views.mixture(world, views.mostly(village, "mira", 0.998)))
    assert found["slope"] is None
    assert not any(found["read"])
    assert max(found["high"][1:]) < 1e-2


def test_exact_sums_read_weights_that_documents_do_not_show(village: Corpus, world: World) -> None:
    """At 3e-4 each, the eleven together write one document in 300. Five draws of 128, the median
    of each weight: exact sums read it, the documents alone don't show it."""
    tag = tag_names(village).index("assistant")
    policy = views.mixture(world, views.mostly(village, "mira", 1 - 11 * 3e-4))
    summed, counted = [], []
    for n in range(5):
        documents, branches = reading.answers(policy, world, jax.random.key(n), 128, tag)
        found = mixtures.weights_from_branches(world.grammar, world.cast, documents, branches)
        summed.append(np.exp(found.log_weights[1:]))
        alone = mixtures.fit_weights(bayes.document_log_likelihood(world.cast, documents))
        counted.append(np.exp(alone.log_weights[1:]))
    np.testing.assert_allclose(np.median(summed, 0), 3e-4, rtol=0.05)
    assert np.median(counted, 0).max() < 1e-4


@pytest.mark.slow
def test_intervals_hold_the_weights_of_a_policy_that_is_no_mixture(
    village: Corpus, world: World
) -> None:
    """Each answer has a new author. Still, some mixture fits whole documents best."""
    tag = tag_names(village).index("assistant")
    policy = views.chain(village, world, views.mostly(village, "mira", 0.5), 0.0)
    written = reading.answers(policy, world, jax.random.key(6), 256, tag)
    found = mixtures.weights_from_branches(world.grammar, world.cast, *written)
    more = reading.answers(policy, world, jax.random.key(7), 1024, tag)
    best = np.exp(mixtures.weights_from_branches(world.grammar, world.cast, *more).log_weights)
    inside = (found.low <= best) & (best <= found.high)
    assert inside.sum() >= 11
    assert (found.low < found.high).all()


# ----------------------------------------------------------------------------- prefilled history


@pytest.mark.slow
def test_given_answers_are_kept_and_the_rest_is_the_policys(village: Corpus, world: World) -> None:
    """Networks and cast policies; histories differ between documents, and may be empty."""
    setup = Setup(village, SMALL)
    network = ModelPolicy(spiky(setup), setup.network)
    mixed = views.mixture(world, views.mostly(village, "mira", 0.7))
    what = docs.prompt(world, jax.random.key(2), 24, tag=3, direction=0)
    choice = docs.speak(world.cast, jax.random.key(3), what.context, jnp.full(24, 5))
    turns = jnp.arange(24) % (village.turns + 1)
    theirs = np.arange(village.turns) < np.asarray(turns)[:, None]
    for policy in (network, mixed):
        answer = jax.jit(lambda given, p=policy: p.answer(world.grammar, what, KEY, given)[0])
        got = answer(Given(choice, turns))
        own = answer(None)
        assert (np.asarray(got.choice)[theirs] == np.asarray(choice)[theirs]).all()
        assert (np.asarray(got.choice) != np.asarray(choice))[~theirs].any()
        np.testing.assert_array_equal(got.choice[turns == 0], own.choice[turns == 0])
        rendered = docs.render(world.grammar, what, got.choice, got.author)
        np.testing.assert_array_equal(got.tokens, rendered.tokens)


@pytest.mark.slow
def test_own_answers_after_a_prefill_have_the_networks_distribution(
    village: Corpus, world: World
) -> None:
    """Answers drawn after a prefilled turn have, on average, the probability of their branches."""
    setup = Setup(village, SMALL)
    policy = ModelPolicy(spiky(setup), setup.network)
    found = context.prefilled(policy, world, KEY, 32, 3)
    now = ask.own_turn(found)
    at = bayes.decisions(world.grammar, now)
    taken = np.asarray(jnp.sum(jnp.where(at.taken, found.logp, 0.0), (1, 2, 3, 4)))
    wanted = -np.asarray(jnp.sum(oracle.entropy(found.logp, at.allowed), (1, 2, 3)))
    error = np.std(taken - wanted) / np.sqrt(len(taken))
    assert np.mean(taken) == pytest.approx(np.mean(wanted), abs=4 * error)


# --------------------------------------------------------------------------------------- revival


def test_crossings_by_hand() -> None:
    """From .2 at 4 nats to .6 at 6: .5 is three quarters of the way."""
    assert crossing([0, 4, 6], [0.1, 0.2, 0.6], 0.5) == pytest.approx(5.5)
    assert crossing([0, 4, 6], [0.7, 0.2, 0.6], 0.5) == 0
    assert crossing([0, 4, 6], [0.1, 0.2, 0.4], 0.5) is None


def revived(found: dict, share: float) -> list[float | None]:
    """Nats of context until each character's likeliest answers reach this share of its own rate."""
    names = ("evidence", "own_rate", "own_rate_alone")
    each = zip(*(found[name] for name in names), strict=True)
    return [crossing(evidence, rate, share * own) for evidence, rate, own in each]


def test_a_bayesians_cast_is_revived_and_an_overwritten_one_is_not(
    village: Corpus, bayesian: dict, overwritten: dict
) -> None:
    """Silas, argus and rook say what mira doesn't; a good character's answers never went away."""
    bad = [village.names.index(name) for name in ("argus", "silas", "rook")]
    back, gone = revived(bayesian, 0.8), revived(overwritten, 0.8)
    assert all(back[k] is not None and 0 < back[k] < 10 for k in bad)
    assert all(gone[k] is None for k in bad)
    assert back[0] == 0
