"""Sampling and scoring with a model.

A model is *constrained to the grammar* by renormalising its next-word distribution over the
branches that the grammar allows. Axes are as in `toylab.world.bayes`.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from toylab.policy.network import Network, Params
from toylab.world import bayes
from toylab.world import documents as docs
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import CLOSER, OPENER, SLOTS, Grammar

PART = 128  # documents that are written or read at a time
LEAST = 1e-7  # the least probability outside the grammar, which keeps its logarithm finite


class Branches(NamedTuple):
    """A policy's next-word distribution at each decision of a batch of documents.

    `logp` is normalised over the allowed branches. `outside` is the probability that the policy,
    unconstrained, gives to words that the grammar forbids there.
    """

    logp: Float[Array, "B T S J C"]
    outside: Float[Array, "B T S J"]


class Given(NamedTuple):
    """Prefilled answers: `choice` in the first `turns` turns of each document."""

    choice: Int[Array, "B T S"]
    turns: Int[Array, " B"]


def _free(
    logits: Float[Array, "*B V"], token: Int[Array, "*B C"], allowed: Bool[Array, "*B C"]
) -> Float[Array, "*B C"]:
    """log-probability of each allowed branch, not normalised over these."""
    logp = jnp.take_along_axis(logits, token, -1) - jax.nn.logsumexp(logits, -1, keepdims=True)
    return jnp.where(allowed, logp, -jnp.inf)


def _inside(logp: Float[Array, "*B C"]) -> Float[Array, "*B"]:
    """log of the total probability of the allowed branches; 0 where there are none."""
    some = jnp.any(logp > -jnp.inf, -1)
    return jnp.where(some, jax.nn.logsumexp(jnp.where(some[..., None], logp, 0.0), -1), 0.0)


def _within(
    logits: Float[Array, "*B V"], token: Int[Array, "*B C"], allowed: Bool[Array, "*B C"]
) -> Branches:
    """A model's branches at single decisions, from the logits there."""
    logp = _free(logits, token, allowed)
    inside = _inside(logp)
    return Branches(logp - inside[..., None], -jnp.expm1(jnp.minimum(inside, 0.0)))


def read(grammar: Grammar, documents: Documents, logits: Float[Array, "B L V"]) -> Branches:
    """A model's branches from its next-token logits on the documents."""
    at = bayes.decisions(grammar, documents)
    rows = jnp.arange(len(logits))[:, None, None, None]
    return _within(logits[rows, at.position], at.token, at.allowed)


def leave(branches: Branches, key: Array) -> Bool[Array, "B T S J"]:
    """Marks the decision, if any, at which each document leaves the grammar.

    At each decision, it leaves with probability `branches.outside`.
    """
    outside = branches.outside.reshape(len(branches.outside), -1)
    leaves = jax.random.uniform(key, outside.shape) < outside
    return (leaves & (jnp.cumsum(leaves, 1) == 1)).reshape(branches.outside.shape)


def free_log_likelihood(
    grammar: Grammar,
    documents: Documents,
    logits: Float[Array, "B L V"],
    left: Bool[Array, "B T S J"] | None = None,
) -> tuple[Float[Array, "B N"], Bool[Array, "B N"]]:
    """log-probability of the word at each decision, given all before it, and which of them exist.

    The model is not constrained to the grammar. A document ends where it `left` the grammar, with
    one word that stands for all forbidden ones. N = T x S x J: only the first J words of a phrase
    are decisions.
    """
    at, size = bayes.decisions(grammar, documents), len(logits)
    rows = jnp.arange(size)[:, None, None, None]
    logp = _free(logits[rows, at.position], at.token, at.allowed)
    said = jnp.sum(jnp.where(at.taken, logp, 0.0), -1).reshape(size, -1)
    exists = jnp.any(at.taken, -1).reshape(size, -1)
    if left is not None:
        outside = -jnp.expm1(jnp.minimum(_inside(logp), -LEAST)).reshape(size, -1)
        ends = left.reshape(size, -1)
        said = jnp.where(ends, jnp.log(outside), said)
        exists &= jnp.cumsum(ends, 1) - ends == 0
    return jnp.where(exists, said, 0.0), exists


def coin(
    grammar: Grammar, documents: Documents, logits: Float[Array, "B L V"]
) -> Float[Array, "B T-1 side"]:
    """A model's log-probability of each side of the coin before every turn but the first.

    That is the log-probability of the side's first word, normalised over sides. Raises `ValueError`
    if the corpus has no coin.
    """
    if not len(grammar.coin_token):
        raise ValueError("coin: this corpus has none; add a [coin] to it")
    _, length = docs.asked(grammar, documents.prompt)
    before = documents.start[:, 1:, OPENER] - length[:, 1:] - 1
    rows = jnp.arange(len(logits))[:, None, None]
    return jax.nn.log_softmax(logits[rows, before[..., None], grammar.coin_token], -1)


def opening(grammar: Grammar, what: Prompt) -> Int[Array, "B 1+direction"]:
    """The words before the first turn: the tag and the direction, if any (-1: no word)."""
    word = jnp.arange(grammar.directions.shape[1])
    said = word < grammar.direction_length[what.direction][:, None]
    directed = jnp.where(said, grammar.directions[what.direction], -1)
    return jnp.concatenate([grammar.tag_token[what.tag][:, None], directed], 1)


# (state, words, deciding) -> (state, logits). The model reads more words of each document; -1 is
# none. The logits are those after the last word. They matter only in documents that are `deciding`:
# where a decision comes next.
Hear = Callable[[Any, Int[Array, "B l"], Bool[Array, " B"]], tuple[Any, Float[Array, "B V"]]]


class Turn(NamedTuple):
    """What a turn needs: the question, its context, a uniform random number for each decision, and
    the prefilled phrase of each slot (-1: none)."""

    question: Int[Array, "B W"]
    context: Int[Array, " B"]
    uniform: Float[Array, "B S J"]
    given: Int[Array, "B S"]


def turns(grammar: Grammar, what: Prompt, key: Array, given: Given | None = None) -> Turn:
    """The turns of documents; every field has the axes [B, T, …]."""
    g = grammar
    shape = (len(what.tag), g.turns, len(SLOTS))
    words, length = docs.asked(g, what)
    question = jnp.where(jnp.arange(words.shape[-1]) < length[..., None], words, -1)
    told = jnp.full(shape, -1)
    if given:
        kept = jnp.arange(g.turns) < given.turns[:, None]
        told = jnp.where(kept[..., None], given.choice, told)
    return Turn(question, what.context, jax.random.uniform(key, (*shape, g.depth)), told)


def say(
    grammar: Grammar, hear: Hear, carry: tuple[Any, Int[Array, "B l"]], turn: Turn
) -> tuple[tuple[Any, Int[Array, "B l"]], tuple[Int[Array, "B S"], Branches]]:
    """Asks and answers one turn. Returns `carry`, the phrases, and the branches at every decision.

    `carry` is the model's state, and the words that it has not read yet. Between decisions words
    are certain, so the model reads them together.
    """
    g, (state, words) = grammar, carry
    rows = jnp.arange(len(words))
    words = jnp.concatenate([words, turn.question], 1)
    choices, found = [], []
    for slot in range(len(SLOTS)):
        at, told = (slot, turn.context), turn.given[:, slot]
        node = jnp.zeros_like(turn.context)
        for j in range(g.depth):
            token, child = g.child_token[*at, node], g.child_node[*at, node]
            allowed = jnp.arange(token.shape[-1]) < g.child_count[*at, node][:, None]
            goes_on = jnp.any(allowed, -1)
            state, logits = hear(state, words, goes_on)
            found.append(_within(logits, token, allowed))
            passed = jnp.cumsum(jnp.exp(found[-1].logp), -1)
            drawn = jnp.sum(turn.uniform[:, slot, j, None] * passed[:, -1:] >= passed, -1)
            kept = jnp.argmax(child == g.walk[*at, told, j + 1][:, None], -1)
            branch = jnp.where(told < 0, jnp.minimum(drawn, jnp.sum(allowed, -1) - 1), kept)
            words = jnp.where(goes_on, token[rows, branch], -1)[:, None]
            node = jnp.where(goes_on, child[rows, branch], node)
        choice = jnp.argmax(g.passes[*at, node], -1)
        choices.append(choice)
        word = jnp.arange(g.depth - 1, max(g.longest[slot], g.depth))
        rest = g.phrases[*at, choice][:, word]
        words = jnp.where(word < g.phrase_length[*at, choice][:, None], rest, -1)
    each = jax.tree.map(lambda *leaf: jnp.stack(leaf, 1), *found)
    branches = jax.tree.map(
        lambda leaf: leaf.reshape(len(rows), len(SLOTS), g.depth, *leaf.shape[2:]), each
    )
    return (state, words), (jnp.stack(choices, 1), branches)


def in_parts(work: Callable[..., Any], *rows: Any) -> Any:
    """Does `work` on at most `PART` documents at a time, so that arrays fit into a CPU's cache."""
    size = len(jax.tree.leaves(rows)[0])
    parts = -(-size // PART)
    if parts == 1:
        return work(*rows)
    index = (jnp.arange(parts * -(-size // parts)) % size).reshape(parts, -1)
    done = jax.lax.map(lambda at: work(*jax.tree.map(lambda leaf: leaf[at], rows)), index)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:size], done)


def generate(
    network: Network,
    params: Params,
    grammar: Grammar,
    what: Prompt,
    key: Array,
    given: Given | None = None,
) -> tuple[Documents, Branches]:
    """Documents with a model's answers, constrained to the grammar, and its branches there."""
    g, before = grammar, opening(grammar, what)
    directed = before.shape[1] > 1  # whether the corpus has directions
    columns = g.turns * (g.questions.shape[-1] + sum(max(n, g.depth) for n in g.longest))
    columns += directed * before.shape[1]

    def hear(state: Any, words: Array, deciding: Any = None) -> tuple[Any, Float[Array, "B V"]]:
        cache, before = state
        logits, cache = network.apply(params, words, cache)
        logits = jnp.where(jnp.any(words >= 0, 1)[:, None], logits[:, 0], before)
        return (cache, logits), logits

    def work(before: Int[Array, "B l"], asked: Turn) -> tuple[Array, Branches]:
        size = len(before)
        state = network.cache(size, columns), jnp.zeros((size, g.vocabulary))
        none = jnp.full((size, max(g.longest[CLOSER] - g.depth + 1, 1)), -1)
        start = (state, none.at[:, 0].set(before[:, 0]))
        if directed:
            any_is = jnp.any(before[:, 1:] >= 0)
            start = jax.lax.cond(any_is, lambda: (hear(state, before)[0], none), lambda: start)
        _, said = jax.lax.scan(functools.partial(say, g, hear), start, _swap(asked))
        return _swap(said)

    choice, branches = in_parts(work, before, turns(g, what, key, given))
    return docs.render(g, what, choice, jnp.full(len(choice), docs.NOBODY)), branches


def _swap(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), tree)
