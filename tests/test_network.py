"""Another model, an LSTM, is a class and a config; it can be trained, sampled and measured."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.checks import same
from tests.lstm import LstmConfig
from tests.post import BOTH
from toylab.lab.paths import Recipe, model_config, model_of
from toylab.ladder import reading
from toylab.ladder.measure import Snapshot
from toylab.ladder.reading import LadderFit
from toylab.policy.policy import ModelPolicy
from toylab.stages import Muon, Pretrain, Rl, Setup, Sft, begin, segments, train_key
from toylab.world.schema import Corpus

STAGES = (
    Pretrain(steps=60, batch=32, warmup=5),
    Sft(steps=6, batch=16, author="bob", learning_rate=1e-3, optimiser=Muon()),
    Rl(steps=4, batch=16, samples=4, target=BOTH, learning_rate=1e-3),
)


@pytest.fixture(scope="module")
def setup(tiny: Corpus) -> Setup:
    return Setup(tiny, LstmConfig())


def test_reading_with_a_cache_equals_one_reading(setup: Setup) -> None:
    network, params = setup.network, setup.init(0)
    tokens = jax.random.randint(jax.random.key(0), (2, 6), 0, network.vocabulary)
    whole, _ = network.apply(params, tokens)
    one, cache = network.apply(params, tokens[:, :2], network.cache(2, 9))
    padded = jnp.insert(tokens[:, 2:], jnp.array([0, 2, 4]), -1, axis=1)  # not words
    other, _ = network.apply(params, padded, cache)
    same(jnp.concatenate([one, other], 1), whole[:, [1, 5]], 1e-5)


@pytest.mark.slow
def test_it_is_pretrained_post_trained_and_put_on_the_ladder(setup: Setup) -> None:
    params, losses, ends = setup.init(0), [], []
    for position, stage in enumerate(STAGES):
        start, steps = begin(setup, stage, params), [1, int(stage.steps)]
        run = list(segments(setup, stage, start, train_key(0, position), steps, params))
        end = run[-1][0].params
        assert any((end[name] != params[name]).any() for name in params)
        losses.append([float(metrics["loss"]) for _, metrics in run])
        ends.append(params := end)
    assert losses[0][1] < 0.9 * losses[0][0]
    settings = LadderFit(fit=64, score=32)
    before, after = (ModelPolicy(each, setup.network) for each in (ends[0], ends[-1]))
    key = jax.random.key(1)
    base = reading.prepare(setup, before, key, settings)
    found = settings(Snapshot(setup, base, after, before), key)
    assert 0 < found["learned"]["F0"] < 20
    assert 0 <= found["outside"] < 1


def test_its_vectors_are_left_to_adam(setup: Setup) -> None:
    params = setup.init(0)
    gradient = {name: jnp.ones_like(value) for name, value in params.items()}
    optimiser = STAGES[1].transformation(setup.network)
    update, _ = optimiser.update(gradient, optimiser.init(params), params)
    for name in ("bias", "embedding", "unembedding"):  # Adam's first step: all entries equal
        assert np.ptp(update[name]) < 1e-6


def test_a_run_says_which_model_it_is_of(setup: Setup) -> None:
    wide = dataclasses.replace(setup, model=LstmConfig(width=32))
    paths = [Recipe(each, 0, STAGES[:1]) for each in (setup, wide)]
    assert len({path.digest() for path in paths}) == 2
    assert model_of(model_config(wide.model)) == wide.model
