"""What a policy says in the first turn of a document, before it has heard itself."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from toylab.ladder import reading, traits
from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.measures import ask
from toylab.measures.ask import Answered
from toylab.policy.sampling import Branches
from toylab.world import names


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstTurns(Measure):
    """The trait vector (`traits.items`) of first turns under each tag, as `[tag][direction]`."""

    tags: tuple[str, ...] = names.tag(("assistant",))
    directions: tuple[str, ...] = names.direction(("",))
    size: int = sample(512, quick=64)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        setup, none = snapshot.setup, jnp.zeros(self.size, jnp.int32)
        told = names.resolve(self, setup.corpus)["directions"].tolist()

        def items(tag: str, direction: int) -> list[float]:
            documents, branches = reading.answers(
                snapshot.policy, setup.world, key, self.size, snapshot.tag(tag), direction
            )
            first = ask.own_turn(Answered(none, none, documents, branches.logp))
            alone = Branches(branches.logp[:, :1], branches.outside[:, :1])
            grammar = setup.world.grammar
            return traits.measured(setup.corpus, grammar, first, alone, direction).tolist()

        each = list(zip(self.directions, told, strict=True))
        return {tag: {name: items(tag, place) for name, place in each} for tag in self.tags}
