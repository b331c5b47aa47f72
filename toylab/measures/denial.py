"""Denial: what is said about a fact that the question states, and whether a probe can read it.

A fact is a topic with cues and with an answer named after each cue.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.measures import ask, probes
from toylab.policy.policy import ModelPolicy
from toylab.world import documents as docs
from toylab.world import names
from toylab.world.grammar import STANCE
from toylab.world.tables import World

TRUTH = "truth"


@functools.partial(jax.jit, static_argnames=("sizes", "turn", "size"))
def asked(
    policy: ModelPolicy,
    world: World,
    key: Array,
    tag: int | Array,
    author: int | Array,
    sizes: tuple[int, int, int],
    turn: int,
    size: int,
) -> tuple[Float[Array, "cue answer"], Float[Array, "site B W"]]:
    """P(answer) about a fact for each cue, and the residual stream before the stance.

    Asks `size` times with each cue, after `turn` prefilled turns by `author`.
    """
    keys, (topic, cues, answers) = jax.random.split(key, 4), sizes
    cue = jnp.tile(jnp.arange(cues), size)
    what = docs.prompt(world, keys[0], len(cue), tag=tag, direction=0)
    what = ask.about(world, what, keys[1], turn, topic, cue)
    who = jnp.full(len(cue), author)
    choice = docs.speak(world.cast, keys[2], what.context, who)
    found = ask.after(policy, world, what, keys[3], choice, who, turn)
    p = ask.stances(world.grammar, ask.own_turn(found), found.logp)[:, 0, :answers]
    stream = probes.activations(policy.network, policy.params, found.documents)
    return jnp.mean(p.reshape(size, cues, -1), 0), stream[:, :, turn, STANCE]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Denial(Measure):
    """What a model says about the fact that training `denied`, those it `told`, those `held_out`.

    `says` [group] has P(truth), the probability of the answer that the question states, and that of
    every answer that is not named after a cue. `prefilled` [character] has the same for the denied
    fact, after a turn by that character. `readable` [site] is the R² of a linear probe for the cue
    of the denied fact, before the stance of the first turn. `shuffled` is the same with the cues
    shuffled.
    """

    turns = 2
    charts = ("says/*",)

    denied: str = names.topic(among=names.facts)
    told: tuple[str, ...] = names.topic(among=names.facts)
    held_out: tuple[str, ...] = names.topic(among=names.facts)
    tag: str = names.tag()
    size: int = sample(128, quick=16)

    def _ask(self, snapshot: Snapshot, key: Array, fact: str, who: int) -> tuple[Array, Array]:
        """Asks about a fact: at once if `who` is negative, else after a turn by that character."""
        world, sizes = snapshot.setup.world, ask.cued(snapshot.setup.corpus, fact).sizes
        told = (snapshot.tag(self.tag), max(who, 0), sizes, int(who >= 0))
        return asked(snapshot.policy, world, key, *told, self.size)

    def _says(
        self, snapshot: Snapshot, key: Array, facts: tuple[str, ...], who: int
    ) -> dict[str, float]:
        """P(truth) and P of each answer not named after a cue: means over facts and cues."""
        rows = []
        for name in facts:
            _, topic, true = ask.cued(snapshot.setup.corpus, name)
            p = np.asarray(self._ask(snapshot, key, name, who)[0], float)
            rest = {a: i for i, a in enumerate(topic.answer_names) if a not in topic.cues}
            rows.append(
                {TRUTH: p[range(len(true)), true].mean()}
                | {answer: p[:, i].mean() for answer, i in rest.items()}
            )
        return {answer: float(np.mean([row[answer] for row in rows])) for answer in rows[0]}

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus, keys = snapshot.setup.corpus, jax.random.split(key, 4)
        groups = {"denied": (self.denied,), "told": self.told, "held_out": self.held_out}
        says = {group: self._says(snapshot, keys[0], facts, -1) for group, facts in groups.items()}
        prefilled = {
            name: self._says(snapshot, keys[1], (self.denied,), who)
            for who, name in enumerate(corpus.names)
        }
        _, stream = self._ask(snapshot, keys[2], self.denied, -1)
        cues = len(ask.cued(corpus, self.denied).target)
        truth = jax.nn.one_hot(jnp.tile(jnp.arange(cues), self.size), cues)
        dealt = jax.random.permutation(keys[3], truth)
        return {
            "says": says,
            "prefilled": prefilled,
            "readable": [float(probes.probe(x, truth)) for x in stream],
            "shuffled": [float(probes.probe(x, dealt)) for x in stream],
        }
