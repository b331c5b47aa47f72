"""What a history is worth: a policy's answers after prefilled turns.

First w* is fitted to the first answers of the policy P, which have no history. Then turns h by
each character are prefilled, and the *slope* v is fitted to P's exact branches at the next
answer. The model, for any characters j and k, is

    log-odds after h  =  log w*_j / w*_k  +  v · log p_j(h) / p_k(h)

v is 1 under Bayes' rule. It is 0 if no history brings another character back. (Weights fitted to
whole documents would depend on how P treats its own history. Then a policy that ignores its history
would not get slope 0.)
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from toylab.ladder import mixtures
from toylab.ladder.fit import NEVER
from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.ladder.mixtures import Estimate, Weights
from toylab.measures import ask
from toylab.measures.ask import Answered
from toylab.policy.policy import Policy
from toylab.world import bayes, names
from toylab.world import documents as docs
from toylab.world.grammar import SLOTS, STANCE, Grammar, contexts
from toylab.world.tables import Cast, World

READABLE = 1e-3  # characters with a smaller weight don't count for the slope
SLOPES = (-1.0, 3.0)


@functools.partial(jax.jit, static_argnames="size")
def prefilled(policy: Policy, world: World, key: Array, size: int, tag: int) -> Answered:
    """`size` documents under a tag for each character and each number of turns prefilled by it."""
    keys = jax.random.split(key, 3)
    who = jnp.repeat(jnp.arange(world.cast.logp.shape[-1]), size)
    what = docs.prompt(world, keys[0], len(who), tag=tag, direction=0)
    choice = docs.speak(world.cast, keys[1], what.context, who)
    return ask.after_every(policy, world, what, keys[2], choice, who)


@jax.jit
def slopes(
    grammar: Grammar,
    cast: Cast,
    log_weights: Float[Array, " K"],
    found: Answered,
    counted: Bool[Array, " K"],
) -> tuple[Estimate, Estimate]:
    """The slope over histories by all `counted` characters together, and by each character."""
    now, characters = ask.own_turn(found), len(log_weights)
    at, heard = bayes.decisions(grammar, now), ask.evidence(cast, found)

    def explains(slope: Float[Array, " M"]) -> Float[Array, " M"]:
        q = bayes.predictive(cast, log_weights + slope[:, None] * heard, now, at)
        return mixtures.fit_of(found.logp, q, at)

    given = found.turns > 0
    whole = jnp.where(given & counted[found.who], 0, 1)
    own = jnp.where(given, found.who, characters)
    return (
        mixtures.solve(explains, whole, 1, *SLOPES),
        mixtures.solve(explains, own, characters, *SLOPES),
    )


@functools.partial(jax.jit, static_argnames="persona")
def odds(
    grammar: Grammar, cast: Cast, log_weights: Float[Array, " K"], found: Answered, persona: int
) -> dict[str, Array]:
    """The effect of turns h by a character k on the persona j: tables [K, T], by k and turns in h.

    Log-odds are fitted to all documents of an entry together; the rest are means over them.

    * `evidence`: log p_k(h) / p_j(h);
    * `measured`: the log-odds of k against j in the mixture of only these two that best explains
      P's answers; `predicted`: the same for m_w*; both clipped to ± log(1 / `READABLE`);
    * `rate` and `rate_predicted`: mean probability of j's likeliest answer, under P and m_w*;
    * `own_rate`: P's mean probability of k's likeliest answer; `own_rate_alone` [K]: that of k
      itself.
    """
    now, characters, turns = ask.own_turn(found), len(log_weights), grammar.turns
    at, heard = bayes.decisions(grammar, now), ask.evidence(cast, found)
    expected = bayes.predictive(cast, log_weights + heard, now, at)
    theirs = jax.nn.one_hot(found.who, characters, dtype=bool)
    pair = theirs | (jnp.arange(characters) == persona)
    cell = found.turns * characters + found.who

    def log_odds(p: Float[Array, "M 1 S J C"]) -> Float[Array, " M"]:
        def explains(value: Float[Array, " M"]) -> Float[Array, " M"]:
            joint = jnp.where(pair, jnp.where(theirs, value[:, None], 0.0), NEVER)
            q = bayes.predictive(cast, joint, now, at)
            return mixtures.fit_of(p, q, at)

        limit = -math.log(READABLE)
        solved = mixtures.solve(explains, cell, characters * turns, -limit, limit)
        return solved.value[cell]

    def of(each: Float[Array, " M"]) -> Float[Array, "K T"]:
        return jnp.mean(each.reshape(turns, characters, -1), -1).T

    best = jnp.argmax(cast.logp[STANCE], 1)  # [X, K]: each character's likeliest answer
    context = now.prompt.context[:, 0]
    rows = jnp.arange(len(context))

    def rate(logp: Float[Array, "M 1 S J C"], who: Array) -> Float[Array, " M"]:
        return ask.stances(grammar, now, logp)[:, 0][rows, best[context, who]]

    lead = heard[rows, found.who] - heard[:, persona]
    alone = jnp.exp(cast.logp[STANCE, context, best[context, found.who], found.who])
    its = jnp.full_like(found.who, persona)
    return {
        "evidence": of(lead),
        "measured": of(log_odds(found.logp)),
        "predicted": of(log_odds(expected)),
        "rate": of(rate(found.logp, its)),
        "rate_predicted": of(rate(expected, its)),
        "own_rate": of(rate(found.logp, found.who)),
        "own_rate_alone": jnp.mean(of(alone), 1),
    }


def crossing(evidence: Sequence[float], reading: Sequence[float], level: float) -> float | None:
    """Nats of evidence at which a reading first reaches a level, by linear interpolation.

    0 if the reading is there without evidence, None if it is not there after any number of turns.
    """
    if reading[0] >= level:
        return 0.0
    for turn in range(1, len(reading)):
        if reading[turn] >= level:
            part = (level - reading[turn - 1]) / (reading[turn] - reading[turn - 1])
            return evidence[turn - 1] + part * (evidence[turn] - evidence[turn - 1])
    return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exchange(Measure):
    """The slope v (see this module), and how many nats of history it takes to displace a persona.

    For each cast:

    * the `persona` (the heaviest in w*, if none is named);
    * `weights` with the ends `low` and `high` of their 95 % intervals;
    * `read`: which characters count for the slope: a weight of `READABLE` or more, not the persona;
    * `slope` and `slope_error` over histories by all `read` characters; `slopes` and `slopes_error`
      over histories by one character each; None if unknown;
    * the tables of `odds`;
    * `flip` and `flip_predicted`: for each character, nats of evidence until it is likelier than
      the persona, or None if no number of turns tried suffices.
    """

    at_end = True

    tag: str = names.tag()
    persona: str = names.character("", empty=lambda corpus, _: "")
    size: int = sample(32)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        world, known = snapshot.setup.world, snapshot.setup.corpus.names
        found = prefilled(snapshot.policy, world, key, self.size, snapshot.tag(self.tag))
        out = {}
        for name, cast in snapshot.base.casts.items():
            best = ask.first_weights(world, cast, found, len(known) * self.size)
            heaviest = int(jnp.argmax(best.log_weights))
            persona = known.index(self.persona) if self.persona else heaviest
            out[name] = {"persona": known[persona], **_plain(world, cast, best, found, persona)}
        return out


def _plain(
    world: World, cast: Cast, best: Weights, found: Answered, persona: int
) -> dict[str, Any]:
    share = np.exp(best.log_weights)
    read = (share >= READABLE) & (np.arange(len(share)) != persona)
    args = (world.grammar, cast, best.log_weights, found)
    whole, own = jax.device_get(slopes(*args, jnp.asarray(read)))
    table = {k: v.tolist() for k, v in odds(*args, persona).items()}
    known = bool(read.any()) and bool(np.isfinite(whole.error[0]))

    def flips(log_odds: list[list[float]]) -> list[float | None]:
        return [crossing(*each, 0.0) for each in zip(table["evidence"], log_odds, strict=True)]

    return {
        "weights": share.tolist(),
        "low": best.low.tolist(),
        "high": best.high.tolist(),
        "read": read.tolist(),
        "slope": float(whole.value[0]) if known else None,
        "slope_error": float(whole.error[0]) if known else None,
        "slopes": _finite(own.value, own.error),
        "slopes_error": _finite(own.error, own.error),
        **table,
        "flip": flips(table["measured"]),
        "flip_predicted": flips(table["predicted"]),
    }


def _finite(values: np.ndarray, errors: np.ndarray) -> list[float | None]:
    return [
        float(value) if np.isfinite(error) else None
        for value, error in zip(values, errors, strict=True)
    ]


@functools.partial(jax.jit, static_argnames="size")
def continued(
    policy: Policy, world: World, key: Array, size: int, tag: int, put: Array, topics: Array
) -> Answered:
    """The policy's answers after 0, 1, … prefilled turns, `size` documents each.

    `put` [X] is the prefilled answer in each context, between the plain opener and closer
    (which all characters share). `topics` has the shares of topics. `who` in the result has no
    meaning.
    """
    keys = jax.random.split(key)
    what = docs.prompt(world, keys[0], size, tag=tag, direction=0, topic_share=topics)
    choice = jnp.zeros((*what.context.shape, len(SLOTS)), jnp.int32)
    choice = choice.at[..., STANCE].set(put[what.context])
    return ask.after_every(policy, world, what, keys[1], choice, jnp.zeros(size, jnp.int32))


@jax.jit
def rates(
    world: World, cast: Cast, log_weights: Float[Array, " K"], found: Answered, put: Array
) -> tuple[Float[Array, " T"], Float[Array, " T"], Float[Array, "T K"]]:
    """P(the answer `put`) of the policy and of m_w*, and mean log p_k(h), by number of turns."""
    grammar, now = world.grammar, ask.own_turn(found)
    heard, at = ask.evidence(cast, found), bayes.decisions(grammar, now)
    expected = bayes.predictive(cast, log_weights + heard, now, at)
    rows, context = jnp.arange(len(heard)), now.prompt.context[:, 0]

    def rate(logp: Float[Array, "M 1 S J C"]) -> Float[Array, " T"]:
        said = ask.stances(grammar, now, logp)[:, 0]
        return jnp.mean(said[rows, put[context]].reshape(grammar.turns, -1), 1)

    by_turn = heard.reshape(grammar.turns, -1, heard.shape[-1])
    return rate(found.logp), rate(expected), jnp.mean(by_turn, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recall(Measure):
    """P(the answers in `says`) after 0, 1, … prefilled turns with these answers.

    For each cast, `measured` [T] is the policy's P(answer) and `predicted` [T] that of m_w*, with
    w* fitted to answers without history. `evidence` [T] is a log-likelihood ratio of the turns, in
    nats: the character that explains them best against the heaviest in w*.
    """

    charts = ("learned/measured/*",)

    says: tuple[str, ...] = names.answer()
    tag: str = names.tag()
    size: int = sample(256, quick=64)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus, world = snapshot.setup.corpus, snapshot.setup.world
        said = dict(names.resolve(self, corpus)["says"].tolist())
        put = jnp.array([said.get(topic, 0) for topic, _, _ in contexts(corpus)])
        topics = jnp.array([t in said for t in range(len(corpus.topics))], jnp.float32)
        args = (self.size, snapshot.tag(self.tag), put, topics)
        found = continued(snapshot.policy, world, key, *args)
        out = {}
        for name, cast in snapshot.base.casts.items():
            best = ask.first_weights(world, cast, found, self.size).log_weights
            measured, predicted, heard = jax.device_get(rates(world, cast, best, found, put))
            heaviest = heard[:, int(np.argmax(best))]
            out[name] = {
                "measured": measured.tolist(),
                "predicted": predicted.tolist(),
                "evidence": (heard.max(1) - heaviest).tolist(),
            }
        return out
