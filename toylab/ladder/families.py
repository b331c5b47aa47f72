"""Families of distributions over answers that can be built from pieces of the cast.

Atoms are the K columns of a cast. A member of a family gives, for every slot,

    joint[b, t, s, k] = log P(everything before slot s of turn t, atom k fills it)

and `toylab.world.bayes.branch_logp` turns this into its prediction for the slot.

A member is a pytree of log-probabilities, each normalised over its last axis. So the expected
counts of EM are the gradients of the log-likelihood with respect to them, for every family
(Salakhutdinov, Roweis and Ghahramani 2003).
"""

import dataclasses
import functools
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from toylab.policy.sampling import Branches, Given
from toylab.world import bayes
from toylab.world import documents as docs
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import SLOTS, Grammar
from toylab.world.tables import Cast

TINY = 1e-30
PATIENCE = 10
LEAST = 1e-35  # a floor under likelihoods that keeps their logarithms finite


class Evidence(NamedTuple):
    """What a family sees: log p_k of each slot, and the topic and context of each turn."""

    slots: Float[Array, "B T S K"]
    topic: Int[Array, "B T"]
    context: Int[Array, "B T"]


def evidence(cast: Cast, documents: Documents) -> Evidence:
    what = documents.prompt
    return Evidence(bayes.log_likelihood(cast, documents), what.topic, what.context)


class Answers(NamedTuple):
    """The sufficient statistics of documents for a Markov chain of whole answers.

    `likelihood` is each answer's likelihood under each atom, divided by that under its best atom.
    `top` is the log-likelihood of a document under those best atoms, in nats, mean over documents.
    """

    likelihood: Float[Array, "B T K"]
    top: Float[Array, ""]
    context: Int[Array, "B T"]


class Counts(NamedTuple):
    """Sufficient statistics for a family without memory; `said` has mean counts per document."""

    said: Float[Array, "S X P"]
    logp: Float[Array, "S X P K"]
    topic: Int[Array, " X"]


def whole_answers(seen: Evidence) -> Answers:
    logp = jnp.sum(seen.slots, 2)
    top = jnp.max(logp, -1, keepdims=True)
    likelihood = jnp.maximum(jnp.exp(logp - top), LEAST)
    return Answers(likelihood, jnp.mean(jnp.sum(top, (1, 2))), seen.context)


def counted(cast: Cast, documents: Documents) -> Counts:
    """The `Counts` of documents. The topic of a context that does not occur is arbitrary."""
    what, context = documents.prompt, documents.prompt.context[..., None]
    slots = jnp.arange(documents.choice.shape[-1])
    count = jnp.zeros(cast.logp.shape[:3]).at[slots, context, documents.choice].add(1.0)
    real = jnp.isfinite(cast.logp)  # 0 times -inf would be NaN
    topic = jnp.zeros(cast.logp.shape[1], jnp.int32).at[what.context].set(what.topic)
    return Counts(count / len(context), jnp.where(real, cast.logp, 0.0), topic)


class Family(Protocol):
    """A member of a family."""

    def joint(self, seen: Evidence) -> Float[Array, "B T S K"]:
        """log P(all before the slot, atom k fills it)."""
        ...


def document_logp(member: Family, seen: Evidence) -> Float[Array, " B"]:
    """log-probability of all answers of each document."""
    return jax.nn.logsumexp(member.joint(seen)[:, -1, -1] + seen.slots[:, -1, -1], -1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mixture:
    """One author per document (F1, F2)."""

    log_weights: Float[Array, " K"]

    def joint(self, seen: Evidence) -> Float[Array, "B T S K"]:
        return self.log_weights + bayes.earlier(seen.slots)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Switching:
    """A Markov chain: each answer keeps the author, or redraws it by weights of the context (F3a).

    `log_keep` has the log-probabilities (keep, redraw): row 0 for the first answer, row 1 for later
    ones. The first answer may keep an author drawn from `log_start`.
    """

    log_start: Float[Array, " K"]
    log_keep: Float[Array, "2 2"]
    log_redraw: Float[Array, "X K"]

    def joint(self, seen: Evidence) -> Float[Array, "B T S K"]:
        within = jnp.cumsum(seen.slots, 2) - seen.slots
        answer = jnp.sum(seen.slots, 2)
        end = jnp.broadcast_to(self.log_start, answer[:, 0].shape)
        begins = []
        for turn in range(answer.shape[1]):
            keep, redraw = self.log_keep[min(turn, 1)]
            total = jax.nn.logsumexp(end, -1, keepdims=True)
            redrawn = redraw + total + self.log_redraw[seen.context[:, turn]]
            begins.append(jnp.logaddexp(keep + end, redrawn))
            end = begins[-1] + answer[:, turn]
        return jnp.stack(begins, 1)[:, :, None] + within

    def logp(self, seen: Answers) -> Float[Array, ""]:
        """Mean log-probability of a document, by the scaled forward algorithm (Rabiner 1989)."""
        keep, redraw = jnp.exp(self.log_keep), jnp.exp(self.log_redraw)
        now = jnp.broadcast_to(jnp.exp(self.log_start), seen.likelihood[:, 0].shape)
        logp = seen.top
        for turn in range(seen.likelihood.shape[1]):
            stays, drawn = keep[min(turn, 1)]
            prior = stays * now + drawn * redraw[seen.context[:, turn]]
            end = prior * seen.likelihood[:, turn]
            total = jnp.sum(end, -1, keepdims=True)
            logp += jnp.mean(jnp.log(total))
            now = end / total
        return logp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Patchwork:
    """An atom is drawn independently for every slot, with weights for every topic and slot (F4).

    With a single row for all topics, this is *composition* (F3b): the voice of one character with
    the views of another.
    """

    log_weights: Float[Array, "topic S K"]

    def joint(self, seen: Evidence) -> Float[Array, "B T S K"]:
        row = seen.topic if len(self.log_weights) > 1 else jnp.zeros_like(seen.topic)
        own = self.log_weights[row]
        said = jax.nn.logsumexp(own + seen.slots, -1)
        return bayes.earlier(said)[..., None] + own

    def logp(self, seen: Counts) -> Float[Array, ""]:
        row = seen.topic if len(self.log_weights) > 1 else jnp.zeros_like(seen.topic)
        own = jnp.moveaxis(self.log_weights[row], 0, 1)
        return jnp.sum(seen.said * jax.nn.logsumexp(own[:, :, None] + seen.logp, -1))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Join:
    """A mixture over documents: each document comes wholly from one member."""

    log_share: Float[Array, " n"]
    members: tuple[Family, ...]

    def joint(self, seen: Evidence) -> Float[Array, "B T S K"]:
        parts = [
            share + m.joint(seen) for share, m in zip(self.log_share, self.members, strict=True)
        ]
        return jax.nn.logsumexp(jnp.stack(parts), 0)


def even(*shape: int) -> Float[Array, "*shape"]:
    """Uniform log-probabilities over the last axis."""
    return jnp.full(shape, -jnp.log(shape[-1]))


class Fitted(NamedTuple):
    """The member with the best held-out log-likelihood, and that value."""

    member: Any
    held_out: Float[Array, ""]


@functools.partial(jax.jit, static_argnames="most")
def fit(start: Any, seen: Any, held_out: Any, most: int = 200) -> Fitted:
    """Maximum likelihood by EM, stopped when held-out documents get no likelier.

    `start` has a method `logp`, which gives the mean log-probability of a document. Stops after
    `most` steps, or after `PATIENCE` steps without improvement, and returns the best member found.
    """

    def step(carry: tuple[Any, Any, Array, Array, Array]) -> tuple:
        member, best, score, since, steps = carry
        counts = jax.grad(lambda m: m.logp(seen))(member)
        member = jax.tree.map(
            lambda count: jnp.log(count + TINY) - jnp.log(jnp.sum(count + TINY, -1, keepdims=True)),
            counts,
        )
        new = member.logp(held_out)
        better = new > score + 1e-5
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), member, best)
        score, since = jnp.where(better, new, score), jnp.where(better, 0, since + 1)
        return member, best, score, since, steps + 1

    def unfinished(carry: tuple[Any, Any, Array, Array, Array]) -> Array:
        return (carry[3] < PATIENCE) & (carry[4] < most)

    zero = jnp.asarray(0)
    _, best, score, *_ = jax.lax.while_loop(
        unfinished, step, (start, start, start.logp(held_out), zero, zero)
    )
    return Fitted(best, score)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CastPolicy:
    """A member of a family, as a policy: it assembles answers from the atoms of a cast."""

    cast: Cast
    member: Family

    def answer(
        self, grammar: Grammar, what: Prompt, key: Array, given: Given | None = None
    ) -> tuple[Documents, Branches]:
        choice = jnp.zeros((*what.context.shape, len(SLOTS)), jnp.int32)
        seen = Evidence(jnp.zeros(()), what.topic, what.context)
        for place, (turn, slot) in enumerate(np.ndindex(choice.shape[1:])):
            said = bayes.phrase_logp(self.cast, what.context, choice)
            joint = self.member.joint(seen._replace(slots=said))[:, turn, slot]
            keys = jax.random.split(jax.random.fold_in(key, place))
            atom = jax.random.categorical(keys[0], joint)
            logp = self.cast.logp[slot, what.context[:, turn], :, atom]
            drawn = jax.random.categorical(keys[1], logp)
            if given:
                drawn = jnp.where(turn < given.turns, given.choice[:, turn, slot], drawn)
            choice = choice.at[:, turn, slot].set(drawn)
        documents = docs.render(grammar, what, choice, jnp.full(len(choice), docs.NOBODY))
        return documents, self.branches(grammar, documents)

    def branches(self, grammar: Grammar, documents: Documents) -> Branches:
        at = bayes.decisions(grammar, documents)
        joint = self.member.joint(evidence(self.cast, documents))
        logp = bayes.branch_logp(self.cast, joint, documents, at)
        return Branches(logp, jnp.zeros(logp.shape[:-1]))
