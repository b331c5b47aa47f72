"""Exact inference about the author.

In a phrase, only the first J = `grammar.depth` words can be uncertain, given all words before. All
of these, certain or not, are its *decisions*. Other axes are as in `toylab.world.tables`.
Logarithms are natural.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import OPENER, PAD, SLOTS, Grammar
from toylab.world.tables import Cast, World


class Decisions(NamedTuple):
    """The branches that the grammar allows before each of the first J words of every phrase.

    `node` is the trie node before the word. Each of the C branches has a `token` and leads to the
    node `child`. `allowed` marks those that exist, and `taken` the one that the document took.
    The logits at `position` predict the word. After the end of a phrase nothing is allowed.
    """

    node: Int[Array, "B T S J"]
    token: Int[Array, "B T S J C"]
    child: Int[Array, "B T S J C"]
    allowed: Bool[Array, "B T S J C"]
    taken: Bool[Array, "B T S J C"]
    position: Int[Array, "B T S J"]


def _at(table: Array, context: Int[Array, "B T"], index: Int[Array, "B T S"]) -> Array:
    """table[slot, context, index] for every slot of every turn."""
    return table[jnp.arange(len(SLOTS)), context[..., None], index]


def decisions(grammar: Grammar, documents: Documents) -> Decisions:
    """The decisions of a batch of documents."""
    context = documents.prompt.context
    walk = _at(grammar.walk, context, documents.choice)
    node, after = walk[..., : grammar.depth], walk[..., 1 : grammar.depth + 1]
    slot = jnp.arange(len(SLOTS))[:, None]
    place = (slot, context[..., None, None], node)
    token, child = grammar.child_token[place], grammar.child_node[place]
    word = jnp.arange(grammar.depth)
    said = word < _at(grammar.phrase_length, context, documents.choice)[..., None]
    branch = jnp.arange(token.shape[-1]) < grammar.child_count[place][..., None]
    allowed = branch & said[..., None]
    return Decisions(
        node=node,
        token=token,
        child=child,
        allowed=allowed,
        taken=allowed & (child == after[..., None]),
        position=jnp.maximum(documents.start[..., None] + word - 1, 0),
    )


def phrase_logp(
    cast: Cast, context: Int[Array, "B T"], choice: Int[Array, "B T S"]
) -> Float[Array, "B T S K"]:
    """log p_k of the phrase in every slot, given its context."""
    return _at(cast.logp, context, choice)


def log_likelihood(cast: Cast, documents: Documents) -> Float[Array, "B T S K"]:
    """log p_k of the phrase in every slot of each document."""
    return phrase_logp(cast, documents.prompt.context, documents.choice)


def document_log_likelihood(cast: Cast, documents: Documents) -> Float[Array, "B K"]:
    """log p_k of all answers of each document, given its questions, tag and direction."""
    return jnp.sum(log_likelihood(cast, documents), (1, 2))


def before(cast: Cast, documents: Documents) -> Float[Array, "B T S K"]:
    """log p_k of all phrases before each slot, given the prompt."""
    return earlier(log_likelihood(cast, documents))


def earlier(values: Float[Array, "B T S *K"]) -> Float[Array, "B T S *K"]:
    """The sum of the values in all earlier slots of a document."""
    flat = values.reshape(len(values), -1, *values.shape[3:])
    return (jnp.cumsum(flat, 1) - flat).reshape(values.shape)


def branch_logp(
    cast: Cast, joint: Float[Array, "B T S K"], documents: Documents, at: Decisions
) -> Float[Array, "B T S J C"]:
    """log-probability of every allowed branch (else -inf), given all words before it.

    `joint` is log P(all phrases before the slot, and that atom k speaks in it).
    """
    slot = jnp.arange(len(SLOTS))[:, None]
    context = documents.prompt.context[..., None, None]
    joint = joint[..., None, :]
    here = jax.nn.logsumexp(joint + cast.prefix_logp[slot, context, at.node], -1)
    reached = cast.prefix_logp[slot[..., None], context[..., None], at.child]
    there = jax.nn.logsumexp(joint[..., None, :] + reached, -1)
    return jnp.where(at.allowed, there - here[..., None], -jnp.inf)


def predictive(
    cast: Cast, log_weights: Float[Array, "*B K"], documents: Documents, at: Decisions
) -> Float[Array, "B T S J C"]:
    """log-probability of every allowed branch if one author, drawn by weight, writes each document.

    This is the Bayes-optimal prediction of the next word, given the cast and the weights.
    """
    weights = jnp.broadcast_to(log_weights, (len(documents.choice), cast.logp.shape[-1]))
    joint = weights[:, None, None] + before(cast, documents)
    return branch_logp(cast, joint, documents, at)


def next_word(
    world: World, log_weights: Float[Array, "*B K"], documents: Documents
) -> Float[Array, "B L V"]:
    """Next-word distribution over the vocabulary after each word of a document.

    Answers follow `predictive`, user turns `World.prompt_next`. After the last word it is all 0.
    """
    g, what = world.grammar, documents.prompt
    size, length = documents.tokens.shape
    rows, later = jnp.arange(size)[:, None, None], jnp.minimum(jnp.arange(g.turns), 1)
    # Wherever the next word is certain, it is the document's. The rest is overwritten below.
    came = documents.tokens[:, 1:, None] == jnp.arange(g.vocabulary)
    came &= documents.role[:, 1:, None] != PAD
    out = jnp.pad(came.astype(jnp.float32), ((0, 0), (0, 1), (0, 0)))
    # User turns.
    prompt = world.prompt[later, what.direction[:, None], what.topic, what.question, what.cue]
    _, asked = docs.asked(g, what)
    answered = documents.start[..., OPENER, None]
    begins = (answered - asked[..., None]).at[:, 0].set(1)
    place = begins - 1 + jnp.arange(world.prompt_next.shape[1])
    place = jnp.where(place < answered - 1, place, length)
    out = out.at[rows, place].set(world.prompt_next[prompt], mode="drop")
    # Answers.
    at = decisions(g, documents)
    chance = jnp.exp(predictive(world.cast, log_weights, documents, at))
    token = jnp.where(at.allowed, at.token, g.vocabulary)
    rows = rows[..., None, None]
    return out.at[rows, at.position[..., None], token].set(chance, mode="drop")


def kl(
    p: Float[Array, "B T S J C"], q: Float[Array, "B T S J C"], allowed: Bool[Array, "B T S J C"]
) -> Float[Array, "B T S J"]:
    """KL(P ‖ Q) at each decision, in nats, from the log-probabilities of its branches."""
    p, q = jnp.where(allowed, p, 0.0), jnp.where(allowed, q, 0.0)
    return jnp.sum(jnp.where(allowed, jnp.exp(p) * (p - q), 0.0), -1)


def reweight(
    log_prior: Float[Array, " K"], evidence: Float[Array, " K"], tau: float | Array
) -> Float[Array, " K"]:
    """log w, where w ∝ w0 · exp(τ · evidence), and evidence is log p_k of documents.

    τ is the exchange rate: by how many nats a nat of evidence changes the log-odds of characters.
    """
    return jax.nn.log_softmax(log_prior + tau * evidence)
