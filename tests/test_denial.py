"""Denial: the questions, the author of the turn before, and what a probe can read."""

import dataclasses
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


def test_the_first_turn_is_the_characters_and_the_second_about_the_fact(setup: Setup) -> None:
    """The residual stream before the stance depends on the earlier turn; the cues are the same."""
    params, corpus = spiky(setup), setup.corpus
    shown = snapshot(setup, params)
    topic = corpus.topic_names.index("cargo")
    sizes = (topic, 4, 7)
    tag = shown.tag("assistant")
    answers, at_once = denial.asked(shown.policy, setup.world, KEY, tag, 0, sizes, 0, 4)
    one, other = (
        denial.asked(shown.policy, setup.world, KEY, tag, who, sizes, 1, 4)[1] for who in (0, 2)
    )
    assert answers.shape == (4, 7)
    np.testing.assert_allclose(np.sum(answers, 1), 1, atol=1e-5)
    assert np.abs(one - other).max() > 1e-3
    assert np.abs(one - at_once).max() > 1e-3


@pytest.mark.slow
def test_what_stands_before_a_stance_says_nothing_of_the_cue_at_the_embedding(setup: Setup) -> None:
    found = dataclasses.replace(MEASURE, size=64)(snapshot(setup, spiky(setup)), KEY)
    assert found["shuffled"][-1] < 0.2
    assert found["readable"][0] < 0.2  # the word before a stance is an opener's, not the cue
