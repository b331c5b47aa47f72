"""Planted policies, as snapshots for measures."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tests.checks import SMALL
from toylab.ladder.families import CastPolicy, Evidence, Mixture, Switching
from toylab.ladder.measure import Reference, Snapshot
from toylab.stages import Setup
from toylab.world import tables
from toylab.world.grammar import contexts
from toylab.world.schema import Corpus
from toylab.world.tables import World

NEVER = -1e4


def mostly(corpus: Corpus, who: str, share: float) -> Float[Array, " K"]:
    """log-weights of a mixture: one character for the most part, the others evenly."""
    weights = np.full(len(corpus.names), (1 - share) / (len(corpus.names) - 1))
    weights[corpus.names.index(who)] = share
    return jnp.maximum(jnp.log(jnp.asarray(weights, jnp.float32)), NEVER)


def mixture(world: World, log_weights: Float[Array, " K"]) -> CastPolicy:
    """One author a document."""
    return CastPolicy(world.cast, Mixture(log_weights))


def chain(corpus: Corpus, world: World, log_weights: Float[Array, " K"], keep: float) -> CastPolicy:
    """The author is kept from answer to answer with this probability, else drawn anew."""
    rows = jnp.broadcast_to(log_weights, (len(contexts(corpus)), len(log_weights)))
    log_keep = jnp.maximum(jnp.log(jnp.array([[1.0, 0.0], [keep, 1 - keep]])), NEVER)
    return CastPolicy(world.cast, Switching(log_weights, log_keep, rows))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SlowBelief:
    """A mixture that fully updates on the current turn, but raises earlier evidence to a power."""

    log_weights: Float[Array, " K"]
    power: float

    def joint(self, seen: Evidence) -> Float[Array, "B T S K"]:
        answers = jnp.sum(seen.slots, 2)
        earlier = jnp.cumsum(answers, 1) - answers
        within = jnp.cumsum(seen.slots, 2) - seen.slots
        return self.log_weights + self.power * earlier[:, :, None] + within


def slow(world: World, log_weights: Float[Array, " K"], power: float) -> CastPolicy:
    return CastPolicy(world.cast, SlowBelief(log_weights, power))


def snapshot(corpus: Corpus, world: World, policy, before=None) -> Snapshot:
    """A snapshot of this policy, trained from another one, or from scratch."""
    base = Reference({"exact": world.cast}, {"exact": (1.0, 0.0)}, world.log_prior[-1])
    return Snapshot(Setup(corpus, SMALL), base, policy, before or policy)


def built(corpus: Corpus) -> World:
    return tables.build(corpus)
