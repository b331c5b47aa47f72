"""Trait scores, and forecasts from what a run was trained on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute, views
from toylab.ladder import theory, traits
from toylab.ladder.families import CastPolicy, Switching
from toylab.measures.tags import Scores
from toylab.stages import Setup, Sft
from toylab.world.grammar import STANCE, contexts
from toylab.world.schema import Corpus

KEY = jax.random.key(0)


def test_scores_of_one_character_are_its_traits(tiny: Corpus, setup: Setup) -> None:
    """With the direction, which Bob obeys, and without."""
    world = setup.world
    weights = views.mostly(tiny, "bob", 1.0)
    snapshot = views.snapshot(tiny, world, views.mixture(world, weights))
    found = Scores(directions=("", "order"), size=256)(snapshot, KEY)["assistant"]
    for direction, told in enumerate(("", "order")):
        table = np.asarray(traits.of_characters(tiny, world.cast, direction))
        items = [item.group for item in traits.items(tiny)]
        rest = np.array([group not in ("opener", "closer") for group in items])
        # cues are drawn, so what depends on them comes out within sampling error
        assert np.asarray(found[told])[rest] == pytest.approx(table[rest, 1], abs=0.04)
    shut = [tuple(item[:2]) for item in traits.items(tiny)].index(("door", "shut"))
    assert found["order"][shut] > 0.7 > 0.5 > found[""][shut]


def test_scores_are_of_the_first_turn_whatever_follows(tiny: Corpus, setup: Setup) -> None:
    """Planted: Bob gives the first answer, and another author the later ones."""
    world = setup.world
    bob, other = (views.mostly(tiny, "bob", share) for share in (1.0, 0.0))
    rows = jnp.broadcast_to(other, (len(contexts(tiny)), len(other)))
    never = jnp.array([[0.0, views.NEVER], [views.NEVER, 0.0]])
    switched = CastPolicy(world.cast, Switching(bob, never, rows))
    alone, found = (
        np.asarray(Scores(size=256)(views.snapshot(tiny, world, p), KEY)["assistant"][""])
        for p in (views.mixture(world, bob), switched)
    )
    np.testing.assert_allclose(found, alone, atol=1e-4)


@pytest.mark.parametrize("neutral", [False, True])
def test_evidence_is_of_what_the_loss_was_on(twin, setup: Setup, neutral: bool) -> None:
    """By brute force: the sum of a document's phrases, or of its stances alone."""
    stage = Sft(author="bob", direction="order", neutral=neutral, documents=3)
    found = np.asarray(theory.evidence(setup, stage, seed=0))
    assert found.shape == (3, 3)
    documents = theory.trained_on(setup, stage, 0)
    for n in range(3):
        wanted = np.zeros(3)
        for t in range(2):
            for s in range(3):
                place = int(documents.prompt.topic[n, t]), int(documents.prompt.cue[n, t])
                said = int(documents.choice[n, t, s])
                if s == STANCE or not neutral:
                    wanted += np.log(brute.slot(twin.corpus, s, *place, 1)[1][said])
        np.testing.assert_allclose(found[n], wanted, rtol=1e-4)
