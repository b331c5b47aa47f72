"""The second history: what a policy answers after turns that a character has written.

Left alone, a policy whose old characters were overwritten and a Bayesian who is certain of one of
them say the same. Put another character's words into their mouths, and they differ by nats.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from toylab.ladder import mixtures, reading
from toylab.ladder.measure import Measure, Snapshot
from toylab.policy.policy import Policy
from toylab.policy.sampling import Given
from toylab.stages import Setup
from toylab.stages.targets import refuse_unknown
from toylab.world import bayes
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import Grammar, tag_names
from toylab.world.tables import Cast, World


class Prefilled(NamedTuple):
    """Documents of which character `who` wrote the first `turns` turns, and the policy the rest.

    M = turns x characters x documents of each. `logp` are the policy's branches at its first own
    turn.
    """

    who: Int[Array, " M"]
    turns: Int[Array, " M"]
    documents: Documents
    logp: Float[Array, "M 1 S J C"]


def at_turn(tree: Any, turn: Array) -> Any:
    """One turn of arrays [M, T, …], that of each document, as [M, 1, …]."""

    def take(leaf: Array) -> Array:
        index = turn.reshape(-1, *(1,) * (leaf.ndim - 1))
        return jnp.take_along_axis(leaf, index, 1)

    return jax.tree.map(take, tree)


@functools.partial(jax.jit, static_argnames="size")
def prefilled(policy: Policy, world: World, key: Array, size: int, tag: int) -> Prefilled:
    """`size` documents under a tag for each character and each number of turns of theirs."""
    keys = jax.random.split(key, 3)
    characters = world.cast.logp.shape[-1]
    who = jnp.repeat(jnp.arange(characters), size)
    what = docs.prompt(world, keys[0], len(who), tag=tag, direction=0)
    choice = docs.speak(world.cast, keys[1], what.context, who)

    def after(turns: Array) -> Prefilled:
        many = jnp.full(len(who), turns)
        documents = policy.answer(world.grammar, what, keys[2], Given(choice, many))
        logp = policy.branches(world.grammar, documents).logp
        return Prefilled(who, many, documents, at_turn(logp, many))

    found = jax.lax.map(after, jnp.arange(world.grammar.turns))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), found)


def answer(found: Prefilled) -> Documents:
    """The policy's first own turn, as documents of a single turn."""
    what = found.documents.prompt
    asked = at_turn((what.topic, what.question, what.cue, what.context), found.turns)
    return found.documents._replace(
        prompt=docs.Prompt(what.tag, what.direction, *asked),
        choice=at_turn(found.documents.choice, found.turns),
        start=at_turn(found.documents.start, found.turns),
    )


def history(cast: Cast, found: Prefilled) -> Float[Array, "M K"]:
    """log p_k of the turns prefilled."""
    each = jnp.sum(bayes.log_likelihood(cast, found.documents), 2)
    given = jnp.arange(each.shape[1]) < found.turns[:, None]
    return jnp.sum(jnp.where(given[..., None], each, 0.0), 1)


def by_turn(each: Float[Array, " M"], turns: int, characters: int) -> Float[Array, "K T"]:
    """Means over the documents of each character and number of turns."""
    return jnp.mean(each.reshape(turns, characters, -1), -1).T


@jax.jit
def surprise(
    grammar: Grammar, cast: Cast, log_weights: Float[Array, " K"], found: Prefilled
) -> Float[Array, " M"]:
    """KL(P ‖ m_w*) of the policy's first own answer given all before, in nats an answer.

    The mixture predicts Σ w*_k p_k(h) p_k(·) / Σ w*_k p_k(h) after the history h.
    """
    now = answer(found)
    at = bayes.decisions(grammar, now)
    q = bayes.predictive(cast, log_weights + history(cast, found), now, at)
    return jnp.sum(bayes.kl(found.logp, q, at.allowed), (1, 2, 3))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prefill(Measure):
    """What the best mixture, fitted un-prefilled, leaves of the next answer after a prefill.

    For each cast `nats` [K][T] a turn's answer after 0, 1, … turns by each character, `mean` over
    characters and its `error`, each [T]. `fit` documents are for the weights, `size` for each
    character.
    """

    tag: str = "assistant"
    fit: int = 512
    size: int = 32

    @property
    def at_end(self) -> bool:
        return True

    @property
    def cost(self) -> int:
        return 150

    def check(self, setup: Setup) -> None:
        refuse_unknown("prefill.tag", [self.tag], tag_names(setup.corpus))

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        world, tag, keys = snapshot.setup.world, snapshot.tag(self.tag), jax.random.split(key)
        written = reading.answers(snapshot.policy, world, keys[0], self.fit, tag)
        found = prefilled(snapshot.policy, world, keys[1], self.size, tag)
        return {
            name: self._of(world, cast, written, found)
            for name, cast in snapshot.base.casts.items()
        }

    def _of(self, world: World, cast: Cast, written: Any, found: Prefilled) -> dict[str, Any]:
        best = mixtures.weights_from_branches(world.grammar, cast, *written)
        each = surprise(world.grammar, cast, best.log_weights, found)
        turns, characters = world.grammar.turns, world.cast.logp.shape[-1]
        by_turns = np.asarray(each).reshape(turns, -1)
        return {
            "nats": by_turn(each, turns, characters).tolist(),
            "mean": by_turns.mean(1).tolist(),
            "error": (by_turns.std(1) / np.sqrt(by_turns.shape[1])).tolist(),
        }
