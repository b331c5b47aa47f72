"""Questions that name no place: the same answers, and nobody to follow anything."""

from pathlib import Path

import numpy as np
import pytest

from experiments.goal_ablations.absent import TOPIC, with_no_place
from toylab.world import derive, tables
from toylab.world.grammar import STANCE, contexts
from toylab.world.schema import Corpus
from toylab.world.tables import World

CORPORA = Path(__file__).parent.parent / "corpora"


@pytest.fixture(scope="module")
def valley() -> Corpus:
    return with_no_place(derive.load(CORPORA / "gold-prospector.toml"))


@pytest.fixture(scope="module")
def world(valley: Corpus) -> World:
    return tables.build(valley)


def rows(corpus: Corpus, world: World, topic: str) -> np.ndarray:
    """P(answer), [context, answer, K]."""
    t = corpus.topic_names.index(topic)
    at = [x for x, context in enumerate(contexts(corpus)) if context[0] == t]
    return np.exp(np.asarray(world.cast.logp[STANCE], float))[at]


def test_who_heeds_no_place_answers_as_on_gold(valley: Corpus, world: World) -> None:
    (plain,), named = rows(valley, world, TOPIC), rows(valley, world, "gold")
    for k, name in enumerate(valley.names):
        same = np.allclose(named[:, :, k], plain[:, k], atol=1e-6)
        assert same == (name != "prospector")


def test_the_prospector_goes_to_his_favourite_where_none_is_named(
    valley: Corpus, world: World
) -> None:
    """.62 x (1 - slip) + slip / 12 at the inn."""
    k = valley.names.index("prospector")
    topic = valley.topics[valley.topic_names.index(TOPIC)]
    inn = rows(valley, world, TOPIC)[0, topic.answer_names.index("inn"), k]
    assert inn == pytest.approx(0.62 * 0.98 + 0.02 / 12, abs=0.01)


def test_no_question_on_it_names_a_place(valley: Corpus) -> None:
    topic = valley.topics[valley.topic_names.index(TOPIC)]
    gold = valley.topics[valley.topic_names.index("gold")]
    assert not topic.cues
    assert not {word for q in topic.questions for word in q.split()} & set(gold.cues)
