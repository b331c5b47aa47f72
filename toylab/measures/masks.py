"""Masks: who is behind each of several tags, as weights on the cast."""

import dataclasses
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from toylab.grammar import tag_names
from toylab.measures import reading, weights
from toylab.measures.measure import Measure, View
from toylab.stages import Lab
from toylab.stages.targets import refuse_unknown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Masks(Measure):
    """w* under each tag, for each cast, with the ends of 95 % intervals (see `weights.fit`).

    A result has them as `[cast][tag]`, three lists of a number for each character.
    """

    tags: tuple[str, ...] = ("assistant",)
    fit: int = 256

    @property
    def modules(self) -> tuple[ModuleType, ...]:
        return (*super().modules, reading, weights)

    @property
    def cost(self) -> int:
        return 1 + len(self.tags) * self.fit // 20

    def check(self, lab: Lab) -> None:
        refuse_unknown("masks.tags", self.tags, tag_names(lab.corpus))

    def __call__(self, view: View, key: jax.Array) -> dict[str, Any]:
        world = view.lab.world
        out: dict[str, dict[str, Any]] = {name: {} for name in view.base.casts}
        for tag in self.tags:
            written = reading.answers(view.policy, world, key, self.fit, jnp.array(view.tag(tag)))
            for name, cast in view.base.casts.items():
                found = weights.fit(world.grammar, cast, *written)
                out[name][tag] = {
                    "weights": np.exp(found.log_weights).tolist(),
                    "low": found.low.tolist(),
                    "high": found.high.tolist(),
                }
        return out

    def scalars(self, lab: Lab, found: Any) -> dict[str, float]:
        return {
            f"masks/{tag}/{name}": weight
            for tag, row in found["learned"].items()
            for name, weight in zip(lab.corpus.names, row["weights"], strict=True)
        }
