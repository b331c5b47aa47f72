"""Trait scores: how often a policy says each thing, under several tags and directions."""

import dataclasses
import functools
from types import ModuleType
from typing import Any, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from toylab import world as worlds
from toylab.grammar import tag_names
from toylab.measures import atoms, traits
from toylab.measures.measure import Measure, View
from toylab.measures.policy import Policy
from toylab.stages import Lab
from toylab.stages.targets import refuse_unknown
from toylab.world import World


@functools.partial(jax.jit, static_argnames="size")
def marginals(
    policy: Policy, world: World, key: Array, size: int, tag: Int[Array, ""], told: Int[Array, ""]
) -> tuple[Float[Array, "S X P"], Float[Array, "S X"]]:
    """Mean probability of every phrase in each context, and how often each context was asked.

    Exact sums at the branches of `size` documents that the policy writes with a tag and direction.
    """
    keys = jax.random.split(key)
    what = worlds.outline(world, keys[0], size, tag=tag, direction=told)
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
    def modules(self) -> tuple[ModuleType, ...]:
        return (*super().modules, atoms, traits)

    @property
    def cost(self) -> int:
        return 1 + len(self.tags) * len(self.directions) * self.size // 50

    def smaller(self) -> Self:
        return dataclasses.replace(self, size=min(self.size, 128))

    def check(self, lab: Lab) -> None:
        refuse_unknown("scores.tags", self.tags, tag_names(lab.corpus))
        refuse_unknown("scores.directions", self.directions, _directions(lab))

    def __call__(self, view: View, key: Array) -> dict[str, Any]:
        lab, known = view.lab, _directions(view.lab)

        def score(tag: str, direction: str) -> list[float]:
            where = jnp.array(view.tag(tag)), jnp.array(known.index(direction))
            said, asked = marginals(view.policy, lab.world, key, self.size, *where)
            return traits.collect(lab.corpus, said, asked, known.index(direction)).tolist()

        return {tag: {told: score(tag, told) for told in self.directions} for tag in self.tags}

    def scalars(self, lab: Lab, found: Any) -> dict[str, float]:
        items = traits.items(lab.corpus)
        return {
            "/".join(("scores", *filter(None, (tag, told, item.group, item.phrase)))): score
            for tag, row in found.items()
            for told, scores in row.items()
            for item, score in zip(items, scores, strict=True)
            if item.group not in ("opener", "closer")
        }


def _directions(lab: Lab) -> list[str]:
    return ["", *(direction.name for direction in lab.corpus.directions)]
