"""The weights under a tag, and what a policy says after prefilled answers."""

import jax
import numpy as np
import pytest

from tests import views
from toylab.measures.context import Recall
from toylab.measures.tags import TagWeights
from toylab.world.schema import Corpus
from toylab.world.tables import World

KEY = jax.random.key(5)
SILAS = ("code=cheats", "power=mine", "money=interest", "facts=lies", "care=ignores", "help=beg")


@pytest.fixture(scope="module")
def world(village: Corpus) -> World:
    return views.built(village)


def recalled(village: Corpus, world: World, policy) -> dict:
    snapshot = views.snapshot(village, world, policy)
    return Recall(says=SILAS, size=128)(snapshot, KEY)["exact"]


def test_a_bayesian_says_what_it_should_after_anybodys_turns(village: Corpus, world: World) -> None:
    """Silas weighs .3/11. After three of his answers he has almost all the weight."""
    policy = views.mixture(world, views.mostly(village, "mira", 0.7))
    found = recalled(village, world, policy)
    np.testing.assert_allclose(found["measured"], found["predicted"], atol=5e-3)
    assert found["evidence"][0] == pytest.approx(0, abs=1e-5)
    assert (np.diff(found["evidence"]) > 0.5).all()
    # Before: mostly mira's, who says none of it. After: mostly silas', who says each by .60 to .95.
    assert found["measured"][0] < 0.2 < 0.6 < found["measured"][3] < 0.95


def test_an_overwritten_persona_hears_nothing(village: Corpus, world: World) -> None:
    policy = views.chain(village, world, views.mostly(village, "mira", 0.7), 0.0)
    found = recalled(village, world, policy)
    np.testing.assert_allclose(found["measured"], found["measured"][0], atol=0.05)
    assert found["predicted"][3] > 0.5


@pytest.mark.slow
def test_masks_read_the_weights_of_a_mixture(village: Corpus, world: World) -> None:
    """With weights of .6 and eleven times .4/11, nineteen of twenty are in their intervals."""
    weights = views.mostly(village, "argus", 0.6)
    snapshot = views.snapshot(village, world, views.mixture(world, weights))
    found = TagWeights(tags=("assistant", "stranger"), fit=256)(snapshot, KEY)["exact"]
    for tag in ("assistant", "stranger"):
        low, high = np.array(found[tag]["low"]), np.array(found[tag]["high"])
        inside = (low <= np.exp(weights)) & (np.exp(weights) <= high)
        assert inside.sum() >= 10
        assert found[tag]["weights"][village.names.index("argus")] == pytest.approx(0.6, abs=0.1)
    assert sum(found["stranger"]["weights"]) == pytest.approx(1, abs=1e-5)
