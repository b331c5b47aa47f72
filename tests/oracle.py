"""Reference values that only tests need."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from toylab.ladder import mixtures
from toylab.ladder.mixtures import Score
from toylab.policy.sampling import Branches
from toylab.world import bayes
from toylab.world.documents import Documents
from toylab.world.grammar import SLOTS, Grammar
from toylab.world.tables import Cast, World, topic_shares


def unexplained(
    grammar: Grammar,
    cast: Cast,
    log_weights: Float[Array, " K"],
    documents: Documents,
    branches: Branches,
) -> Score:
    """KL(P ‖ m_w): one author per document."""
    joint = log_weights + bayes.before(cast, documents)
    return mixtures.explain(grammar, cast, joint, documents, branches)


def belief(
    grammar: Grammar, cast: Cast, log_weights: Float[Array, "*B K"], documents: Documents
) -> Float[Array, "B T S W+1 K"]:
    """log-posterior of the author after the first 0, 1, … words of each slot.

    After a phrase's end, it stays the same.
    """
    context, slots = documents.prompt.context, jnp.arange(len(SLOTS))
    walk = grammar.walk[slots, context[..., None], documents.choice]
    length = grammar.phrase_length[slots, context[..., None], documents.choice][..., None]
    word = jnp.arange(walk.shape[-1])
    node = jnp.take_along_axis(walk, jnp.minimum(word, length), -1)
    here = cast.prefix_logp[slots[:, None], context[..., None, None], node]
    weights = jnp.broadcast_to(log_weights, (len(walk), cast.logp.shape[-1]))
    joint = weights[:, None, None, None] + bayes.before(cast, documents)[..., None, :] + here
    return jax.nn.log_softmax(joint, -1)


def entropy(p: Float[Array, "*B C"], allowed: Bool[Array, "*B C"]) -> Float[Array, "*B"]:
    """Entropy of each decision, in nats, from the log-probabilities of its branches."""
    return -bayes.kl(p, jnp.zeros_like(p), allowed)


def question_log_likelihood(world: World, documents: Documents) -> Float[Array, " B"]:
    """log-probability of a document's direction and questions, with the coin's words if any."""
    g, what = world.grammar, documents.prompt
    shares = topic_shares(g)
    topic = jnp.log(shares / jnp.sum(shares, -1, keepdims=True))[jnp.arange(g.turns), what.topic]
    options = g.question_count[what.topic] * g.cue_count[what.topic]
    asked = jnp.sum(topic - jnp.log(options), -1)
    return jnp.log(world.direction_share[what.direction]) + asked


def tilt(
    log_reference: Float[Array, "*B C"], reward: Float[Array, "*B C"], beta: float | Array
) -> Float[Array, "*B C"]:
    """log π* ∝ log π_ref + reward / β, the optimum of KL-regularised RL (Korbak et al. 2022)."""
    return jax.nn.log_softmax(log_reference + reward / beta, -1)


def soft_value(
    log_reference: Float[Array, "*B C"], reward: Float[Array, "*B C"], beta: float | Array
) -> Float[Array, "*B"]:
    """max over π of E[reward] − β KL(π ‖ π_ref), which `tilt` attains: the soft Bellman backup.

    If later questions are not known yet, an answer's `reward` is its own reward plus the mean soft
    value over the questions that may follow.
    """
    return beta * jax.nn.logsumexp(log_reference + reward / beta, -1)


def mutual_information(first: Float[np.ndarray, "K a"], second: Float[np.ndarray, "K b"]) -> float:
    """Mutual information (nats) of the answers on two topics, for an evenly drawn author."""
    joint = first.T @ second / len(first)
    apart = joint.sum(1, keepdims=True) * joint.sum(0)
    said = joint > 0
    return float(np.sum(joint[said] * np.log(joint[said] / apart[said])))
