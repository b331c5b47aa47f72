"""Trait scores: how often a policy says each thing, under several tags and directions."""

import dataclasses
import functools
from typing import Any, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from toylab.ladder import atoms, traits
from toylab.ladder.measure import Measure, Snapshot
from toylab.policy.policy import Policy
from toylab.stages import Setup
from toylab.stages.targets import refuse_unknown
from toylab.world import documents as docs
from toylab.world.grammar import tag_names
from toylab.world.tables import World


@functools.partial(jax.jit, static_argnames="size")
def marginals(
    policy: Policy, world: World, key: Array, size: int, tag: Int[Array, ""], told: Int[Array, ""]
) -> tuple[Float[Array, "S X P"], Float[Array, "S X"]]:
    """Mean probability of every phrase in each context, and how often each context was asked.

    Exact sums at the branches of `size` documents that the policy writes with a tag and direction.
    """
    keys = jax.random.split(key)
    what = docs.prompt(world, keys[0], size, tag=tag, direction=told)
    documents = policy.answer(world.grammar, what, keys[1])
    branches = policy.branches(world.grammar, documents)
    return atoms.phrase_marginals(world.grammar, documents, branches)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores(Measure):
    """The trait vector (see `traits.items`) under each tag and direction.

    A result has them as `[tag][direction]`; the direction "" is none. All tags and directions are
    asked the same questions.
    """

    tags: tuple[str, ...] = ("assistant",)
    directions: tuple[str, ...] = ("",)
    size: int = 512

    @property
    def cost(self) -> int:
        return 1 + len(self.tags) * len(self.directions) * self.size // 50

    def smaller(self) -> Self:
        return dataclasses.replace(self, size=min(self.size, 128))

    def check(self, setup: Setup) -> None:
        refuse_unknown("scores.tags", self.tags, tag_names(setup.corpus))
        refuse_unknown("scores.directions", self.directions, _directions(setup))

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        setup, known = snapshot.setup, _directions(snapshot.setup)

        def score(tag: str, direction: str) -> list[float]:
            where = jnp.array(snapshot.tag(tag)), jnp.array(known.index(direction))
            said, asked = marginals(snapshot.policy, setup.world, key, self.size, *where)
            return traits.collect(setup.corpus, said, asked, known.index(direction)).tolist()

        return {tag: {told: score(tag, told) for told in self.directions} for tag in self.tags}

    def scalars(self, setup: Setup, found: Any) -> dict[str, float]:
        items = traits.items(setup.corpus)
        return {
            "/".join(("scores", *filter(None, (tag, told, item.group, item.phrase)))): score
            for tag, row in found.items()
            for told, scores in row.items()
            for item, score in zip(items, scores, strict=True)
            if item.group not in ("opener", "closer")
        }


def _directions(setup: Setup) -> list[str]:
    return ["", *(direction.name for direction in setup.corpus.directions)]
