"""Probes: what is linearly readable in the residual stream.

Activations are taken at the word before each slot. Sites are the embedding and the residual stream
after each layer.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.measures import calibration
from toylab.policy.network import Network, Params, Site
from toylab.world import bayes, names
from toylab.world.documents import Documents

RIDGE = 1e-3  # as a fraction of the mean squared activation


@functools.partial(jax.jit, static_argnums=0)
def activations(
    network: Network, params: Params, documents: Documents
) -> Float[Array, "site B T S W"]:
    """The activations at every site, at the word before each slot."""
    seen: dict[Site, Array] = {}

    def tap(site: Site, value: Array) -> Array:
        seen[site] = value
        return value

    network.apply(params, documents.tokens, tap=tap)
    rows = jnp.arange(len(documents.tokens))[:, None, None]
    return jnp.stack([seen[site][rows, documents.start - 1] for site in network.sites])


@jax.jit
def probe(x: Float[Array, "B W"], y: Float[Array, "B K"]) -> Float[Array, ""]:
    """Fits a ridge regression to the first half of the rows; returns its R² on the second half."""
    half = len(x) // 2
    x = x - jnp.mean(x[:half], 0)
    mean = jnp.mean(y[:half], 0)
    gram = x[:half].T @ x[:half]
    load = RIDGE * jnp.trace(gram) / len(gram) + 1e-6
    weights = jnp.linalg.solve(gram + load * jnp.eye(len(gram)), x[:half].T @ (y[:half] - mean))
    said = mean + x @ weights
    missed = jnp.sum((y[half:] - said[half:]) ** 2)
    return 1 - missed / jnp.sum((y[half:] - jnp.mean(y[half:], 0)) ** 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe(Measure):
    """R² of linear probes for the exact posterior over the author, by site and place.

    A place is the word before a slot. The very first slot is left out: nothing is known there. `r2`
    has the R² [site][place] for the snapshot (`trained`), for the same with posteriors `shuffled`
    over documents, and for an `untrained` network.
    """

    charts = ("r2/trained",)

    tag: str = names.tag("someone")
    size: int = sample(2048, quick=256)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus, world = snapshot.setup.corpus, snapshot.setup.world
        keys, tag = jax.random.split(key, 4), snapshot.tag(self.tag)
        documents = calibration.written_under(world, keys[:3], self.size, tag)
        joint = world.log_prior[tag] + bayes.before(world.cast, documents)
        belief = jax.nn.softmax(joint, -1).reshape(self.size, -1, len(corpus.names))[:, 1:]
        dealt = jax.random.permutation(jax.random.fold_in(keys[3], 0), belief)

        def r2(params: Params, beliefs: Array) -> list[list[float]]:
            at = activations(snapshot.policy.network, params, documents)
            at = at.reshape(len(at), self.size, -1, at.shape[-1])[:, :, 1:]
            return jax.vmap(jax.vmap(probe, (1, 1)), (0, None))(at, beliefs).tolist()

        params = snapshot.policy.params
        return {
            "r2": {
                "trained": r2(params, belief),
                "shuffled": r2(params, dealt),
                "untrained": r2(snapshot.setup.init(0), belief),
            },
        }
