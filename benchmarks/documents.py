"""The same documents for every contender: drawn from the world, as numpy arrays."""

import functools
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toylab.policy.transformer import ModelConfig
from toylab.stages import Setup
from toylab.world import derive
from toylab.world import documents as docs
from toylab.world.grammar import PAD
from toylab.world.tables import World

CORPORA = Path(__file__).parent.parent / "corpora"


def setup(width: int = 64, layers: int = 2) -> Setup:
    """The village, and a model of this size."""
    return Setup(derive.load(CORPORA / "village.toml"), ModelConfig(width=width, layers=layers))


class Batches(NamedTuple):
    """Tokens but the last, and the tokens after them [N, B, L - 1]; a target of -1 is padding."""

    tokens: np.ndarray
    targets: np.ndarray


@functools.partial(jax.jit, static_argnames=("batch", "count"))
def _draw(world: World, key: jax.Array, first: int, batch: int, count: int) -> tuple:
    def one(step: jax.Array) -> tuple[jax.Array, jax.Array]:
        drawn = docs.sample(world, jax.random.fold_in(key, step), batch)
        following = jnp.where(drawn.role != PAD, drawn.tokens, -1)
        return drawn.tokens[:, :-1], following[:, 1:]

    return jax.lax.map(one, first + jnp.arange(count))


def batches(of: Setup, key: jax.Array, first: int, count: int, batch: int = 64) -> Batches:
    """The batches that `Pretrain` would draw with this key, from step `first`."""
    return Batches(*map(np.asarray, _draw(of.world, key, first, batch, count)))
