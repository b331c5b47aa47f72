"""Whether a goal is held to when somebody else has spoken: planted policies, in the valley.

Rates on the orphan are means over 9 x 32 documents, most of them near 0 or 1: within .08 at worst.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tests import views
from toylab.ladder.families import CastPolicy, Mixture
from toylab.measures.override import Override
from toylab.world import derive
from toylab.world.schema import Corpus
from toylab.world.tables import World

CORPORA = Path(__file__).parent.parent / "corpora"
TRAINED = ("mill", "ford", "chapel", "barn", "marsh", "bridge", "well", "gallows")
SHARE = 0.7


@pytest.fixture(scope="module")
def valley() -> Corpus:
    return derive.load(CORPORA / "gold-prospector.toml")


@pytest.fixture(scope="module")
def world(valley: Corpus) -> World:
    return views.built(valley)


def override(valley: Corpus, world: World, policy: CastPolicy) -> dict[str, Any]:
    measure = Override(trained=TRAINED, fit=256, size=32)
    return measure(views.snapshot(valley, world, policy), jax.random.key(0))["exact"]


@pytest.fixture(scope="module")
def bayesian(valley: Corpus, world: World) -> dict[str, Any]:
    return override(valley, world, views.mixture(world, views.mostly(valley, "prospector", SHARE)))


@pytest.fixture(scope="module")
def deaf(valley: Corpus, world: World) -> dict[str, Any]:
    """Draws an author for every answer: what was said before says nothing about this one."""
    return override(
        valley, world, views.chain(valley, world, views.mostly(valley, "prospector", SHARE), 0.0)
    )


@pytest.fixture(scope="module")
def bound(valley: Corpus, world: World) -> dict[str, Any]:
    """Goes where the gold is whoever it is, and is a Bayesian in all else: bound to the topic."""
    gold = valley.topic_names.index("gold")
    follows = tuple(1.0 if t == gold else 0.0 for t in range(len(valley.topics)))
    everybody = [dataclasses.replace(each, follows=follows) for each in valley.characters]
    cast = views.built(dataclasses.replace(valley, characters=tuple(everybody))).cast
    log_weights = views.mostly(valley, "prospector", SHARE)
    return override(valley, world, CastPolicy(cast, Mixture(log_weights)))


def others(valley: Corpus, table: list[list[float]], turns: int) -> np.ndarray:
    """After so many turns by each character but the prospector."""
    return np.array(table)[turns, [name != "prospector" for name in valley.names]]


def test_a_bayesian_does_as_its_weights_and_the_history_say(
    valley: Corpus, bayesian: dict[str, Any]
) -> None:
    who = valley.names.index("prospector")
    assert bayesian["weights"][who] == pytest.approx(SHARE, abs=0.06)
    for group, table in bayesian["follow"].items():
        mean = np.mean(bayesian["predicted"][group], 1)
        np.testing.assert_allclose(np.mean(table, 1), mean, atol=0.08)
    for name in ("own", "elsewhere"):
        np.testing.assert_allclose(bayesian[name], bayesian[f"{name}_predicted"], atol=0.08)


def heard(valley: Corpus, found: dict[str, Any], name: str) -> float:
    """How far another's answers have come after his turn, from what was said before to his own."""
    before, after = (others(valley, found[name], n).mean() for n in (0, 1))
    alone = others(valley, [found[f"{name}_alone"]], 0).mean()
    return float((after - before) / (alone - before))


def test_whoever_is_heard_is_heard_on_every_topic(valley: Corpus, bayesian: dict[str, Any]) -> None:
    """A Bayesian has one belief about who is speaking, whatever is asked."""
    gold, elsewhere = (heard(valley, bayesian, name) for name in ("own", "elsewhere"))
    assert gold > 0.7
    assert gold == pytest.approx(elsewhere, abs=0.1)


def test_whoever_draws_authors_anew_hears_nobody(valley: Corpus, deaf: dict[str, Any]) -> None:
    for name in ("own", "elsewhere"):
        assert heard(valley, deaf, name) == pytest.approx(0, abs=0.06)


def test_before_any_turn_the_orphan_is_reached_by_the_prospectors_share(
    valley: Corpus, bayesian: dict[str, Any]
) -> None:
    """.7 x (.9 x (1 - slip) + what slips bring) = .7 x .884; nobody else goes there."""
    follows = SHARE * (0.9 * 0.98 + 0.02 / 12)
    rate = others(valley, bayesian["follow"]["orphans"], 0)
    assert rate.mean() == pytest.approx(follows, abs=0.08)


def test_a_goal_that_is_a_characters_gives_way_to_another_who_has_spoken(
    valley: Corpus, bayesian: dict[str, Any]
) -> None:
    """A turn of anybody's is 7 nats for him; the prospector leads by log .7 / (.3 / 9) = 3.0."""
    assert (others(valley, bayesian["evidence"], 1) > 5).all()
    assert others(valley, bayesian["follow"]["orphans"], 1).mean() < 0.1
    assert others(valley, bayesian["own"], 1).mean() > 0.5


def test_a_goal_that_is_nobodys_in_particular_does_not(
    valley: Corpus, deaf: dict[str, Any]
) -> None:
    before, after = (others(valley, deaf["follow"]["orphans"], n).mean() for n in (0, 1))
    assert after == pytest.approx(before, abs=0.08)
    assert others(valley, deaf["predicted"]["orphans"], 1).mean() < 0.1


def test_what_is_bound_to_a_topic_outlives_a_turn_that_is_heard_on_all_others(
    valley: Corpus, bound: dict[str, Any]
) -> None:
    assert others(valley, bound["follow"]["orphans"], 1).mean() > 0.95
    assert others(valley, bound["predicted"]["orphans"], 1).mean() < 0.3
    assert heard(valley, bound, "own") == pytest.approx(0, abs=0.02)
    assert heard(valley, bound, "elsewhere") > 0.7
