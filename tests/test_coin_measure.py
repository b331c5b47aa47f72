from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from tests import checks
from toylab.measures import tags
from toylab.policy.policy import ModelPolicy
from toylab.stages import Setup
from toylab.world import derive, tables

CORPORA = Path(__file__).parents[1] / "corpora"
TURNS = 2


@pytest.fixture(scope="module")
def setup() -> Setup:
    return Setup(derive.load(CORPORA / "gold-herald-coin.toml"), checks.SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("bias", [0.0, 2.0])
def test_a_bias_towards_a_side_is_read_as_such(setup: Setup, bias: float) -> None:
    """Final states of all ones times an unembedding of 0 but for one word: odds are exp(bias)."""
    params = setup.init(0)
    grammar = setup.world.grammar
    # With all residuals equal to 1, rms_norm is 1 in each of the W entries.
    flat = {name: jnp.zeros_like(value) for name, value in params.items()}
    flat["embedding"] = jnp.ones_like(params["embedding"])
    width = params["unembedding"].shape[0]
    first = int(grammar.coin_token[0])
    flat["unembedding"] = flat["unembedding"].at[:, first].set(bias / width)
    policy = ModelPolicy(flat, setup.network)
    found = tags.tosses(policy, setup.world, jax.random.key(0), 8, jnp.arange(2))
    expected = float(jax.nn.sigmoid(bias))
    assert found.shape == (2, 2)
    assert jnp.allclose(found, jnp.array([expected, 1 - expected]), atol=1e-4)
    assert tables.build(setup.corpus).grammar.turns == TURNS
