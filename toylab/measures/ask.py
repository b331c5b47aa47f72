"""A policy's answers to questions, with or without a prefilled history."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from toylab.ladder import atoms, mixtures
from toylab.ladder.mixtures import Weights
from toylab.policy.policy import Policy
from toylab.policy.sampling import Branches, Given
from toylab.world import bayes
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import STANCE, Grammar
from toylab.world.schema import Corpus, Topic
from toylab.world.tables import Cast, World


class Cued(NamedTuple):
    """A topic whose questions state a cue; `target` is the answer that each cue calls for."""

    place: int
    topic: Topic
    target: Int[np.ndarray, " cue"]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """The index of the topic, and its numbers of cues and answers."""
        return self.place, len(self.topic.cues), len(self.topic.answers)


def cued(corpus: Corpus, name: str) -> Cued:
    place = corpus.topic_names.index(name)
    topic = corpus.topics[place]
    return Cued(place, topic, np.array(topic.targets(topic.cues)))


def about(
    world: World, what: Prompt, key: Array, turn: Any, topic: int, cue: Int[Array, " B"]
) -> Prompt:
    """The prompts with one turn's question replaced by one on this topic, with these cues."""
    count = world.grammar.question_count[topic]
    context = world.grammar.topic_contexts[topic, cue, what.direction]
    return what._replace(
        topic=what.topic.at[:, turn].set(topic),
        question=what.question.at[:, turn].set(jax.random.randint(key, cue.shape, 0, count)),
        cue=what.cue.at[:, turn].set(cue),
        context=what.context.at[:, turn].set(context),
    )


class Answered(NamedTuple):
    """Documents whose first `turns` turns, by `who`, were given; the policy wrote the rest.

    `logp` has the policy's branches at the first turn that it wrote itself.
    """

    who: Int[Array, " M"]
    turns: Int[Array, " M"]
    documents: Documents
    logp: Float[Array, "M 1 S J C"]


def at_turn(tree: Any, turn: Array) -> Any:
    """One turn of each document: [M, T, …] becomes [M, 1, …]."""

    def take(leaf: Array) -> Array:
        index = turn.reshape(-1, *(1,) * (leaf.ndim - 1))
        return jnp.take_along_axis(leaf, index, 1)

    return jax.tree.map(take, tree)


def after(
    policy: Policy,
    world: World,
    what: Prompt,
    key: Array,
    choice: Int[Array, "M T S"],
    who: Int[Array, " M"],
    turns: Any,
) -> Answered:
    """The policy's answers after the first `turns` turns of `choice`, which `who` wrote."""
    many = jnp.full(len(who), turns)
    documents, branches = policy.answer(world.grammar, what, key, Given(choice, many))
    return Answered(who, many, documents, at_turn(branches.logp, many))


def after_every(
    policy: Policy, world: World, what: Prompt, key: Array, choice: Array, who: Array
) -> Answered:
    """`after` for 0, 1, … turns, concatenated: M = turns x documents."""
    found = jax.lax.map(
        lambda turns: after(policy, world, what, key, choice, who, turns),
        jnp.arange(world.grammar.turns),
    )
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), found)


def one_turn(documents: Documents, turn: Int[Array, " M"]) -> Documents:
    """One turn of each document, as documents of a single turn, but with all their tokens."""
    tag, direction, *asked = documents.prompt
    asked, choice, start = at_turn((asked, documents.choice, documents.start), turn)
    what = Prompt(tag, direction, *asked)
    return documents._replace(prompt=what, choice=choice, start=start)


def own_turn(found: Answered) -> Documents:
    """The first turn that the policy wrote, as documents of a single turn."""
    return one_turn(found.documents, found.turns)


def stances(
    grammar: Grammar, documents: Documents, logp: Float[Array, "B T S J C"]
) -> Float[Array, "B T P"]:
    """P(answer) in every turn, from the log-probabilities of branches."""
    return atoms.phrase_probability(grammar, documents, logp)[:, :, STANCE]


def evidence(cast: Cast, found: Answered) -> Float[Array, "M K"]:
    """log p_k of the given turns, in nats."""
    each = jnp.sum(bayes.log_likelihood(cast, found.documents), 2)
    given = jnp.arange(each.shape[1]) < found.turns[:, None]
    return jnp.sum(jnp.where(given[..., None], each, 0.0), 1)


def first_weights(world: World, cast: Cast, found: Answered, count: int) -> Weights:
    """w* fitted to the first `count` rows: answers with no turn before them."""
    alone = jax.tree.map(lambda leaf: leaf[:count], found)
    branches = Branches(alone.logp, jnp.zeros(alone.logp.shape[:-1]))
    return mixtures.weights_from_branches(world.grammar, cast, own_turn(alone), branches)
