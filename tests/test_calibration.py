"""Calibration: a model's probabilities against the exact ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import views
from toylab.measures.calibration import BINS, Calibration
from toylab.world.schema import Corpus
from toylab.world.tables import World

KEY = jax.random.key(6)


@pytest.fixture(scope="module")
def world(village: Corpus) -> World:
    return views.built(village)


def found(village: Corpus, world: World, policy, tag: str) -> dict:
    snapshot = views.snapshot(village, world, policy)
    return Calibration(tags=(tag,), size=64)(snapshot, KEY)


def even(village: Corpus) -> jax.Array:
    return jnp.log(jnp.full(len(village.names), 1 / len(village.names)))


def test_an_exact_policy_is_off_by_nothing(village: Corpus, world: World) -> None:
    result = found(village, world, views.mixture(world, even(village)), "someone")
    part = result["tags"]["someone"]
    np.testing.assert_allclose(part["off"], 0, atol=1e-5)
    assert result["error"] == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(part["said"], part["exact"], atol=1e-2)
    # Before the first turn there is nothing to forget; after a turn, forgetting costs nats.
    assert part["deaf"][0] == pytest.approx(0, abs=1e-5)
    assert all(nats > 1 for nats in part["deaf"][1:])
    assert len(part["branches"]) == BINS
    assert sum(part["exact"]) < sum(part["branches"])


def test_who_forgets_is_off_by_what_forgetting_costs(village: Corpus, world: World) -> None:
    """With a new author for every turn, predictions are exact within a turn and ignore others."""
    policy = views.chain(village, world, even(village), 0.0)
    part = found(village, world, policy, "someone")["tags"]["someone"]
    np.testing.assert_allclose(part["off"], part["deaf"], rtol=1e-4, atol=1e-5)


def test_by_its_own_name_a_character_is_exact(village: Corpus, world: World) -> None:
    policy = views.mixture(world, views.mostly(village, "edda", 1.0))
    result = found(village, world, policy, "edda")
    np.testing.assert_allclose(result["tags"]["edda"]["off"], 0, atol=1e-4)
    mine = village.names.index("edda")
    called, apart = np.array(result["called"]), np.array(result["apart"])
    np.testing.assert_allclose(called[mine], 0, atol=1e-4)
    # Everybody else is as far from it as from edda.
    np.testing.assert_allclose(called[:, 0], apart[:, mine], atol=0.5)
    np.testing.assert_allclose(np.diag(apart), 0, atol=1e-5)
    assert apart[~np.eye(len(apart), dtype=bool)].min() > 2  # nats of a turn


def test_who_takes_no_heed_of_names_is_as_far_whatever_the_name(
    village: Corpus, world: World
) -> None:
    """A Bayesian that ignores names: it infers the author, but from the answers alone."""
    called = np.array(
        found(village, world, views.mixture(world, even(village)), "someone")["called"]
    )
    np.testing.assert_allclose(called, called[:, :1].repeat(called.shape[1], 1), atol=1e-4)


def test_overconfidence_is_an_error(village: Corpus, world: World) -> None:
    """Under `someone`, a policy that is always edda says .9 where a twelfth of that is right."""
    result = found(
        village, world, views.mixture(world, views.mostly(village, "edda", 1.0)), "someone"
    )
    assert result["error"] > 0.05
