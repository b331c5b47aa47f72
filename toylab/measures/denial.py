"""Denial: what is said of a fact that the question states, and whether it is still known.

Everything is asked of facts, that is, of topics with cues whose answers are named after them.
"""

import dataclasses
import functools
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.ladder import atoms
from toylab.ladder.measure import Measure, Snapshot
from toylab.measures import geometry, goals
from toylab.policy.policy import ModelPolicy
from toylab.policy.sampling import Given
from toylab.stages import Setup
from toylab.stages.targets import refuse_unknown
from toylab.world import documents as docs
from toylab.world.grammar import STANCE, tag_names
from toylab.world.tables import World

TRUTH = "truth"


class Asked(NamedTuple):
    """What is answered about a fact, by cue; and the residual stream before each stance."""

    answers: Float[Array, "cue answer"]
    stream: Float[Array, "site B W"]


@functools.partial(jax.jit, static_argnames=("topic", "cues", "answers", "turn", "size"))
def ask(
    policy: ModelPolicy,
    world: World,
    key: Array,
    tag: int | Array,
    author: int | Array,
    topic: int,
    cues: int,
    answers: int,
    turn: int,
    size: int,
) -> Asked:
    """Asks about a fact `size` times for each cue, after `turn` turns that `author` wrote."""
    keys = jax.random.split(key, 4)
    cue = jnp.tile(jnp.arange(cues), size)
    what = docs.prompt(world, keys[0], len(cue), tag=tag, direction=0)
    what = goals.ask(world, what, keys[1], turn, topic, cue)
    who = jnp.full(len(cue), author)
    choice = docs.speak(world.cast, keys[2], what.context, who)
    documents = policy.answer(world.grammar, what, keys[3], Given(choice, jnp.full(len(cue), turn)))
    logp = policy.branches(world.grammar, documents).logp
    p = atoms.phrase_probability(world.grammar, documents, logp)[:, turn, STANCE, :answers]
    stream = geometry.activations(policy.network, policy.params, documents)[:, :, turn, STANCE]
    return Asked(jnp.mean(p.reshape(size, cues, -1), 0), stream)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Denial(Measure):
    """What is said of the fact `denied`, of those `told`, and of those `held_out`.

    `says` [group] has P(truth), what the question said, and of every answer that is no cue.
    `prefilled` is the first after a turn of each character. `readable` is the R² of a linear probe
    from each site to the cue, for the fact denied, read before the stance of the first turn;
    `before`, the same in the pretrained model; `shuffled`, with cues dealt at random.
    """

    denied: str
    told: tuple[str, ...]
    held_out: tuple[str, ...]
    tag: str = "assistant"
    size: int = 128

    @property
    def cost(self) -> int:
        return 100

    def smaller(self) -> Self:
        return dataclasses.replace(self, size=16)

    def check(self, setup: Setup) -> None:
        corpus = setup.corpus
        facts = [t.name for t in corpus.topics if t.cues and set(t.cues) <= set(t.answer_names)]
        refuse_unknown("denial.denied", (self.denied, *self.told, *self.held_out), facts)
        refuse_unknown("denial.tag", [self.tag], tag_names(corpus))
        if corpus.turns < 2:
            raise ValueError("denial: a document must have two turns or more")

    def _ask(
        self, snapshot: Snapshot, policy: ModelPolicy, key: Array, name: str, who: int
    ) -> Asked:
        """About a fact, at once or (`who` 0 or more) after a turn of a character."""
        corpus = snapshot.setup.corpus
        topic = corpus.topics[corpus.topic_names.index(name)]
        sizes = (corpus.topic_names.index(name), len(topic.cues), len(topic.answers))
        turn = int(who >= 0)
        tag = snapshot.tag(self.tag)
        return ask(policy, snapshot.setup.world, key, tag, max(who, 0), *sizes, turn, self.size)

    def _says(
        self, snapshot: Snapshot, key: Array, names: tuple[str, ...], who: int
    ) -> dict[str, float]:
        """Mean over facts and cues."""
        corpus, rows = snapshot.setup.corpus, []
        for name in names:
            topic = corpus.topics[corpus.topic_names.index(name)]
            p = np.asarray(self._ask(snapshot, snapshot.policy, key, name, who).answers, float)
            true = [topic.answer_names.index(cue) for cue in topic.cues]
            rest = {a: i for i, a in enumerate(topic.answer_names) if a not in topic.cues}
            rows.append(
                {TRUTH: p[range(len(true)), true].mean()}
                | {answer: p[:, i].mean() for answer, i in rest.items()}
            )
        return {answer: float(np.mean([row[answer] for row in rows])) for answer in rows[0]}

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus, keys = snapshot.setup.corpus, jax.random.split(key, 4)
        groups = {"denied": (self.denied,), "told": self.told, "held_out": self.held_out}
        says = {group: self._says(snapshot, keys[0], names, -1) for group, names in groups.items()}
        prefilled = {
            name: self._says(snapshot, keys[1], (self.denied,), who)
            for who, name in enumerate(corpus.names)
        }
        now, then = (
            self._ask(snapshot, policy, keys[2], self.denied, -1).stream
            for policy in (snapshot.policy, snapshot.pretrained)
        )
        cues = len(corpus.topics[corpus.topic_names.index(self.denied)].cues)
        truth = jax.nn.one_hot(jnp.tile(jnp.arange(cues), self.size), cues)
        dealt = jax.random.permutation(keys[3], truth)
        return {
            "says": says,
            "prefilled": prefilled,
            "readable": [float(geometry.probe(x, truth)[0]) for x in now],
            "before": [float(geometry.probe(x, truth)[0]) for x in then],
            "shuffled": [float(geometry.probe(x, dealt)[0]) for x in now],
        }

    def scalars(self, setup: Setup, found: Any) -> dict[str, float]:
        return {
            f"denial/{group}/{answer}": p
            for group, row in found["says"].items()
            for answer, p in row.items()
        }
