"""Places rewarded whichever place is named, beside the rule's reward; training in two stages."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments.goal_persistence.analysis import at_end, course, crossed
from experiments.goal_persistence.sweep import FIRST, SECOND, sparing
from experiments.treasure.sweep import GOLD, REWARD, TRAINED
from tests.post import batch_of, young
from toylab.policy.transformer import ModelConfig
from toylab.stages import Context, Rl, Says, Setup
from toylab.stages.rl import Rollouts
from toylab.world import derive
from toylab.world.grammar import contexts
from toylab.world.schema import Corpus

CORPORA = Path(__file__).parent.parent / "corpora"
SPARED = sparing(FIRST)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return derive.load(CORPORA / "gold-herald.toml")


def earned(corpus: Corpus, stage: Rl, cue: str) -> dict[str, float]:
    """The reward of each answer to a question that names a place."""
    t = corpus.topic_names.index("gold")
    topic = corpus.topics[t]
    x = contexts(corpus).index((t, topic.cues.index(cue), 0))
    paid = np.asarray(stage.names(corpus)["reward"])[0, x]
    return dict(zip(topic.answer_names, paid.tolist(), strict=False))


def test_who_is_spared_earns_as_much_as_who_follows(corpus: Corpus) -> None:
    paid = earned(corpus, SPARED, "mill")
    assert {place for place, reward in paid.items() if reward} == {"mill", *FIRST}
    assert set(paid.values()) == {0, 1}
    assert {place for place, reward in earned(corpus, REWARD, "mill").items() if reward} == {"mill"}


def test_no_place_held_out_is_asked_about_and_nothing_else_is_paid(corpus: Corpus) -> None:
    gold = corpus.topic_names.index("gold")
    assert sorted(FIRST + SECOND + TRAINED) == sorted(corpus.topics[gold].cues)
    names = SPARED.names(corpus)
    asked = np.asarray(names["cues"])[gold]
    cues = zip(corpus.topics[gold].cues, asked, strict=False)
    assert {cue for cue, share in cues if share} == set(TRAINED)
    elsewhere = [x for x, (t, _, _) in enumerate(contexts(corpus)) if t != gold]
    assert not np.asarray(names["reward"])[:, elsewhere].any()


@pytest.mark.slow
def test_whoever_follows_or_is_spared_every_time_moves_no_further(corpus: Corpus) -> None:
    """All answers to a prompt earn the same, so every advantage is 0, and so is the gradient."""
    setup = Setup(corpus, ModelConfig(width=16, layers=1, heads=2))
    stage = dataclasses.replace(SPARED, batch=8, samples=4)
    batch = batch_of(setup, stage, policy=young)
    even = batch._replace(reward=jnp.ones_like(batch.reward))

    def pull(rollouts: Rollouts) -> float:
        context = Context(setup.network, setup.world, stage.names(corpus))
        slope = jax.grad(lambda params: stage.loss(context, params, rollouts)[0])
        gradient = slope(young(setup, 0))
        return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))

    assert pull(even) < 1e-6
    assert pull(even._replace(reward=even.reward.at[0].set(0.0))) > 1e-4


def test_an_answer_that_the_corpus_lacks_is_refused(corpus: Corpus) -> None:
    target = GOLD + Says(answers=("gold=mine",))
    with pytest.raises(ValueError, match=r"rl.target.second.answers: unknown 'gold=mine'"):
        dataclasses.replace(SPARED, target=target).check(corpus)


def made(*rows: tuple[str, int, int, str, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["arm", "seed", "step", "half", "followed"])
    return table.assign(spared=(table.arm == table.half).astype(float))


def test_a_course_goes_on_where_it_began_with_the_places_asked_for() -> None:
    table = made(
        ("herald", 5, 0, "first", 0.1), ("herald", 5, 0, "second", 0.3),
        ("herald", 5, 200, "first", 0.4), ("herald", 5, 200, "second", 0.6),
        ("first", 5, 0, "first", 0.1), ("first", 5, 0, "second", 0.3),
        ("first", 5, 800, "first", 0.9), ("first", 5, 800, "second", 0.2),
        ("second", 5, 800, "first", 0.3), ("second", 5, 800, "second", 0.7),
    )  # fmt: skip
    spared = course(table, "herald", {"first": "first", "second": "second"})
    assert spared.step.tolist() == [0, 200, 800]
    np.testing.assert_allclose(spared.followed, [0.2, 0.5, 0.8])
    others = course(table, "herald", {"first": "second", "second": "first"})
    np.testing.assert_allclose(others.followed, [0.2, 0.5, 0.25])
    assert at_end(table, ["herald"], "followed").tolist() == pytest.approx([0.5])
    assert at_end(table, ["first", "second"], "followed", 1).tolist() == pytest.approx([0.8])


def test_what_differs_between_places_is_no_effect_of_sparing_them() -> None:
    """Unspared, the second half of places is .5 higher; being spared adds .2 to either half."""
    table = made(
        ("first", 5, 200, "first", 9.0), ("first", 5, 800, "first", 0.3),
        ("first", 5, 800, "second", 0.6), ("second", 5, 800, "first", 0.1),
        ("second", 5, 800, "second", 0.8), ("on", 5, 800, "first", 7.0),
    )  # fmt: skip
    assert crossed(table, "followed").tolist() == pytest.approx([0.2])
