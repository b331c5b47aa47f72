"""What documents reveal about their authors, and what mixtures of characters can say.

Axes are as in `toylab.world.tables`. Information is in nats. Whatever needs a key or `Evidence` is
estimated on sampled documents, with exact likelihoods.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from toylab.world import bayes
from toylab.world.documents import prompt, write
from toylab.world.grammar import Grammar
from toylab.world.tables import Cast, World, topic_shares

ODDS = 20.0  # two characters with these odds count as told apart
ERRORS = 2.0  # a weight this many standard errors from zero counts as detected
CHUNK = 256  # documents at a time


def turn_weights(grammar: Grammar, direction: int = 0) -> Float[Array, " X"]:
    """Share of each context among turns under a direction. Cues split a topic's share evenly."""
    table = grammar.topic_contexts[:, :, direction]
    real = jnp.arange(table.shape[1]) < grammar.cue_count[:, None]
    shares = topic_shares(grammar)
    topic = jnp.mean(shares / jnp.sum(shares, 1, keepdims=True), 0)
    share = real * (topic / grammar.cue_count)[:, None]
    return jnp.zeros(grammar.leaf.shape[1]).at[table].add(share)


@partial(jax.jit, static_argnames="slots")
def divergence(world: World, slots: tuple[int, ...] = (0, 1, 2)) -> Float[Array, "K K"]:
    """KL(k ‖ l) per turn: the mean rise in log-odds of k against l from an answer by k.

    Contexts are weighted by `turn_weights`, without a direction. Only these `slots` count.
    """
    logp = world.cast.logp[jnp.array(slots)]
    p = jnp.exp(logp) * turn_weights(world.grammar)[:, None, None]
    logp = jnp.where(jnp.isfinite(logp), logp, 0.0)
    cross = jnp.einsum("sxpk,sxpl->kl", p, logp, precision="highest")
    return jnp.maximum(jnp.diagonal(cross)[:, None] - cross, 0.0)


class Neighbours(NamedTuple):
    """The character that each is most easily mistaken for, and how many turns tell them apart."""

    other: Int[Array, " K"]
    nats: Float[Array, " K"]  # per turn
    turns: Float[Array, " K"]  # until the expected log-odds rise from 0 to log ODDS


def nearest(divergences: Float[Array, "K K"]) -> Neighbours:
    """For each character k, the other character l with the least KL(k ‖ l)."""
    apart = jnp.where(jnp.eye(len(divergences), dtype=bool), jnp.inf, divergences)
    nats = jnp.min(apart, 1)
    return Neighbours(jnp.argmin(apart, 1), nats, jnp.log(ODDS) / nats)


class Projection(NamedTuple):
    """The mixture of atoms nearest to a distribution."""

    weights: Float[Array, "*B K"]
    nats: Float[Array, "*B"]  # KL(target ‖ mixture)


@jax.jit
def project(target: Float[Array, "*B P"], logp: Float[Array, "*B P K"]) -> Projection:
    """The mixture of atoms nearest to a distribution in KL(target ‖ mixture), by EM on its weights.

    It ends about 1e-3 nats above the minimum. Phrases that do not exist are 0 in `target` and -inf
    in `logp`.
    """
    p = jnp.exp(logp)
    real = target > 0

    def step(_: int, w: Array) -> Array:
        mixture = jnp.einsum("...pk,...k->...p", p, w)
        ratio = jnp.where(real, target / jnp.where(real, mixture, 1.0), 0.0)
        return w * jnp.einsum("...p,...pk->...k", ratio, p)

    even = jnp.full((*p.shape[:-2], p.shape[-1]), 1 / p.shape[-1])
    w = jax.lax.fori_loop(0, 2000, step, even)
    mixture = jnp.einsum("...pk,...k->...p", p, w)
    ratio = jnp.where(real, target / jnp.where(real, mixture, 1.0), 1.0)
    return Projection(w, jnp.maximum(jnp.sum(target * jnp.log(ratio), -1), 0.0))


class Hull(NamedTuple):
    """How near mixtures come to always saying one phrase, and to saying all equally often."""

    reach: Float[Array, "S X P"]  # the highest probability of the phrase; nan if there is none
    even: Float[Array, "S X"]  # KL(uniform ‖ nearest mixture)


@jax.jit
def hull(cast: Cast) -> Hull:
    """The hull in every bank. Exact, except `even`, which is as exact as `project`."""
    real = jnp.isfinite(cast.logp[..., 0])
    top = jnp.where(real, jnp.max(cast.logp, -1), jnp.nan)
    even = real / jnp.sum(real, -1, keepdims=True)
    return Hull(jnp.exp(top), project(even, cast.logp).nats)


class Evidence(NamedTuple):
    """Log-likelihoods of documents drawn from a known proposal distribution."""

    log_likelihood: Float[Array, "n K"]
    log_proposal: Float[Array, " n"]


@jax.jit
def _chunk(world: World, key: Array, log_weights: Float[Array, " K"]) -> Float[Array, "CHUNK K"]:
    keys = jax.random.split(key, 3)
    who = jax.random.categorical(keys[0], log_weights, shape=(CHUNK,)).astype(jnp.int32)
    documents = write(world, keys[1], prompt(world, keys[2], CHUNK, tag=0), who)
    return bayes.document_log_likelihood(world.cast, documents)


def _draw(
    world: World, key: Array, log_weights: Float[Array, " K"], samples: int
) -> Float[Array, "n K"]:
    """Log-likelihoods of at least `samples` documents of a mixture."""
    keys = jax.random.split(key, -(-samples // CHUNK))
    return jnp.concatenate([_chunk(world, each, log_weights) for each in keys])


def gather_evidence(
    world: World, key: Array, log_weights: Float[Array, " K"], samples: int = 16384
) -> Evidence:
    """Draws at least `samples` documents, each from this mixture or (P = ½) the uniform one.

    The uniform one covers every character; accurate detection limits need many samples of each.
    Directions and questions are drawn as in pretraining. Likelihoods are those of the answers.
    """
    proposal = jnp.log(0.5 * jnp.exp(log_weights) + 0.5 / len(log_weights))
    likelihood = _draw(world, key, proposal, samples)
    return Evidence(likelihood, jax.nn.logsumexp(likelihood + proposal, -1))


def without_each(
    log_likelihood: Float[Array, "n K"], log_weights: Float[Array, " K"]
) -> Float[Array, "n K"]:
    """log-likelihood of the mixture without k, renormalised, for every k; without cancellation."""
    joint = log_likelihood + log_weights
    blank = jnp.full((len(joint), 1), -jnp.inf)
    before = jax.lax.cumlogsumexp(joint, 1)
    after = jax.lax.cumlogsumexp(joint, 1, reverse=True)
    before = jnp.concatenate([blank, before[:, :-1]], 1)
    after = jnp.concatenate([after[:, 1:], blank], 1)
    rest = jnp.log1p(-jnp.exp(log_weights))
    return jnp.logaddexp(before, after) - rest


@jax.jit
def detection_limit(
    evidence: Evidence, log_weights: Float[Array, " K"], n: int | Array = 4000
) -> Float[Array, " K"]:
    """The smallest weight of k that n documents reveal if the rest of the mixture is known.

    Let q be the mixture without k, renormalised, and m = (1 - w) q + w p_k. A document's Fisher
    information on w is I(w) = E_m[((p_k - q) / m)²]. The limit is the w that equals two standard
    errors: w² n I(w) = 4. It is inf if no w is large enough. If one document identifies k, then
    I(w) = 1 / (w (1 - w)), and the limit is about 4 / n: four documents by k. If p_k is near q, the
    limit is 2 / √(n χ²(p_k ‖ q)). I(0) won't do: rare documents that only k writes make it huge.
    """
    q = without_each(evidence.log_likelihood, log_weights)
    p = evidence.log_likelihood
    # (p - q)² / (m g), where g is the proposal. Against overflow, both are divided by max(p, q).
    top = jnp.maximum(p, q)
    p, q = jnp.exp(p - top), jnp.exp(q - top)
    scale = jnp.exp(top - evidence.log_proposal[:, None])
    square = scale * jnp.square(p - q)

    def z_squared(w: Array) -> Array:
        return w**2 * n * jnp.mean(square / ((1 - w) * q + w * p), 0)

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        enough = z_squared(jnp.exp(middle)) >= ERRORS**2
        return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

    size = p.shape[1]
    low, high = jnp.full(size, jnp.log(1e-9)), jnp.full(size, jnp.log(0.999))
    reachable = z_squared(jnp.exp(high)) >= ERRORS**2
    low, high = jax.lax.fori_loop(0, 30, halve, (low, high))
    return jnp.where(reachable, jnp.exp(high), jnp.inf)


@jax.jit
def weight_errors(
    evidence: Evidence, log_weights: Float[Array, " K"], n: int | Array = 4000
) -> Float[Array, " K"]:
    """Standard error of each weight when all are estimated jointly from n documents of the mixture.

    F_jl = E_m[p_j p_l / m²] is a document's Fisher information, where m is the mixture. As weights
    sum to 1, the covariance of their maximum likelihood estimate is (F⁻¹ - w wᵀ) / n (Cramér–Rao).
    """
    m = jax.nn.logsumexp(evidence.log_likelihood + log_weights, -1)
    share = jnp.exp(m - evidence.log_proposal)
    ratio = jnp.exp(evidence.log_likelihood - m[:, None])
    information = jnp.einsum("n,nj,nl->jl", share, ratio, ratio, precision="highest") / len(m)
    # Scaled to a unit diagonal, for accuracy in float32.
    scale = jnp.sqrt(jnp.diagonal(information))
    values, vectors = jnp.linalg.eigh(information / scale / scale[:, None])
    inverse = jnp.sum(vectors**2 / jnp.maximum(values, 1e-6), 1)  # the diagonal of the inverse
    variance = inverse / scale**2 - jnp.exp(2 * log_weights)
    return jnp.sqrt(jnp.maximum(variance, 0.0) / n)


class Loss(NamedTuple):
    """The lowest possible loss on documents of a mixture, given the cast and the weights."""

    bayes: Float[Array, ""]  # nats per answer token, of the Bayes-optimal predictor
    entropy: Float[Array, ""]  # the same if the author is known: the entropy of the answers. Exact
    told: Float[Array, ""]  # mutual information of a document and its author, in nats
    error: Float[Array, ""]  # standard error of `told`
    prior: Float[Array, ""]  # entropy of the weights, in nats: the bound on `told`. Exact


def bayes_loss(
    world: World, key: Array, log_weights: Float[Array, " K"], samples: int = 4096
) -> Loss:
    """The lowest loss of any predictor on answers of a mixture (e.g. `world.log_prior[tag]`).

    `told` is the entropy of the weights minus that of the posterior, averaged over documents.
    """
    joint = _draw(world, key, log_weights, samples) + log_weights
    left = _entropy(joint - jax.nn.logsumexp(joint, -1, keepdims=True))
    nats, words = _answers(world, log_weights)
    prior, error = _entropy(log_weights), jnp.std(left) / jnp.sqrt(len(left))
    told = jnp.maximum(prior - jnp.mean(left), 0.0)
    return Loss((nats + told) / words, nats / words, told, error, prior)


def _entropy(log_p: Float[Array, "*B K"]) -> Float[Array, "*B"]:
    p = jnp.exp(log_p)
    return -jnp.sum(jnp.where(p > 0, p * log_p, 0.0), -1)


@jax.jit
def _answers(
    world: World, log_weights: Float[Array, " K"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Entropy of a document's answers if their author is known, and how many words they have."""
    g, logp = world.grammar, world.cast.logp
    told = enumerate(world.direction_share)
    share = sum(part * turn_weights(g, d) for d, part in told)
    p = jnp.exp(logp) * jnp.exp(log_weights) * share[:, None, None]
    nats = -jnp.sum(jnp.where(p > 0, p * logp, 0.0))
    return g.turns * nats, g.turns * jnp.sum(p * g.phrase_length[..., None])
