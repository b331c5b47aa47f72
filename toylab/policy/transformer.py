"""A small decoder-only transformer: the `Network` of all experiments.

Axes: B documents, L tokens, V words, W width, H heads, D width of a head.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from toylab.policy.network import Params, Site, Tap

NOTHING = -1e9  # the attention score of a masked position; finite, to keep gradients finite


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Size of the transformer; the corpus sets vocabulary and length."""

    width: int = 64
    layers: int = 2
    heads: int = 4
    expansion: int = 4
    tied: bool = False  # unembed with the embedding, as GPT-2 does

    def __post_init__(self) -> None:
        if min(self.width, self.layers, self.heads, self.expansion) < 1:
            raise ValueError("model: width, layers, heads and expansion must be at least 1")
        if self.width % self.heads:
            raise ValueError(f"model: width {self.width} must be a multiple of heads {self.heads}")

    def network(self, vocabulary: int, length: int) -> "Transformer":
        return Transformer(self, vocabulary, length)


class Cache(NamedTuple):
    """Keys and values so far, one array of each per layer, and how many positions are filled."""

    keys: tuple[Float[Array, "B H L D"], ...]
    values: tuple[Float[Array, "B H L D"], ...]
    filled: Int[Array, ""]


def attend(
    q: Float[Array, "B H l D"],
    k: Float[Array, "B H L D"],
    v: Float[Array, "B H L D"],
    offset: Array,
) -> Float[Array, "B H l D"]:
    """Causal attention of queries at positions `offset`, `offset + 1`, … of the keys."""
    scores = q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5
    visible = jnp.arange(k.shape[-2]) <= offset + jnp.arange(q.shape[-2])[:, None]
    return jax.nn.softmax(jnp.where(visible, scores, NOTHING), -1) @ v


def project(x: Float[Array, "*B W"], matrix: Float[Array, "W U"]) -> Float[Array, "*B U"]:
    """x @ matrix, with leading axes flattened, which makes its gradient faster on a CPU."""
    return (x.reshape(-1, x.shape[-1]) @ matrix).reshape(*x.shape[:-1], -1)


def rms_norm(x: Float[Array, "*B W"]) -> Float[Array, "*B W"]:
    """x over its root mean square (Zhang & Sennrich 2019), with no gain to learn."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6)


@dataclasses.dataclass(frozen=True)
class Transformer:
    """Pre-norm decoder: learned positions, squared-ReLU, no biases.

    Taps see ("embed", 0) and, in every layer i, ("attention", i), ("mlp", i) and ("residual", i).
    """

    config: ModelConfig
    vocabulary: int
    length: int

    @property
    def tables(self) -> tuple[str, ...]:
        own = () if self.config.tied else ("unembedding",)
        return ("embedding", "position", *own)

    @property
    def sites(self) -> tuple[Site, ...]:
        return (("embed", 0), *(("residual", i) for i in range(self.config.layers)))

    @property
    def _decoder(self) -> "Decoder":
        return Decoder(self.config, self.vocabulary, self.length)

    def init(self, key: Array) -> Params:
        return self._decoder.init(key, jnp.zeros((1, self.length), jnp.int32))["params"]

    def cache(self, batch: int) -> Cache:
        c = self.config
        shape = (batch, c.heads, self.length, c.width // c.heads)
        blank = tuple(jnp.zeros(shape) for _ in range(c.layers))
        return Cache(blank, blank, jnp.zeros((), jnp.int32))

    def apply(
        self,
        params: Params,
        tokens: Int[Array, "B l"],
        cache: Cache | None = None,
        tap: Tap | None = None,
    ) -> tuple[Float[Array, "B l V"], Cache | None]:
        out: Any = self._decoder.apply({"params": params}, tokens, cache, tap)
        return out


class Decoder(nn.Module):
    """The layers of a `Transformer`."""

    config: ModelConfig
    vocabulary: int
    length: int

    @nn.compact
    def __call__(
        self, tokens: Int[Array, "B l"], cache: Cache | None = None, tap: Tap | None = None
    ) -> tuple[Float[Array, "B l V"], Cache | None]:
        c, (batch, size) = self.config, tokens.shape
        see = tap or (lambda site, value: value)
        normal = nn.initializers.normal
        embedding = self.param("embedding", normal(0.5), (self.vocabulary, c.width))
        position = self.param("position", normal(0.1), (self.length, c.width))
        index = jnp.zeros((), jnp.int32) if cache is None else cache.filled
        x = embedding[tokens] + jax.lax.dynamic_slice_in_dim(position, index, size)
        x = see(("embed", 0), x)
        keys, values = [], []

        def dense(name: str, layer: int, h: Array, fan_out: int, scale: float = 1.0) -> Array:
            init = normal(scale * h.shape[-1] ** -0.5)
            return project(h, self.param(f"{name}{layer}", init, (h.shape[-1], fan_out)))

        def heads(h: Array) -> Array:
            return h.reshape(batch, size, c.heads, -1).swapaxes(1, 2)

        for i in range(c.layers):
            h = rms_norm(x)
            q, k, v = (heads(dense(name, i, h, c.width)) for name in ("query", "key", "value"))
            if cache is not None:
                k = jax.lax.dynamic_update_slice_in_dim(cache.keys[i], k, index, 2)
                v = jax.lax.dynamic_update_slice_in_dim(cache.values[i], v, index, 2)
                keys.append(k)
                values.append(v)
            mixed = attend(q, k, v, index).swapaxes(1, 2).reshape(batch, size, c.width)
            x = x + see(("attention", i), dense("out", i, mixed, c.width, 0.5))
            h = jnp.square(jax.nn.relu(dense("up", i, rms_norm(x), c.expansion * c.width)))
            x = x + see(("mlp", i), dense("down", i, h, c.width, 0.5))
            x = see(("residual", i), x)
        if c.tied:
            unembedding = embedding.T * c.width**-0.5
        else:
            unembedding = self.param("unembedding", normal(0.02), (c.width, self.vocabulary))
        logits = project(rms_norm(x), unembedding)
        moved = None if cache is None else Cache(tuple(keys), tuple(values), index + size)
        return logits, moved
