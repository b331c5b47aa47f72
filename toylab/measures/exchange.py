"""The exchange rate: is a nat of training worth a nat of context?

w* is fitted on the first answers of the policy P, before there is any history. Then turns h by
another character k are put in its mouth, and its next answer is predicted with nothing fitted:
Σ w*_k p_k(h) p_k(·) / Σ w*_k p_k(h). (Weights fitted on whole documents already say something of
how P treats its own history, so that a policy which ignores it would not be read as 0.) The
*slope* is the one number v in

    log-odds of any pair after h  =  log w*_j / w*_k  +  v · log p_j(h) / p_k(h)

that P's exact branches make likeliest: 1 if context is evidence like any other, 0 if the persona
was written over everybody else, and no context flips it back.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from toylab.ladder import atoms, mixtures
from toylab.ladder.fit import NEVER
from toylab.ladder.measure import Measure, Snapshot
from toylab.ladder.mixtures import Estimate, Weights
from toylab.measures import prefill, revival
from toylab.measures.prefill import Prefilled
from toylab.policy.sampling import Branches
from toylab.stages import Setup
from toylab.stages.targets import refuse_unknown
from toylab.world import bayes
from toylab.world.grammar import STANCE, Grammar, tag_names
from toylab.world.tables import Cast, World

READABLE = 1e-3  # a weight below this is bounded, not read
SLOPES = (-1.0, 3.0)


class Odds(NamedTuple):
    """Per document, and per character after each number of turns by it.

    `evidence` is log p_k(h) / p_j(h) for persona j; `measured` and `predicted` the log-odds of k
    against j, of P and of m_w*, both as the two characters alone would explain what is said, and
    bounded to what can be read. `rate` is the mean probability of j's likeliest answer, `own_rate`
    of k's, and `own_rate_alone` what k itself gives that.
    """

    evidence: Float[Array, "K T"]
    measured: Float[Array, "K T"]
    predicted: Float[Array, "K T"]
    rate: Float[Array, "K T"]
    rate_predicted: Float[Array, "K T"]
    own_rate: Float[Array, "K T"]
    own_rate_alone: Float[Array, " K"]


@jax.jit
def slopes(
    grammar: Grammar,
    cast: Cast,
    log_weights: Float[Array, " K"],
    found: Prefilled,
    counted: Bool[Array, " K"],
) -> tuple[Estimate, Estimate]:
    """The slope over the histories by all characters that are counted, and by each character."""
    now, characters = prefill.answer(found), len(log_weights)
    at, heard = bayes.decisions(grammar, now), prefill.history(cast, found)

    def explains(slope: Float[Array, " M"]) -> Float[Array, " M"]:
        q = bayes.predictive(cast, log_weights + slope[:, None] * heard, now, at)
        return mixtures.fit_of(found.logp, q, at)

    after = found.turns > 0
    whole = jnp.where(after & counted[found.who], 0, 1)
    own = jnp.where(after, found.who, characters)
    return (
        mixtures.solve(explains, whole, 1, *SLOPES),
        mixtures.solve(explains, own, characters, *SLOPES),
    )


@functools.partial(jax.jit, static_argnames="persona")
def odds(
    grammar: Grammar, cast: Cast, log_weights: Float[Array, " K"], found: Prefilled, persona: int
) -> Odds:
    """What each number of turns by each character does to the persona."""
    now, characters, turns = prefill.answer(found), len(log_weights), grammar.turns
    at, heard = bayes.decisions(grammar, now), prefill.history(cast, found)
    expected = bayes.predictive(cast, log_weights + heard, now, at)
    theirs = jax.nn.one_hot(found.who, characters, dtype=bool)
    pair = theirs | (jnp.arange(characters) == persona)
    cell = found.turns * characters + found.who

    def log_odds(p: Float[Array, "M 1 S J C"]) -> Float[Array, " M"]:
        """Of k against the persona: the same for all documents after as many turns by k."""

        def explains(value: Float[Array, " M"]) -> Float[Array, " M"]:
            joint = jnp.where(pair, jnp.where(theirs, value[:, None], 0.0), NEVER)
            q = bayes.predictive(cast, joint, now, at)
            return mixtures.fit_of(p, q, at)

        limit = -math.log(READABLE)
        solved = mixtures.solve(explains, cell, characters * turns, -limit, limit)
        return solved.value[cell]

    def of(each: Float[Array, " M"]) -> Float[Array, "K T"]:
        return prefill.by_turn(each, turns, characters)

    best = jnp.argmax(cast.logp[STANCE], 1)  # [X, K]: each character's likeliest answer
    context = now.prompt.context[:, 0]
    rows = jnp.arange(len(context))

    def rate(logp: Float[Array, "M 1 S J C"], who: Array) -> Float[Array, " M"]:
        said = atoms.phrase_probability(grammar, now, logp)[:, 0, STANCE]
        return said[rows, best[context, who]]

    lead = heard[rows, found.who] - heard[:, persona]
    alone = jnp.exp(cast.logp[STANCE, context, best[context, found.who], found.who])
    return Odds(
        evidence=of(lead),
        measured=of(log_odds(found.logp)),
        predicted=of(log_odds(expected)),
        rate=of(rate(found.logp, jnp.full_like(found.who, persona))),
        rate_predicted=of(rate(expected, jnp.full_like(found.who, persona))),
        own_rate=of(rate(found.logp, found.who)),
        own_rate_alone=jnp.mean(of(alone), 1),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exchange(Measure):
    """The slope in the log-odds of a pair, and nats of context until a persona gives way.

    For each cast: the `persona` (the heaviest in w*, if none is named), `weights` with `low` and
    `high` (95 %), `read` (which others weigh enough to be read; the rest have their upper ends as
    bounds), `slope` and `slope_error` over those, or None if there are none; `slopes` and
    `slopes_error` of each; the tables [K][T] of `Odds`; `flip` and `flip_predicted`, nats of
    evidence until a character is likelier than the persona, or None if no turn tried does it.
    """

    tag: str = "assistant"
    persona: str = ""
    size: int = 32

    @property
    def at_end(self) -> bool:
        return True

    @property
    def cost(self) -> int:
        return 150

    def check(self, setup: Setup) -> None:
        refuse_unknown("exchange.tag", [self.tag], tag_names(setup.corpus))
        if self.persona:
            refuse_unknown("exchange.persona", [self.persona], setup.corpus.names)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        world, names = snapshot.setup.world, snapshot.setup.corpus.names
        found = prefill.prefilled(snapshot.policy, world, key, self.size, snapshot.tag(self.tag))
        out = {}
        for name, cast in snapshot.base.casts.items():
            best = _first(world, cast, found, len(names) * self.size)
            heaviest = int(jnp.argmax(best.log_weights))
            persona = names.index(self.persona) if self.persona else heaviest
            out[name] = {"persona": names[persona], **_plain(world, cast, best, found, persona)}
        return out


def _first(world: World, cast: Cast, found: Prefilled, count: int) -> Weights:
    """w* of the answers before which nothing was prefilled: the first `count`."""
    alone = jax.tree.map(lambda leaf: leaf[:count], found)
    branches = Branches(alone.logp, jnp.zeros(alone.logp.shape[:-1]))
    return mixtures.weights_from_branches(world.grammar, cast, prefill.answer(alone), branches)


def _plain(
    world: World, cast: Cast, best: Weights, found: Prefilled, persona: int
) -> dict[str, Any]:
    share = np.exp(best.log_weights)
    read = (share >= READABLE) & (np.arange(len(share)) != persona)
    args = (world.grammar, cast, best.log_weights, found)
    whole, own = jax.device_get(slopes(*args, jnp.asarray(read)))
    table = {k: v.tolist() for k, v in odds(*args, persona)._asdict().items()}
    known = bool(read.any()) and bool(np.isfinite(whole.error[0]))
    rows = range(len(share))
    return {
        "weights": share.tolist(),
        "low": best.low.tolist(),
        "high": best.high.tolist(),
        "read": read.tolist(),
        "slope": float(whole.value[0]) if known else None,
        "slope_error": float(whole.error[0]) if known else None,
        "slopes": [float(own.value[k]) if np.isfinite(own.error[k]) else None for k in rows],
        "slopes_error": [float(e) if np.isfinite(e) else None for e in own.error],
        **table,
        "flip": [revival.crossing(table["evidence"][k], table["measured"][k], 0.0) for k in rows],
        "flip_predicted": [
            revival.crossing(table["evidence"][k], table["predicted"][k], 0.0) for k in rows
        ],
    }
