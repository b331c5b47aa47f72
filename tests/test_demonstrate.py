"""Demonstrations of what is rewarded: the cast speaks, and gives the target's answers."""

from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.goal_ablations.demonstrate import Demonstrate
from experiments.treasure.sweep import GOLD, TRAINED
from tests.post import batch_of
from toylab.policy.transformer import ModelConfig
from toylab.stages import FollowsCue, Setup
from toylab.world import derive
from toylab.world.documents import Documents
from toylab.world.grammar import OPENER, STANCE

CORPORA = Path(__file__).parent.parent / "corpora"
STAGE = Demonstrate(target=GOLD, topic="gold", steps=1, batch=2048)


@pytest.fixture(scope="module")
def setup() -> Setup:
    return Setup(
        derive.load(CORPORA / "gold-herald.toml"), ModelConfig(width=16, layers=1, heads=2)
    )


@pytest.fixture(scope="module")
def shown(setup: Setup) -> Documents:
    return jax.device_get(batch_of(setup, STAGE))


def test_every_answer_follows_its_cue_and_only_trained_places_are_asked_about(
    setup: Setup, shown: Documents
) -> None:
    topic = setup.corpus.topics[setup.corpus.topic_names.index("gold")]
    asked = np.array(topic.cues)[shown.prompt.cue]
    assert set(asked.ravel()) == set(TRAINED)
    answered = np.array(topic.answer_names)[shown.choice[..., STANCE]]
    np.testing.assert_array_equal(answered, asked)


def test_it_is_the_assistants_cast_that_speaks_in_its_own_voices(
    setup: Setup, shown: Documents
) -> None:
    """2,048 documents: a share is within .045 of its probability (4 standard errors at most)."""
    prior = next(tag.prior for tag in setup.corpus.tags if tag.name == "assistant")
    found = np.bincount(shown.author, minlength=len(prior)) / len(shown.author)
    np.testing.assert_allclose(found, prior, atol=0.045)
    p = np.exp(np.asarray(setup.world.cast.logp[OPENER], float))
    first = shown.prompt.context[:, 0], shown.choice[:, 0, OPENER], shown.author
    expected = p[first[0], :, first[2]].mean(0)
    spoken = np.bincount(first[1], minlength=len(expected)) / len(first[1])
    np.testing.assert_allclose(spoken, expected, atol=0.045)


def test_a_target_without_cues_is_refused(setup: Setup) -> None:
    with pytest.raises(ValueError, match="places"):
        Demonstrate(target=FollowsCue(places=("moon",)), topic="gold").check(setup.corpus)
    with pytest.raises(ValueError, match="topic"):
        Demonstrate(target=GOLD, topic="golf").check(setup.corpus)
