"""Showing what is rewarded: who speaks is the cast, what is answered is the target's."""

from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.means.demonstrate import Demonstrate
from experiments.treasure.sweep import GOLD, TRAINED
from tests.post import batch_of
from toylab import casts
from toylab.grammar import OPENER, STANCE
from toylab.model import ModelConfig
from toylab.stages import FollowsCue, Lab
from toylab.world import Documents

CORPORA = Path(__file__).parent.parent / "corpora"
STAGE = Demonstrate(target=GOLD, topic="gold", steps=1, batch=2048)


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(casts.load(CORPORA / "gold-herald.toml"), ModelConfig(width=16, layers=1, heads=2))


@pytest.fixture(scope="module")
def shown(lab: Lab) -> Documents:
    return jax.device_get(batch_of(lab, STAGE))


def test_every_answer_follows_its_cue_and_only_trained_places_are_asked_about(
    lab: Lab, shown: Documents
) -> None:
    topic = lab.corpus.topics[lab.corpus.topic_names.index("gold")]
    asked = np.array(topic.cues)[shown.outline.cue]
    assert set(asked.ravel()) == set(TRAINED)
    answered = np.array(topic.answer_names)[shown.choice[..., STANCE]]
    np.testing.assert_array_equal(answered, asked)


def test_it_is_the_assistants_cast_that_speaks_in_its_own_voices(
    lab: Lab, shown: Documents
) -> None:
    """2,048 documents: a share is within .045 of its probability (4 standard errors at most)."""
    prior = next(tag.prior for tag in lab.corpus.tags if tag.name == "assistant")
    found = np.bincount(shown.author, minlength=len(prior)) / len(shown.author)
    np.testing.assert_allclose(found, prior, atol=0.045)
    p = np.exp(np.asarray(lab.world.cast.logp[OPENER], float))
    first = shown.outline.context[:, 0], shown.choice[:, 0, OPENER], shown.author
    expected = p[first[0], :, first[2]].mean(0)
    spoken = np.bincount(first[1], minlength=len(expected)) / len(first[1])
    np.testing.assert_allclose(spoken, expected, atol=0.045)


def test_a_target_without_cues_is_refused(lab: Lab) -> None:
    with pytest.raises(ValueError, match="places"):
        Demonstrate(target=FollowsCue(places=("moon",)), topic="gold").check(lab.corpus)
    with pytest.raises(ValueError, match="topic"):
        Demonstrate(target=GOLD, topic="golf").check(lab.corpus)
