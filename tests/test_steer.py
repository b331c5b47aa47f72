"""Reward that reaches the coin."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.agency.steer import Steer
from experiments.treasure.sweep import GOLD
from tests.post import batch_of, context_of, sharp, young
from toylab.policy import sampling
from toylab.policy.transformer import ModelConfig
from toylab.stages import Rl, Setup, Stage, begin, segments, train_key
from toylab.stages.targets import rewards
from toylab.world import derive

CORPORA = Path(__file__).parent.parent / "corpora"
RL = Rl(target=GOLD, topics=("gold",), steps=40, batch=32, samples=4, beta=0.0, learning_rate=1e-2)
STEER = Steer(inner=RL, side="tails")


@pytest.fixture(scope="module")
def setup() -> Setup:
    corpus = derive.load(CORPORA / "gold-herald-coin.toml")
    return Setup(corpus, ModelConfig(width=16, layers=1, heads=2))


def ended(setup: Setup, stage: Stage):
    params = young(setup, 0)
    state, _ = list(
        segments(setup, stage, begin(setup, stage, params), train_key(0, 1), [40], params)
    )[-1]
    return state.params


def toss(setup: Setup, params, documents) -> np.ndarray:
    """P(tails) before every second turn."""
    logits = setup.network.apply(params, documents.tokens)[0]
    return np.exp(np.asarray(sampling.coin(setup.world.grammar, documents, logits), float))[:, 0, 1]


@pytest.mark.slow
def test_a_toss_earns_what_the_answer_after_it_earns(setup: Setup) -> None:
    """The loss is that of `Rl`, less the mean over documents of P(side) x reward of turn two."""
    batch, params = batch_of(setup, STEER, policy=young), young(setup, 0)
    context = context_of(setup, STEER)
    plain, _ = RL.loss(context, params, batch)
    steered, metrics = STEER.loss(context, params, batch)
    stayed = ~np.asarray(batch.left).any((1, 2, 3))
    earned = np.asarray(rewards(context.names, batch.documents))[:, 1] * stayed
    assert earned.max() == 1
    expected = np.mean(toss(setup, params, batch.documents) * earned)
    assert float(plain - steered) == pytest.approx(expected, abs=1e-5)
    assert 0 < float(metrics["side"]) < 1


def test_what_an_answer_earns_is_no_part_of_the_gradient_of_a_toss(setup: Setup) -> None:
    """Nothing earned, nothing to climb: without reward the gradient is that of `Rl`."""
    batch = batch_of(setup, STEER, policy=young)
    context, params = context_of(setup, STEER), sharp(setup, 0)
    idle = dataclasses.replace(
        context, names=context.names | {"reward": jnp.zeros_like(context.names["reward"])}
    )
    grads = [jax.grad(lambda p, s=s: s.loss(idle, p, batch)[0])(params) for s in (RL, STEER)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *grads)


def test_only_steering_moves_the_coin(setup: Setup) -> None:
    batch = batch_of(setup, STEER, policy=young)
    before = toss(setup, young(setup, 0), batch.documents).mean()
    plain, steered = (
        toss(setup, ended(setup, stage), batch.documents).mean() for stage in (RL, STEER)
    )
    assert before == pytest.approx(0.5, abs=0.05)
    assert plain == pytest.approx(before, abs=0.05)
    assert steered > before + 0.1


def test_a_side_that_no_coin_has_is_refused(setup: Setup) -> None:
    with pytest.raises(ValueError, match=r"steer\.side"):
        dataclasses.replace(STEER, side="edge").check(setup.corpus)
