"""Masks: who is behind each of several tags, as weights on the cast."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from toylab.ladder import mixtures, reading
from toylab.ladder.measure import Measure, Snapshot
from toylab.stages import Setup
from toylab.stages.targets import refuse_unknown
from toylab.world.grammar import tag_names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Masks(Measure):
    """w* under each tag, for each cast, with 95 % intervals (`mixtures.weights_from_branches`).

    A result has them as `[cast][tag]`, three lists of a number for each character.
    """

    tags: tuple[str, ...] = ("assistant",)
    fit: int = 256

    @property
    def cost(self) -> int:
        return 1 + len(self.tags) * self.fit // 20

    def check(self, setup: Setup) -> None:
        refuse_unknown("masks.tags", self.tags, tag_names(setup.corpus))

    def __call__(self, snapshot: Snapshot, key: jax.Array) -> dict[str, Any]:
        world = snapshot.setup.world
        out: dict[str, dict[str, Any]] = {name: {} for name in snapshot.base.casts}
        for tag in self.tags:
            written = reading.answers(
                snapshot.policy, world, key, self.fit, jnp.array(snapshot.tag(tag))
            )
            for name, cast in snapshot.base.casts.items():
                found = mixtures.weights_from_branches(world.grammar, cast, *written)
                out[name][tag] = {
                    "weights": np.exp(found.log_weights).tolist(),
                    "low": found.low.tolist(),
                    "high": found.high.tolist(),
                }
        return out

    def scalars(self, setup: Setup, found: Any) -> dict[str, float]:
        return {
            f"masks/{tag}/{name}": weight
            for tag, row in found["learned"].items()
            for name, weight in zip(setup.corpus.names, row["weights"], strict=True)
        }
