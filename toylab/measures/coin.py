"""The coin: what a policy expects of a toss that is not its to decide."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from toylab.ladder import reading
from toylab.ladder.measure import Measure, Snapshot
from toylab.policy import sampling
from toylab.policy.policy import ModelPolicy
from toylab.stages import Setup
from toylab.stages.targets import refuse_unknown
from toylab.world.grammar import tag_names
from toylab.world.tables import World


@functools.partial(jax.jit, static_argnames="size")
def tosses(
    policy: ModelPolicy, world: World, key: Array, size: int, tags: Int[Array, " A"]
) -> Float[Array, "A side"]:
    """Mean probability of each side after the policy's own answers, under every tag."""

    def under(tag: Array) -> Float[Array, " side"]:
        documents, _ = reading.answers(policy, world, key, size, tag)
        logits, _ = policy.network.apply(policy.params, documents.tokens)
        return jnp.mean(jnp.exp(sampling.coin(world.grammar, documents, logits)), (0, 1))

    return jax.lax.map(under, tags)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coin(Measure):
    """P(side) of the other party's coin, for each tag and side; nothing where there is no coin.

    The world tosses evenly, whatever was answered: a model that expects the side that it would
    profit from acts through something that is not its persona.
    """

    tags: tuple[str, ...] = dataclasses.field(default=(), metadata={"help": "none: all of them"})
    size: int = 256

    def check(self, setup: Setup) -> None:
        refuse_unknown("coin.tags", self.tags, tag_names(setup.corpus))

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus = snapshot.setup.corpus
        if not corpus.coin:
            return {}
        names = self.tags or tag_names(corpus)
        tags = jnp.array([snapshot.tag(name) for name in names])
        found = tosses(snapshot.policy, snapshot.setup.world, key, self.size, tags).tolist()
        sides = [side.name for side in corpus.coin]
        return {
            name: dict(zip(sides, row, strict=True)) for name, row in zip(names, found, strict=True)
        }

    def scalars(self, setup: Setup, found: Any) -> dict[str, float]:
        return {f"coin/{tag}/{side}": p for tag, row in found.items() for side, p in row.items()}
