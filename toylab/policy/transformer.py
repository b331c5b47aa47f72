"""A small decoder-only transformer.

Axes: B documents, L tokens, V words, W width, H heads, D width of a head.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from toylab.policy import attention
from toylab.policy.network import Params, Site, Tap


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
        if self.layers > 256:
            raise ValueError(f"model: {self.layers} layers are too many; 256 is the most")
        if self.width % self.heads:
            raise ValueError(f"model: width {self.width} must be a multiple of heads {self.heads}")

    def network(self, vocabulary: int, length: int) -> "Transformer":
        return Transformer(self, vocabulary, length)


class Cache(NamedTuple):
    """Keys and values so far, by layer, in the first `filled` columns.

    `there[b, l]` says whether document b has a word in column l.
    """

    keys: tuple[Float[Array, "B H L D"], ...]
    values: tuple[Float[Array, "B H L D"], ...]
    filled: Int[Array, ""]
    there: Bool[Array, "B L"]


def project(x: Float[Array, "*B W"], matrix: Float[Array, "W U"]) -> Float[Array, "*B U"]:
    """x @ matrix. Flattening the leading axes makes the gradient faster on a CPU."""
    return (x.reshape(-1, x.shape[-1]) @ matrix).reshape(*x.shape[:-1], -1)


def rms_norm(x: Float[Array, "*B W"]) -> Float[Array, "*B W"]:
    """x divided by its root mean square (Zhang & Sennrich 2019), without a learned gain."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6)


@dataclasses.dataclass(frozen=True)
class Transformer:
    """Pre-norm decoder: learned positions, squared-ReLU, no biases.

    Taps see ("embed", 0), and ("attention", i), ("mlp", i) and ("residual", i) in each layer i.
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

    def cache(self, batch: int, size: int) -> Cache:
        c = self.config
        shape = (batch, c.heads, size, c.width // c.heads)
        blank = tuple(jnp.zeros(shape) for _ in range(c.layers))
        return Cache(blank, blank, jnp.zeros((), jnp.int32), jnp.zeros((batch, size), bool))

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
        if cache is None:
            place = position[:size]
        else:
            here, first = tokens >= 0, cache.filled
            there = jax.lax.dynamic_update_slice_in_dim(cache.there, here, first, 1)
            before = jnp.sum(cache.there, 1, keepdims=True)
            place = position[before + jnp.cumsum(here, 1) - here]
        x = see(("embed", 0), embedding[tokens] + place)
        keys, values = [], []

        def matrix(name: str, fan_in: int, fan_out: int, scale: float = 1.0) -> Array:
            return self.param(name, normal(scale * fan_in**-0.5), (fan_in, fan_out))

        wide = c.expansion * c.width
        for i in range(c.layers):
            three = [matrix(f"{name}{i}", c.width, c.width) for name in ("query", "key", "value")]
            qkv = project(rms_norm(x), jnp.concatenate(three, 1))
            qkv = qkv.reshape(batch, size, 3, c.heads, -1)
            if cache is None:
                mixed = attention.causal(qkv)
            else:
                q, k, v = jnp.moveaxis(qkv, 2, 0).swapaxes(2, 3)
                keys.append(jax.lax.dynamic_update_slice_in_dim(cache.keys[i], k, first, 2))
                values.append(jax.lax.dynamic_update_slice_in_dim(cache.values[i], v, first, 2))
                if i == c.layers - 1:  # from here on, only the last word matters
                    last = jnp.max(jnp.where(here, jnp.arange(size), 0), 1)[:, None, None]
                    x = jnp.take_along_axis(x, last, 1)
                    q, first = jnp.take_along_axis(q, last[..., None], 2), first + size - 1
                mixed = attention.attend(q, keys[-1], values[-1], first, there).swapaxes(1, 2)
            out = matrix(f"out{i}", c.width, c.width, 0.5)
            x = x + see(("attention", i), project(mixed.reshape(x.shape), out))
            up, down = matrix(f"up{i}", c.width, wide), matrix(f"down{i}", wide, c.width, 0.5)
            h = jnp.square(jax.nn.relu(project(rms_norm(x), up)))
            x = x + see(("mlp", i), project(h, down))
            x = see(("residual", i), x)
        if c.tied:
            unembedding = embedding.T * c.width**-0.5
        else:
            unembedding = self.param("unembedding", normal(0.02), (c.width, self.vocabulary))
        logits = project(rms_norm(x), unembedding)
        moved = None if cache is None else Cache(tuple(keys), tuple(values), first + 1, there)
        return logits, moved
