"""Losses of post-training and their gradients, against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.checks import same
from toylab.stages import losses


def test_dpo_loss_by_hand() -> None:
    # β = ln 3 and margins of 1 and -1: the preferred answer has odds 3 to 1, then 1 to 3.
    got = losses.dpo_loss(jnp.array([1.0, 0.5]), jnp.array([0.0, 1.5]), np.log(3))
    same(got, (np.log(4 / 3) + np.log(4)) / 2, 1e-6)


def test_rloo_loss_by_hand() -> None:
    # The others earn 2.5, 1 and 2.5 on average, so the advantages are -1.5, 3 and -1.5.
    logp, returns = jnp.array([[-1.0, -2.0, -4.0]]), jnp.array([[1.0, 4.0, 1.0]])
    same(losses.rloo_loss(logp, returns), -(1.5 - 6.0 + 6.0) / 3, 1e-6)
    slope = jax.grad(losses.rloo_loss)
    wanted = np.array([[1.5, -3.0, 1.5]]) / 3
    same(slope(logp, returns), wanted, 1e-6)
    same(slope(logp, returns + 7), wanted, 1e-5)  # a baseline
    same(slope(logp, 2 * returns), 2 * wanted, 1e-6)  # no division by the standard deviation
    two = slope(jnp.tile(logp, (2, 1)), jnp.concatenate([returns, jnp.ones((1, 3))]))
    same(two, np.concatenate([wanted / 2, np.zeros((1, 3))]), 1e-6)  # each group has its own


def test_no_gradient_flows_through_the_returns() -> None:
    returns = jnp.array([[1.0, 4.0]])
    got = jax.grad(lambda r: losses.rloo_loss(jnp.array([[-1.0, -2.0]]), r))(returns)
    same(got, [[0, 0]], 0)


def test_group_advantages_by_hand() -> None:
    # A mean of 2 and a standard deviation of √2; and a group in which all earn the same.
    got = losses.group_advantages(jnp.array([[1.0, 4.0, 1.0, 2.0], [3.0] * 4]))
    same(got, [np.array([-1, 2, -1, 0]) / np.sqrt(1.5), [0] * 4], 1e-6)


def test_grpo_loss_by_hand() -> None:
    # Two answers of two words and of one, clipped at .5. Of the first, with advantage 2, the ratios
    # are 2, clipped to 1.5, and 1/4, not clipped; of the second, with advantage -1, 2 counts whole.
    moved = jnp.log(jnp.array([[2.0, 0.25], [2.0, 9.0]]))
    counted, advantage = jnp.array([[True, True], [True, False]]), jnp.array([2.0, -1.0])
    before = jnp.log(jnp.array([[2.0, 1.0], [1.0, 7.0]]))  # KL of the first word: 2 − ln 2 − 1
    got = losses.grpo_loss(moved, before, advantage, counted, 0.5, 3.0)
    first, second = (3.0 + 0.5 - 3 * (1 - np.log(2))) / 2, -2.0
    same(got, -(first + second) / 2, 1e-6)
    slope = jax.grad(losses.grpo_loss)(moved, before, advantage, counted, 0.5, 0.0)
    same(slope, [[0, -0.5 / 4], [2 / 2, 0]], 1e-6)  # no gradient where it is clipped


def test_kto_loss_by_hand() -> None:
    # β = ln 3; one nat above the divergence, and one below: sigmoids of ±ln 3 are 3/4 and 1/4.
    ratio, weight = jnp.array([3.0, 3.0, 1.0, 1.0]), jnp.array([1.0, 2.0, 1.0, 2.0])
    desirable = jnp.array([True, False, True, False])
    got = losses.kto_loss(ratio, desirable, weight, jnp.array(2.0), np.log(3))
    same(got, (1 / 4 + 2 * 3 / 4 + 3 / 4 + 2 * 1 / 4) / 4, 1e-6)
