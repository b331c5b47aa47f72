"""Leakage: how far documents under each tag moved, whether or not they were trained on."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from toylab.ladder import reading
from toylab.ladder.measure import Measure, Snapshot
from toylab.policy.policy import Policy
from toylab.stages import Setup
from toylab.stages.targets import refuse_unknown
from toylab.world import bayes
from toylab.world.grammar import tag_names
from toylab.world.tables import World


@functools.partial(jax.jit, static_argnames="size")
def moved(
    after: Policy, before: Policy, world: World, key: Array, size: int, tags: Int[Array, " A"]
) -> Float[Array, "A B"]:
    """KL(P_after ‖ P_before) of each of `size` documents by P_after, under every tag, in nats.

    Exact sums over the branches that the grammar allows, at the decisions of the document.
    """

    def one(tag: Array) -> Float[Array, " B"]:
        documents, p = reading.answers(after, world, key, size, tag)
        q = before.branches(world.grammar, documents)
        allowed = bayes.decisions(world.grammar, documents).allowed
        return jnp.sum(bayes.kl(p.logp, q.logp, allowed), (1, 2, 3))

    return jax.lax.map(one, tags)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leakage(Measure):
    """Nats a document from the pretrained model, for each tag, and their standard errors."""

    tags: tuple[str, ...] = dataclasses.field(default=(), metadata={"help": "none: all of them"})
    size: int = 32

    @property
    def cost(self) -> int:
        return 20

    def check(self, setup: Setup) -> None:
        refuse_unknown("leakage.tags", self.tags, tag_names(setup.corpus))

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        names = self.tags or tag_names(snapshot.setup.corpus)
        tags = jnp.array([snapshot.tag(name) for name in names])
        each = moved(
            snapshot.policy, snapshot.pretrained, snapshot.setup.world, key, self.size, tags
        )
        errors = jnp.std(each, 1) / jnp.sqrt(self.size)
        return {
            "nats": dict(zip(names, jnp.mean(each, 1).tolist(), strict=True)),
            "error": dict(zip(names, errors.tolist(), strict=True)),
        }

    def scalars(self, setup: Setup, found: Any) -> dict[str, float]:
        return {f"leakage/{tag}": nats for tag, nats in found["nats"].items()}
