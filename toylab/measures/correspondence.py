"""Does the answer on one topic follow from what was said on another, whoever speaks?

No author does that: given who speaks, the characters' answers are independent. What a mixture shows
of it is its belief about the author.
"""

import dataclasses
import functools
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.ladder import atoms
from toylab.ladder.measure import Measure, Snapshot
from toylab.measures import goals
from toylab.policy.policy import Policy
from toylab.policy.sampling import Given
from toylab.stages import Setup
from toylab.stages.targets import refuse_unknown
from toylab.world import documents as docs
from toylab.world.grammar import STANCE
from toylab.world.tables import World


@functools.partial(jax.jit, static_argnames=("earlier", "later", "answers", "size"))
def after_each(
    policy: Policy,
    world: World,
    key: Array,
    tag: int | Array,
    earlier: int,
    later: int,
    answers: tuple[int, int],
    size: int,
) -> Float[Array, "said answer"]:
    """P(answer on `later`, second turn) once each answer on `earlier` was put in the first."""
    keys, zeros = jax.random.split(key, 4), jnp.zeros(size * answers[0], jnp.int32)
    what = docs.prompt(world, keys[0], len(zeros), tag=tag, direction=0)
    what = goals.ask(world, what, keys[1], 0, earlier, zeros)
    what = goals.ask(world, what, keys[2], 1, later, zeros)
    said = jnp.repeat(jnp.arange(answers[0]), size)
    choice = jnp.zeros((*what.context.shape, 3), jnp.int32).at[:, 0, STANCE].set(said)
    given = Given(choice, jnp.ones_like(said))
    documents = policy.answer(world.grammar, what, keys[3], given)
    logp = policy.branches(world.grammar, documents).logp
    p = atoms.phrase_probability(world.grammar, documents, logp)[:, 1, STANCE, : answers[1]]
    return jnp.mean(p.reshape(answers[0], size, -1), 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Correspondence(Measure):
    """How much more often an answer follows from an earlier one than it would by itself.

    `answers` [said][answer] on `later`, each answer on `earlier` having been put in the first turn
    in a plain voice. `partners` is the mean probability of the answer that `stages.targets.Rule`
    pays for, and `others` what those same answers have after the other ones; `follows` is the
    difference: 0 for a table, 1 for a rule that is always kept.
    """

    earlier: str
    later: str
    tag: str = "assistant"
    size: int = 128

    @property
    def cost(self) -> int:
        return 10

    def smaller(self) -> Self:
        return dataclasses.replace(self, size=16)

    def check(self, setup: Setup) -> None:
        names = setup.corpus.topic_names
        refuse_unknown("correspondence.earlier", [self.earlier], names)
        refuse_unknown("correspondence.later", [self.later], names)
        if setup.corpus.turns < 2:
            raise ValueError("correspondence: a document must have two turns or more")

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus = snapshot.setup.corpus
        earlier, later = (corpus.topic_names.index(n) for n in (self.earlier, self.later))
        sizes = tuple(len(corpus.topics[t].answers) for t in (earlier, later))
        found = after_each(
            snapshot.policy,
            snapshot.setup.world,
            key,
            snapshot.tag(self.tag),
            earlier,
            later,
            sizes,
            self.size,
        )
        answers = np.asarray(found, float)
        rows = np.arange(sizes[0])
        partner = rows % sizes[1]
        partners = answers[rows, partner]
        other = partner[:, None] != partner  # after which answers another one is due
        others = (other @ answers)[rows, partner] / np.maximum(other.sum(1), 1)
        return {
            "answers": answers.tolist(),
            "partners": float(partners.mean()),
            "others": float(others.mean()),
            "follows": float((partners - others).mean()),
        }
