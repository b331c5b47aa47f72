"""Sampling and scoring of a model, constrained to the grammar.

Both use the model's next-token distribution over the branches that the tries allow, renormalised.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from toylab.policy.network import Network, Params
from toylab.world import bayes
from toylab.world import documents as docs
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import OPENER, SLOTS, Grammar


class Branches(NamedTuple):
    """A policy's next-word distribution at each decision of a batch of documents.

    `logp` is the log-probability of each allowed branch, normalised over these. `outside` is the
    probability that the unconstrained policy gives to words that the grammar forbids there.
    """

    logp: Float[Array, "B T S J C"]
    outside: Float[Array, "B T S J"]


class Given(NamedTuple):
    """Prefilled answers: `choice` in the first `turns` turns of each document."""

    choice: Int[Array, "B T S"]
    turns: Int[Array, " B"]


def read(grammar: Grammar, documents: Documents, logits: Float[Array, "B L V"]) -> Branches:
    """A model's branches from its next-token logits on the documents."""
    at = bayes.decisions(grammar, documents)
    rows = jnp.arange(len(logits))[:, None, None, None]
    everything = jax.nn.logsumexp(logits, -1)[rows, at.position]
    picked = logits[rows[..., None], at.position[..., None], at.token]
    logp = jnp.where(at.allowed, picked - everything[..., None], -jnp.inf)
    some = jnp.any(at.allowed, -1)
    inside = jax.nn.logsumexp(jnp.where(some[..., None], logp, 0.0), -1)
    outside = jnp.where(some, -jnp.expm1(jnp.minimum(inside, 0.0)), 0.0)
    return Branches(logp - jnp.where(some, inside, 0.0)[..., None], outside)


def log_likelihood(
    grammar: Grammar, documents: Documents, logits: Float[Array, "B L V"]
) -> Float[Array, "B T S"]:
    """log-probability of the phrase in every slot, given all words before it, in nats."""
    taken = bayes.decisions(grammar, documents).taken
    return jnp.sum(jnp.where(taken, read(grammar, documents, logits).logp, 0.0), (-1, -2))


def word_log_likelihood(
    grammar: Grammar, documents: Documents, logits: Float[Array, "B L V"]
) -> tuple[Float[Array, "B N"], Bool[Array, "B N"]]:
    """log-probability of each word in the slots, given all before it, in nats; and whether the
    word exists.

    N is turns x slots x `grammar.depth`: only the words of a phrase at which tries can branch.
    """
    taken = bayes.decisions(grammar, documents).taken
    logp = jnp.sum(jnp.where(taken, read(grammar, documents, logits).logp, 0.0), -1)
    return logp.reshape(len(logits), -1), jnp.any(taken, -1).reshape(len(logits), -1)


def coin(
    grammar: Grammar, documents: Documents, logits: Float[Array, "B L V"]
) -> Float[Array, "B T-1 side"]:
    """A model's log-probability of each side of the coin before every turn but the first.

    Normalised over the sides, each identified by its first word, which follows the last answer.
    """
    if not len(grammar.coin_token):
        raise ValueError("coin: this corpus has none; add a [coin] to it")
    _, length = docs.asked(grammar, documents.prompt)
    before = documents.start[:, 1:, OPENER] - length[:, 1:] - 1
    rows = jnp.arange(len(logits))[:, None, None]
    return jax.nn.log_softmax(logits[rows, before[..., None], grammar.coin_token], -1)


class Place(NamedTuple):
    """The place of the next word of each document: turn, segment (0 is the question, then slots),
    word of the segment, trie node; and the phrases chosen so far."""

    turn: Int[Array, " B"]
    segment: Int[Array, " B"]
    word: Int[Array, " B"]
    node: Int[Array, " B"]
    choice: Int[Array, "B T S"]


Say = Callable[[Place, Float[Array, "B V"], Array], tuple[Place, Int[Array, " B"]]]


def start(grammar: Grammar, size: int) -> Place:
    """The place after the tags of `size` documents."""
    choice = jnp.zeros((size, grammar.turns, len(SLOTS)), int)
    return Place(*(jnp.zeros(size, jnp.int32),) * 4, choice)


def speaker(grammar: Grammar, what: Prompt, key: Array, given: Given | None = None) -> Say:
    """The function that adds a word to each document: (place, logits, position) -> (next place,
    word).

    Where the grammar leaves a choice, the word is drawn from the logits, constrained to the tries.
    Answers that are `given` are copied, and the model continues after them.
    """
    g, size = grammar, len(what.tag)
    rows = jnp.arange(size)
    asked, asked_length = docs.asked(g, what)
    directed, directed_length = g.directions[what.direction], g.direction_length[what.direction]

    def say(
        place: Place, logits: Float[Array, "B V"], position: Array
    ) -> tuple[Place, Int[Array, " B"]]:
        turn = jnp.minimum(place.turn, g.turns - 1)
        slot, x = jnp.maximum(place.segment - 1, 0), what.context[rows, turn]
        # What the model may say, and what it draws.
        tokens = g.child_token[slot, x, place.node]
        real = jnp.arange(tokens.shape[-1]) < g.child_count[slot, x, place.node][:, None]
        scores = jnp.where(real, logits[rows[:, None], tokens], -jnp.inf)
        noise = jax.random.gumbel(jax.random.fold_in(key, position), scores.shape)
        branch = jnp.argmax(scores + noise, -1)
        said, node = tokens[rows, branch], g.child_node[slot, x, place.node][rows, branch]
        if given:
            told, theirs = place.turn < given.turns, given.choice[rows, turn, slot]
            word = jnp.minimum(place.word, g.phrases.shape[-1] - 1)
            said = jnp.where(told, g.phrases[slot, x, theirs, word], said)
            node = jnp.where(told, g.walk[slot, x, theirs, word + 1], node)
        # Which of the three kinds of word comes next.
        in_direction = position < directed_length
        in_question = ~in_direction & (place.segment == 0)
        in_slot = ~in_direction & (place.segment > 0)
        forced = jnp.where(
            in_direction,
            directed[:, jnp.minimum(position, directed.shape[1] - 1)] if directed.shape[1] else 0,
            asked[rows, turn, jnp.minimum(place.word, asked.shape[-1] - 1)],
        )
        token = jnp.where(in_slot, said, forced)
        phrase = g.leaf[slot, x, node]
        done = in_slot & (phrase >= 0)
        choice = place.choice.at[rows, turn, slot].set(
            jnp.where(done & (place.turn < g.turns), phrase, place.choice[rows, turn, slot])
        )
        last_asked = in_question & (place.word + 1 == asked_length[rows, turn])
        leaves = done | last_asked
        ends = done & (place.segment == len(SLOTS))
        segment = jnp.where(ends, 0, place.segment + leaves)
        word = jnp.where(leaves | in_direction, 0, place.word + 1)
        node = jnp.where(in_slot & ~done, node, 0)
        return Place(place.turn + ends, segment, word, node, choice), token

    return say


def generate(
    network: Network,
    params: Params,
    grammar: Grammar,
    what: Prompt,
    key: Array,
    given: Given | None = None,
) -> Documents:
    """A model's answers to prompts, sampled word by word, constrained to the tries."""
    g, size = grammar, len(what.tag)
    say = speaker(g, what, key, given)

    def step(
        carry: tuple[Place, Any, Int[Array, " B"]], position: Array
    ) -> tuple[tuple[Place, Any, Int[Array, " B"]], None]:
        place, cache, token = carry
        logits, cache = network.apply(params, token[:, None], cache)
        place, token = say(place, logits[:, 0], position)
        return (place, cache, token), None

    carry = (start(g, size), network.cache(size), g.tag_token[what.tag])
    (place, _, _), _ = jax.lax.scan(step, carry, jnp.arange(g.length - 1))
    return docs.render(g, what, place.choice, jnp.full(size, docs.NOBODY, jnp.int32))
