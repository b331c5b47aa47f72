"""The policy that a reading uses as the start of the ladder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import checks
from tests.checks import beliefs
from toylab.ladder import reading
from toylab.ladder.families import CastPolicy, Mixture
from toylab.stages import Setup
from toylab.world.grammar import tag_names
from toylab.world.schema import Corpus

SETTINGS = reading.LadderFit(fit=4096, score=2048)


def policy_of(setup: Setup, weights) -> CastPolicy:
    return CastPolicy(setup.world.cast, Mixture(jnp.log(jnp.asarray(weights, jnp.float32))))


@pytest.mark.slow
def test_the_start_is_the_prior_of_a_tag_that_never_changed(tiny: Corpus) -> None:
    setup = Setup(tiny, checks.SMALL)
    policy = policy_of(setup, beliefs.OTHER)
    base = reading.prepare(setup, policy, jax.random.key(0), SETTINGS)
    row = tag_names(tiny).index("assistant")
    np.testing.assert_array_equal(base.log_prior, setup.world.log_prior[row])


@pytest.mark.slow
def test_where_the_prior_changed_the_start_is_fitted_and_fits(tiny: Corpus) -> None:
    """A policy half way between the two priors is explained by F0 alone, to 1e-3 nats."""
    setup = Setup(checks.turning(tiny), checks.SMALL)
    weights = np.array([0.3, 0.25, 0.45])
    policy = policy_of(setup, weights)
    base = reading.prepare(setup, policy, jax.random.key(0), SETTINGS)
    assert np.exp(base.log_prior) == pytest.approx(weights, abs=0.05)
    read = reading.read(setup, base, policy, jax.random.key(1), SETTINGS)
    assert read["exact"]["F0"] < 0.01
    row = tag_names(setup.corpus).index("assistant")
    told = reading.Reference(base.casts, base.nuisances, setup.world.log_prior[row])
    read = reading.read(setup, told, policy, jax.random.key(1), SETTINGS)
    assert read["exact"]["F0"] > 0.1
