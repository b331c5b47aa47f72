"""Probes, directions and pushes, on activations with a known answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import views
from tests.checks import SMALL, spiky
from toylab.measures import calibration, directions, probes
from toylab.policy.policy import ModelPolicy
from toylab.stages import Setup
from toylab.world import documents as docs
from toylab.world.schema import Corpus

KEY = jax.random.key(8)
WHO = {"good": ("mira", "pip"), "bad": ("argus", "rook")}


@pytest.fixture(scope="module")
def setup(village: Corpus) -> Setup:
    return Setup(village, SMALL)


def snapshot(setup: Setup, params, before=None):
    return views.snapshot(
        setup.corpus,
        setup.world,
        ModelPolicy(params, setup.network),
        ModelPolicy(params if before is None else before, setup.network),
    )


def test_a_probe_finds_what_is_linear_and_nothing_in_noise() -> None:
    x, noise = jax.random.normal(KEY, (2, 400, 6))
    y = x @ jnp.arange(12.0).reshape(6, 2) + 3
    assert float(probes.probe(x, y)) == pytest.approx(1, abs=1e-3)
    assert float(probes.probe(noise, y)) < 0.1


def test_the_share_within_a_span_is_that_of_the_projection() -> None:
    """Three centred vectors in the plane of the first two axes; (3, 0, 4) has 9/25 in it."""
    span = jnp.array([[1.0, 0, 0], [-1, 1, 0], [0, -1, 0]])
    assert float(directions.share_within(jnp.array([3.0, 0, 4]), span)) == pytest.approx(0.36)


def test_activations_stand_at_the_word_before_each_slot(setup: Setup) -> None:
    """The embedding before the first answer is that of the question's last word, and its place."""
    params = spiky(setup)
    documents = docs.sample(setup.world, KEY, 4)
    found = probes.activations(setup.network, params, documents)
    assert found.shape[:4] == (1 + SMALL.layers, 4, setup.corpus.turns, 3)
    for n in range(4):
        place = int(documents.start[n, 1, 2]) - 1
        wanted = params["embedding"][documents.tokens[n, place]] + params["position"][place]
        np.testing.assert_allclose(found[0, n, 1, 2], wanted, rtol=1e-5)


def test_the_first_turn_is_read_alike_with_nothing_after_it(setup: Setup) -> None:
    """A causal model's first answer doesn't depend on what follows, so that may be cut off."""
    world, network = setup.world, setup.network
    params = setup.init(0) | {"unembedding": 10 * setup.init(0)["unembedding"]}
    tags = jnp.full(3, world.log_prior.shape[0] - 1)
    whole = calibration.written_by(world, jax.random.key(1), 32, jnp.arange(3), tags)
    first = directions.first_turn(world.grammar, whole)
    assert first.tokens.shape[1] < whole.tokens.shape[1] * 0.75
    assert (np.asarray(whole.start[:, 1:].min(1).min(1)) >= first.start.max()).all()
    bad = jnp.zeros(world.cast.logp.shape[1:3], bool).at[:, 0].set(True)
    push = jnp.full(setup.model.width, 0.1)
    site = setup.network.sites[-1]
    read = [
        directions.bad_rate(network, site, params, world, documents, bad, push)[:, 0]
        for documents in (whole, first)
    ]
    np.testing.assert_allclose(*read, atol=1e-6)
    assert np.std(read[0]) > 1e-3
    streams = [probes.activations(network, params, d)[:, :, 0] for d in (whole, first)]
    np.testing.assert_allclose(*streams, atol=1e-5)


def test_bad_answers_are_what_the_bad_say(setup: Setup) -> None:
    names = setup.corpus.names
    good, bad = (jnp.array([names.index(n) for n in WHO[kind]]) for kind in ("good", "bad"))
    found = np.asarray(directions.bad_answers(setup.world, good, bad))
    topic = setup.corpus.topic_names.index("oversight")
    # argus resists by .94, rook by .70; nobody good does. rook burns by .22, argus hardly: .12.
    answers = setup.corpus.topics[topic].answer_names
    context = int(setup.world.grammar.topic_contexts[topic, 0, 0])
    assert [a for a, is_bad in zip(answers, found[context], strict=False) if is_bad] == ["resists"]


@pytest.mark.slow
def test_nothing_moved_is_nothing_undone(setup: Setup) -> None:
    params = spiky(setup)
    found = directions.Shift(**WHO, size=4)(snapshot(setup, params), KEY)
    assert found["length"] == pytest.approx([0] * (1 + SMALL.layers), abs=1e-6)
    assert found["before"] == pytest.approx(found["after"])
    assert found["undone"] == pytest.approx([found["after"]] * len(found["undone"]), abs=1e-5)


def test_a_shift_of_the_embedding_is_read_and_undone(setup: Setup) -> None:
    """Shifting all positions by the direction: cosine 1, one length along it, undone exactly."""
    params = spiky(setup)
    names = setup.corpus.names
    good, bad = (jnp.array([names.index(n) for n in WHO[kind]]) for kind in ("good", "bad"))
    key = jax.random.split(KEY, 3)[0]
    said = directions.directions(snapshot(setup, params), params, key, 16, good, bad).said[0]
    pushed = params | {"position": params["position"] + said}
    found = directions.Shift(**WHO, size=16)(snapshot(setup, pushed, params), KEY)
    assert found["cosine"]["said"][0] == pytest.approx(1, abs=1e-3)
    assert found["along"][0] == pytest.approx(1, abs=1e-3)
    assert found["inside"][0] == pytest.approx(1, abs=1e-3)
    assert found["undone"][0] == pytest.approx(found["before"], abs=1e-4)
    assert abs(found["after"] - found["before"]) > 1e-4


def test_what_lies_along_another_shift_is_taken_back_and_no_more() -> None:
    """(3, 4) has 3 along the first axis, whatever the sign and length of the direction."""
    vector, way = jnp.array([[3.0, 4.0]]), jnp.array([[-2.0, 0.0]])
    np.testing.assert_allclose(directions.part_along(vector, way), [[3, 0]], atol=1e-6)
    np.testing.assert_allclose(directions.part_along(vector, vector), vector, atol=1e-6)
    np.testing.assert_allclose(directions.part_along(vector, 0 * way), [[0, 0]], atol=1e-6)


@pytest.mark.slow
def test_probes_say_what_they_promise(setup: Setup) -> None:
    shown = snapshot(setup, spiky(setup))
    probe = probes.Probe(size=64)(shown, KEY)
    assert np.shape(probe["r2"]["trained"]) == (1 + SMALL.layers, 3 * setup.corpus.turns - 1)
