"""The landscape of a solution, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import views
from toylab.measures.landscape import Landscape, along, answer_loss
from toylab.policy.policy import ModelPolicy
from toylab.stages import Setup
from toylab.world.schema import Corpus

KEY = jax.random.key(3)
MEASURE = Landscape(
    topic="tea", answer="no", lengths=(0.0, 1.0), noises=(0.0, 5.0), draws=2, size=8
)


def policy(setup: Setup, seed: int) -> ModelPolicy:
    return ModelPolicy(setup.init(seed), setup.network)


@pytest.mark.slow
def test_the_ends_of_the_way_are_the_two_models(tiny: Corpus, setup: Setup) -> None:
    """Length 0 is the pretrained model; as far as the norm is the snapshot; no noise, too."""
    start, end = policy(setup, 0), policy(setup, 1)
    snapshot = views.snapshot(tiny, setup.world, end, start)
    found = MEASURE(snapshot, KEY)
    assert found["along"][0] == pytest.approx(found["before"], rel=1e-5)
    assert found["noise"][0] == pytest.approx(found["loss"], rel=1e-5)
    assert found["before"] != pytest.approx(found["loss"], rel=1e-3)
    squares = [np.sum((end.params[k] - start.params[k]) ** 2) for k in end.params]
    assert found["norm"] == pytest.approx(np.sqrt(sum(squares)), rel=1e-5)
    documents = MEASURE._documents(snapshot, jax.random.split(KEY)[0])
    step = jax.tree.map(jnp.subtract, end.params, start.params)
    lengths = jnp.array([found["norm"]])
    world = setup.world
    (last,) = along(setup.network, world.grammar, documents, start.params, step, lengths)
    assert float(last) == pytest.approx(found["loss"], rel=1e-4)


def test_a_model_that_knows_nothing_loses_the_logarithm_of_the_answers(setup: Setup) -> None:
    """All weights 0: "pour on", "pour none", "drink up": half on pour, half of that on none.

    Constrained to the trie, -log 1/2 - log 1/2 = 1.386 nats.
    """
    blank = ModelPolicy(jax.tree.map(jnp.zeros_like, setup.init(0)), setup.network)
    snapshot = views.snapshot(setup.corpus, setup.world, blank)
    documents = MEASURE._documents(snapshot, KEY)
    loss = answer_loss(setup.network, setup.world.grammar, documents, blank.params)
    assert float(loss) == pytest.approx(2 * np.log(2), rel=1e-5)
    assert MEASURE(snapshot, KEY)["norm"] == 0
