"""The whole ladder: from nothing happened to what no piece of the cast does.

    (start)        F0   the mixture of pretraining
    selection      F1   another mix of characters, one author a document
    exaggeration   F2   mixtures of tempered characters
    recombination  F3   F2, an author who changes between answers, or an author for every slot
                        type, or a mixture of documents of these
    patchwork      F4   F3, or an author for every (topic, slot)
    formation           the rest, as a bracket: from F4 with flattened atoms to F3

Each family is joined to the one before it as a mixture of documents, so it is wider by
construction. Members are fitted by EM on one part of what the policy wrote, stopped on a second,
which also fits the shares, and scored by exact sums on a third.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from toylab.grammar import SLOTS
from toylab.measures import atoms, families, ladder
from toylab.measures.families import Evidence, Family, Join, Mixture, Patchwork, Switching
from toylab.measures.policy import Branches
from toylab.world import Cast, Documents, World

FLAT = (0.5, 0.0)
NEVER = -1e4  # a log-weight that is as good as none, and keeps gradients finite
RUNGS = ("selection", "exaggeration", "recombination", "patchwork")
FAMILIES = ("F0", "F1", "F2", "F3", "F4", "F4 flat")


class Ladder(NamedTuple):
    """Every family's best member and its score; `gaps` certify F1 and F2.

    `cast` has the atoms that members weigh: characters to the powers 1, 2, 4, 8 (and ½ and 0).
    """

    cast: Cast
    members: dict[str, Family]
    scores: dict[str, ladder.Score]
    gaps: dict[str, Float[Array, ""]]


def _only(allowed: Bool[Array, " K"], *lead: int) -> Float[Array, "*lead K"]:
    """Even log-weights over the atoms that are allowed."""
    log_weights = jnp.where(allowed, -jnp.log(jnp.sum(allowed)), NEVER)
    return jnp.broadcast_to(log_weights, (*lead, len(allowed)))


def _mixture(seen: Evidence, count: int, most: int) -> ladder.Fit:
    """The best mixture of the first `count` atoms, as weights over all of them."""
    fit = ladder.fit_weights(jnp.sum(seen.slots, (1, 2))[:, :count])
    rest = jnp.full(most - count, NEVER)
    weights = jnp.maximum(jnp.concatenate([fit.log_weights, rest]), NEVER)
    return ladder.Fit(weights, fit.gap)


def _join(members: tuple[Family, ...], seen: Evidence) -> Join:
    """Members as a mixture of documents, with the shares that these documents make likeliest."""
    logp = jnp.stack([families.document_logp(member, seen) for member in members], -1)
    return Join(ladder.fit_weights(logp).log_weights, members)


@functools.partial(jax.jit, static_argnames="most")
def climb(
    world: World,
    cast: Cast,
    log_prior: Float[Array, " K"],
    written: Documents,
    held_out: Documents | None,
    scored: tuple[Documents, Branches],
    most: int = 200,
) -> Ladder:
    """Fits and scores every family, or without documents held out those to F2 alone.

    `written`, `held_out` and `scored` are documents of the policy's; `most` bounds the steps of
    each EM. F1 and F2 are convex and run until certified.
    """
    powers = (*atoms.POWERS, *FLAT) if held_out else atoms.POWERS
    everyone = atoms.temper(world.grammar, cast, powers)
    characters, count = len(log_prior), everyone.logp.shape[-1]
    seen = families.evidence(everyone, written)
    f1 = _mixture(seen, characters, count)
    f2 = _mixture(seen, characters * len(atoms.POWERS), count)
    start = jnp.concatenate([log_prior, jnp.full(count - characters, NEVER)])
    members: dict[str, Family] = {
        "F0": Mixture(jnp.maximum(start, NEVER)),
        "F1": Mixture(f1.log_weights),
        "F2": Mixture(f2.log_weights),
    }
    if held_out:
        held = families.evidence(everyone, held_out)
        members |= _wider(world, members["F2"], characters, seen, held, most)
    documents, branches = scored
    at_scored = families.evidence(everyone, documents)
    scores = {
        name: ladder.explain(world.grammar, everyone, member.joint(at_scored), documents, branches)
        for name, member in members.items()
    }
    return Ladder(everyone, members, scores, {"F1": f1.gap, "F2": f2.gap})


def _wider(
    world: World, f2: Family, characters: int, seen: Evidence, held: Evidence, most: int
) -> dict[str, Family]:
    """The families beyond F2, which have memory of their own or none."""
    count = seen.slots.shape[-1]
    sharp, anyone = jnp.arange(count) < characters * len(atoms.POWERS), jnp.ones(count, bool)
    contexts, topics = len(world.grammar.passes[0]), len(world.grammar.question_count)

    def fit(start: Any) -> Family:
        return families.fit(start, seen, held, most=most).member

    half = jnp.log(jnp.array([0.5, 0.5]))
    switching = fit(Switching(_only(sharp), half, _only(sharp, contexts)))
    composition = fit(Patchwork(_only(sharp, 1, len(SLOTS))))
    f3 = _join((f2, switching, composition), held)
    f4 = _join((f3, fit(Patchwork(_only(sharp, topics, len(SLOTS))))), held)
    flat = _join((f4, fit(Patchwork(_only(anyone, topics, len(SLOTS))))), held)
    return {"F3": f3, "F4": f4, "F4 flat": flat}
