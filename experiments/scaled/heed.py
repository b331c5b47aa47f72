"""How much naming a thing raises its log-odds, on any topic, under any tag."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.measures import ask, cues
from toylab.measures.context import Exchange
from toylab.measures.tags import by_tag, every_tag
from toylab.world import names

LEAST = 1e-3  # probabilities are clipped this far from 0 and 1


class Worth(Exchange):
    """What a nat of context is worth (`Exchange`), also read before the last step."""

    at_end = False


def pull(p: Float[ArrayLike, "*A cue answer"], target: Int[ArrayLike, " cue"]) -> np.ndarray:
    """What naming adds to the log-odds of an answer, mean over the cues of a topic, in nats [*A].

    `p` is P(answer) under each cue, and `target` the answer that each cue names.
    """
    near = np.clip(np.asarray(p, float)[..., np.asarray(target)], LEAST, 1 - LEAST)
    odds, own = np.log(near / (1 - near)), np.eye(near.shape[-1], dtype=bool)
    return odds[..., own].mean(-1) - odds[..., ~own].mean(-1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heed(Measure):
    """Answers in a first turn, by topic, quantity and tag.

    `answers` is P(answer) [cue, answer]. The other quantities are means over cues: `pull` is what
    naming adds, in nats (see `pull`), `rate` is P(what is named), and `outside` the probability of
    leaving the grammar within the answer.
    """

    charts = ("*/pull/*", "*/rate/*", "*/outside/*")

    topics: tuple[str, ...] = names.topic(among=names.facts)
    tags: tuple[str, ...] = every_tag()
    size: int = sample(8, quick=2)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus, world = snapshot.setup.corpus, snapshot.setup.world
        tags = jnp.asarray(names.resolve(self, corpus)["tags"])
        out = {}
        for name in self.topics:
            cued = ask.cued(corpus, name)
            target = jnp.asarray(cued.target)
            found = cues.asked(snapshot.policy, world, key, tags, target, cued.sizes, self.size)
            p, rows = np.asarray(found.first, float), np.arange(len(cued.target))
            each = {
                "answers": p,
                "pull": pull(p, cued.target),
                "rate": p[:, rows, cued.target].mean(1),
                "outside": 1 - np.prod(1 - np.asarray(found.outside, float), -1).mean(1),
            }
            out[name] = {what: by_tag(snapshot, tags, values) for what, values in each.items()}
        return out
