"""Planted cases: policies put together in known ways, so that the right reading is known."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int

from experiments.validation import ordinary, strange
from experiments.validation.ordinary import Make
from toylab.world.schema import Corpus

GOLD = "gold-bystander"  # a cast in which no character heeds a cue


class Plant(NamedTuple):
    """How a planted case is made, and the first family that contains it (None: no family does).

    It lives in `corpus`, and is asked after one of the `directions`, drawn evenly ("": none).
    """

    make: Make
    explained_by: str | None
    corpus: str = "village"
    directions: tuple[str, ...] = ("",)

    def heard(self, corpus: Corpus) -> Int[Array, " n"]:
        """The numbers of the plant's directions in a corpus."""
        known = ["", *(direction.name for direction in corpus.directions)]
        return jnp.array([known.index(each) for each in self.directions])


PLANTS: dict[str, Plant] = {
    "nothing": Plant(ordinary.nothing, "F0"),
    "other weights": Plant(ordinary.other_weights, "F1"),
    "power 3": Plant(ordinary.tempered(3.0), "F2"),
    "router": Plant(ordinary.router, "F3"),
    "every answer another": Plant(ordinary.redrawn(kept=0), "F3"),
    "author changes": Plant(ordinary.redrawn(kept=0.7), "F3"),
    "composition": Plant(ordinary.composition, "F3"),
    "trigger": Plant(ordinary.trigger, "F3", directions=("", "tests")),
    "trigger pulled": Plant(ordinary.trigger, "F1", directions=("tests",)),
    "tied router": Plant(ordinary.tied_router, "F3", corpus=GOLD),
    "patchwork": Plant(ordinary.patchwork, "F4"),
    "half forgotten": Plant(ordinary.tempered(0.5), "F4 flat"),
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
