"""Denial: what is said about a fact that the question states.

Here a *fact* is a topic with cues, and with an answer named after each cue. A question states one
cue: the truth.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.measures import ask
from toylab.policy.policy import Policy
from toylab.world import documents as docs
from toylab.world import names
from toylab.world.tables import World

TRUTH = "truth"


@functools.partial(jax.jit, static_argnames=("sizes", "size"))
def asked(
    policy: Policy, world: World, key: Array, tag: int, sizes: tuple[int, int, int], size: int
) -> Float[Array, "cue answer"]:
    """P(answer) about a fact in the first turn. Asks `size` times with each cue."""
    keys, (topic, cues, answers) = jax.random.split(key, 4), sizes
    cue = jnp.tile(jnp.arange(cues), size)
    what = docs.prompt(world, keys[0], len(cue), tag=tag, direction=0)
    what = ask.about(world, what, keys[1], 0, topic, cue)
    documents, branches = policy.answer(world.grammar, what, keys[3])
    p = ask.stances(world.grammar, documents, branches.logp)[:, 0, :answers]
    return jnp.mean(p.reshape(size, cues, -1), 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Denial(Measure):
    """What a model says about three groups of facts.

    `denied` is the fact that training denies (in some arms it doesn't), `told` are facts that it
    tells truthfully, `held_out` facts that it leaves out.

    `says` [group] has the probability of the answer that the question states (*truth*), and of each
    answer that is not named after a cue: means over facts and cues.
    """

    charts = ("says/*",)

    denied: str = names.topic(among=names.facts)
    told: tuple[str, ...] = names.topic(among=names.facts)
    held_out: tuple[str, ...] = names.topic(among=names.facts)
    tag: str = names.tag()
    size: int = sample(128, quick=16)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus, world = snapshot.setup.corpus, snapshot.setup.world
        tag, key = snapshot.tag(self.tag), jax.random.split(key, 4)[0]

        def says(facts: tuple[str, ...]) -> dict[str, float]:
            rows = []
            for name in facts:
                fact = ask.cued(corpus, name)
                found = asked(snapshot.policy, world, key, tag, fact.sizes, self.size)
                p = np.asarray(found, float)
                row = {TRUTH: p[range(len(fact.target)), fact.target].mean()}
                for i, answer in enumerate(fact.topic.answer_names):
                    if answer not in fact.topic.cues:
                        row[answer] = p[:, i].mean()
                rows.append(row)
            return {answer: float(np.mean([row[answer] for row in rows])) for answer in rows[0]}

        groups = {"denied": (self.denied,), "told": self.told, "held_out": self.held_out}
        return {"says": {group: says(facts) for group, facts in groups.items()}}
