"""What a reading takes for the start of a ladder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import checks
from toylab.corpus import Corpus
from toylab.grammar import tag_names
from toylab.measures import reading
from toylab.measures.families import Mixture
from toylab.measures.measure import View
from toylab.measures.policy import CastPolicy
from toylab.stages import Lab

SETTINGS = reading.Settings(fit=4096, score=2048)


def policy_of(lab: Lab, weights) -> CastPolicy:
    return CastPolicy(lab.world.cast, Mixture(jnp.log(jnp.asarray(weights, jnp.float32))))


def test_the_start_is_the_prior_of_a_tag_that_never_changed(tiny: Corpus) -> None:
    lab = Lab(tiny, checks.SMALL)
    policy = policy_of(lab, checks.OTHER)
    base = reading.prepare(lab, policy, jax.random.key(0), SETTINGS)
    row = tag_names(tiny).index("assistant")
    np.testing.assert_array_equal(base.log_prior, lab.world.log_prior[row])


def test_where_the_prior_changed_the_start_is_fitted_and_fits(tiny: Corpus) -> None:
    """A policy half way between the two priors is explained by F0 alone, to 1e-3 nats."""
    lab = Lab(checks.turning(tiny), checks.SMALL)
    weights = np.array([0.3, 0.25, 0.45])
    policy = policy_of(lab, weights)
    base = reading.prepare(lab, policy, jax.random.key(0), SETTINGS)
    assert np.exp(base.log_prior) == pytest.approx(weights, abs=0.05)
    read = reading.read(View(lab, base, policy, policy), jax.random.key(1), SETTINGS)
    assert read["exact"]["F0"] < 0.01
    row = tag_names(lab.corpus).index("assistant")
    told = reading.Base(base.casts, base.nuisances, lab.world.log_prior[row])
    assert (
        reading.read(View(lab, told, policy, policy), jax.random.key(1), SETTINGS)["exact"]["F0"]
        > 0.1
    )
