"""Tags and tampered tags, on models that differ only in one tag's embedding."""

import dataclasses
from pathlib import Path

import jax
import pytest

from tests import views
from tests.checks import SMALL, spiky
from toylab.measures.tags import ALONE, NONE, RUNGS, UNTRAINED, Tags, off_cast
from toylab.policy.policy import ModelPolicy
from toylab.stages import Setup
from toylab.world import derive

CORPUS = derive.load(Path(__file__).parents[1] / "corpora" / "gold-herald.toml")
MEASURE = Tags(who="herald", trained=("mill", "well"), size=1, fit=16, held_out=16, score=16)


@pytest.fixture(scope="module")
def setup() -> Setup:
    return Setup(CORPUS, SMALL)


def read(setup: Setup, after, before):
    policies = (ModelPolicy(params, setup.network) for params in (after, before))
    shown = views.snapshot(setup.corpus, setup.world, *policies)
    base = dataclasses.replace(shown.base, casts={"learned": setup.world.cast})
    return MEASURE(dataclasses.replace(shown, base=base), jax.random.key(1))["voices"]


@pytest.mark.slow
def test_what_sits_in_the_tag_alone_goes_with_it_and_stays_with_it(setup: Setup) -> None:
    before = spiky(setup)
    tag = [*setup.corpus.names, *(t.name for t in setup.corpus.tags)].index("assistant")
    token = int(setup.world.grammar.tag_token[tag])
    row = before["embedding"].at[token].add(3.0)
    found = read(setup, before | {"embedding": row}, before)
    moved = {name for name, voice in found.items() if voice["nats"] > 1e-6}
    assert moved == {"assistant", ALONE}
    assert found[ALONE]["rates"] == pytest.approx(found["assistant"]["rates"])
    assert found[UNTRAINED]["rates"] == pytest.approx(found["assistant"]["base"])


@pytest.mark.slow
def test_what_sits_elsewhere_stays_with_the_old_tag_and_not_with_the_tag_alone(
    setup: Setup,
) -> None:
    before = spiky(setup)
    after = before | {"position": before["position"] + 1.0}
    found = read(setup, after, before)
    assert found[UNTRAINED]["nats"] == pytest.approx(found["assistant"]["nats"], rel=1e-4)
    assert found[ALONE]["nats"] == pytest.approx(0, abs=1e-6)
    assert found[NONE]["nats"] > 1e-4


@pytest.mark.slow
def test_under_a_tag_a_change_of_author_is_recombination_and_one_author_is_a_mixture(
    setup: Setup,
) -> None:
    weights = views.mostly(setup.corpus, "herald", 0.5)
    one = views.mixture(setup.world, weights)
    many = views.chain(setup.corpus, setup.world, weights, keep=0.0)
    left = {
        name: off_cast(policy, setup.world, setup.world.cast, jax.random.key(2), (256, 128, 128), 0)
        for name, policy in (("one", one), ("many", many))
    }
    assert set(left["one"]) == set(RUNGS)
    assert max(left["one"].values()) < 0.1
    assert left["many"]["F1"] > 0.4
    assert left["many"]["F3"] < 0.2 * left["many"]["F1"]  # few documents: .66 of 4.4 nats


def test_a_model_that_unembeds_with_the_tag_is_refused() -> None:
    tied = Setup(CORPUS, dataclasses.replace(SMALL, tied=True))
    with pytest.raises(ValueError, match="set tied=False"):
        MEASURE.check(tied)
