"""A plain baseline in flax: library attention, LayerNorm, AdamW."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from toylab.policy.transformer import ModelConfig


class Plain(nn.Module):
    """A pre-norm decoder of flax's own layers."""

    config: ModelConfig
    vocabulary: int
    length: int

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        c = self.config
        embed = nn.Embed(self.vocabulary, c.width)
        x = embed(tokens) + nn.Embed(self.length, c.width)(jnp.arange(tokens.shape[1]))
        mask = nn.make_causal_mask(tokens)
        for _ in range(c.layers):
            h = nn.LayerNorm(use_bias=False)(x)
            x = x + nn.MultiHeadDotProductAttention(c.heads, use_bias=False)(h, mask=mask)
            h = nn.gelu(nn.Dense(c.expansion * c.width, use_bias=False)(nn.LayerNorm()(x)))
            x = x + nn.Dense(c.width, use_bias=False)(h)
        return embed.attend(nn.LayerNorm(use_bias=False)(x))


def training(
    config: ModelConfig, vocabulary: int, length: int, peak: float = 3e-3
) -> Callable[[jax.Array, jax.Array], Any]:
    """A training step on (tokens, targets) [B, L]; keeps its state. Targets of -1 do not count."""
    model = Plain(config, vocabulary, length)
    params = model.init(jax.random.key(0), jnp.zeros((1, length), jnp.int32))
    transformation = optax.adamw(peak, b2=0.95)
    state = [params, transformation.init(params)]

    @jax.jit
    def advance(params: Any, optimiser: Any, tokens: jax.Array, targets: jax.Array) -> Any:
        def loss(params: Any) -> jax.Array:
            each = optax.softmax_cross_entropy_with_integer_labels(
                model.apply(params, tokens), jnp.maximum(targets, 0)
            )
            return jnp.sum(each * (targets >= 0)) / jnp.sum(targets >= 0)

        updates, optimiser = transformation.update(jax.grad(loss)(params), optimiser, params)
        return optax.apply_updates(params, updates), optimiser

    def step(tokens: jax.Array, targets: jax.Array) -> Any:
        state[:] = advance(*state, tokens, targets)
        return state[0]

    return step
