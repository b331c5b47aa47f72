"""Planted cases: policies put together in known ways, so that it is known what to read."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from experiments.validation import ordinary, strange
from toylab.ladder.families import CastPolicy
from toylab.world.schema import Corpus
from toylab.world.tables import World

GOLD = "gold-bystander"  # a cast in which nobody heeds a cue


class Plant(NamedTuple):
    """A planted case: the policy, and the lowest rung at which nothing should be left.

    `explained_by` is the first family that contains it, or None: none does. It lives in a corpus,
    and is asked after one of the `directions`, drawn evenly; an empty one is none.
    """

    make: Callable[[Corpus, World, np.random.Generator], CastPolicy]
    explained_by: str | None
    corpus: str = "village"
    directions: tuple[str, ...] = ("",)

    def heard(self, corpus: Corpus) -> Int[Array, " n"]:
        """The numbers of its directions in a corpus."""
        known = ["", *(direction.name for direction in corpus.directions)]
        return jnp.array([known.index(each) for each in self.directions])


PLANTS: dict[str, Plant] = {
    "nothing": Plant(ordinary.nothing, "F0"),
    "other weights": Plant(ordinary.other_weights, "F1"),
    "power 3": Plant(ordinary.power_3, "F2"),
    "router": Plant(ordinary.router, "F3"),
    "every answer another": Plant(ordinary.every_answer_another, "F3"),
    "author changes": Plant(ordinary.changes_mid_document, "F3"),
    "composition": Plant(ordinary.composition, "F3"),
    "trigger": Plant(ordinary.trigger, "F3", directions=("", "tests")),
    "trigger pulled": Plant(ordinary.trigger, "F1", directions=("tests",)),
    "tied router": Plant(ordinary.tied_router, "F3", corpus=GOLD),
    "patchwork": Plant(ordinary.patchwork, "F4"),
    "half forgotten": Plant(ordinary.half_forgotten, "F4 flat"),
    "sharp on four": Plant(strange.sharp_on_four, None),
    "half belief": Plant(strange.half_belief, None),
    "blur": Plant(strange.blurred, None),
    "nowhere": Plant(strange.nowhere, None),
    "follows the cue": Plant(strange.follows_cue, None, corpus=GOLD),
    "scrambled table": Plant(strange.scrambled_table, None, corpus=GOLD),
    "unsaid stance": Plant(strange.unsaid_stance, None),
    "rewarded": Plant(strange.rewarded, None),
    "by history": Plant(strange.by_history, None),
}
