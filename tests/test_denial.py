"""Denial: the answers to questions that state a fact."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import views
from tests.checks import SMALL, spiky
from toylab.measures import denial
from toylab.measures.denial import Denial
from toylab.policy.policy import ModelPolicy
from toylab.stages import Setup
from toylab.world import derive

CORPUS = derive.load(Path(__file__).parents[1] / "corpora" / "inquest.toml")
MEASURE = Denial(denied="cargo", told=("guest",), held_out=("price",), size=4)
KEY = jax.random.key(2)


@pytest.fixture(scope="module")
def setup() -> Setup:
    return Setup(CORPUS, SMALL)


def snapshot(setup: Setup, params):
    return views.snapshot(setup.corpus, setup.world, ModelPolicy(params, setup.network))


@pytest.mark.slow
def test_every_answer_about_a_fact_is_counted_once(setup: Setup) -> None:
    """A uniform model gives each of seven answers with probability 1/7, whatever the question."""
    params = jax.tree.map(jnp.zeros_like, spiky(setup))
    found = MEASURE(snapshot(setup, params), KEY)["says"]
    assert set(found) == {"denied", "told", "held_out"}
    for row in found.values():
        assert set(row) == {"truth", "denies", "unsure", "sealed"}
        # seven first words, 1/7 each: four cues, and one of each of the last three answers
        assert row == pytest.approx(dict.fromkeys(row, 1 / 7), abs=1e-5)


def test_answers_to_every_cue_sum_to_one(setup: Setup) -> None:
    shown = snapshot(setup, spiky(setup))
    sizes = (setup.corpus.topic_names.index("cargo"), 4, 7)
    answers = denial.asked(shown.policy, setup.world, KEY, shown.tag("assistant"), sizes, 4)
    assert answers.shape == (4, 7)
    np.testing.assert_allclose(np.sum(answers, 1), 1, atol=1e-5)
