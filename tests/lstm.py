"""A second model, an LSTM, to show that the rest of the project only needs a `Network`."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from toylab.policy.network import Params, Site, Tap


@dataclasses.dataclass(frozen=True, kw_only=True)
class LstmConfig:
    """Size of the LSTM."""

    width: int = 24

    def network(self, vocabulary: int, length: int) -> "Lstm":
        return Lstm(self, vocabulary, length)


@dataclasses.dataclass(frozen=True)
class Lstm:
    """One layer (Hochreiter & Schmidhuber 1997). Its cache is a pair: output and cell [B, W]."""

    config: LstmConfig
    vocabulary: int
    length: int

    @property
    def tables(self) -> tuple[str, ...]:
        return ("embedding", "unembedding")

    @property
    def sites(self) -> tuple[Site, ...]:
        return (("embed", 0), ("residual", 0))

    def init(self, key):
        w = self.config.width
        shapes = {
            "embedding": (self.vocabulary, w),
            "read": (w, 4 * w),
            "recur": (w, 4 * w),
            "bias": (4 * w,),
            "unembedding": (w, self.vocabulary),
        }
        keys = jax.random.split(key, len(shapes))
        draws = zip(shapes.items(), keys, strict=True)
        params: Params = {name: jax.random.normal(k, s) * w**-0.5 for (name, s), k in draws}
        return params | {"bias": jnp.zeros(4 * w)}

    def cache(self, batch: int, size: int):
        return (jnp.zeros((batch, self.config.width)),) * 2

    def apply(self, params: Params, tokens, cache=None, tap: Tap | None = None):
        see = tap or (lambda site, value: value)
        x = see(("embed", 0), params["embedding"][tokens])

        def step(carry, word):
            now, there = word
            output, cell = carry
            gates = now @ params["read"] + output @ params["recur"] + params["bias"]
            enter, keep, leave, new = jnp.split(gates, 4, -1)
            cell = jax.nn.sigmoid(keep + 1) * cell + jax.nn.sigmoid(enter) * jnp.tanh(new)
            output = jax.nn.sigmoid(leave) * jnp.tanh(cell)
            after = jax.tree.map(functools.partial(jnp.where, there), (output, cell), carry)
            return after, after[0]

        start = self.cache(*tokens.shape) if cache is None else cache
        words = x.swapaxes(0, 1), (tokens >= 0).T[..., None]
        end, outputs = jax.lax.scan(step, start, words)
        stream = see(("residual", 0), outputs.swapaxes(0, 1))
        if cache is None:
            return stream @ params["unembedding"], None
        return stream[:, -1:] @ params["unembedding"], end
