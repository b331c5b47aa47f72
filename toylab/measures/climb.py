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
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from toylab import bayes
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


def _wide(log_weights: Float[Array, "*lead few"], count: int) -> Float[Array, "*lead K"]:
    """Log-weights of the first atoms as those of `count` atoms, of which the others are not used.

    What a family may not use is not shown to its fit: weights that start as good as nothing grow.
    """
    rest = jnp.full((*log_weights.shape[:-1], count - log_weights.shape[-1]), NEVER)
    return jnp.maximum(jnp.concatenate([log_weights, rest], -1), NEVER)


def _join(members: tuple[Family, ...], seen: Evidence) -> Join:
    """Members as a mixture of documents, with the shares that these documents make likeliest."""
    logp = jnp.stack([families.document_logp(member, seen) for member in members], -1)
    return Join(ladder.fit_weights(logp).log_weights, members)


class Search(NamedTuple):
    """Where EM starts from besides even weights: a random place for each key, tried on `few`."""

    keys: Array
    few: Documents


@functools.partial(jax.jit, static_argnames=("most", "powers"))
def climb(
    world: World,
    cast: Cast,
    log_prior: Float[Array, " K"],
    written: Documents,
    held_out: Documents | None,
    scored: tuple[Documents, Branches],
    search: Search | None = None,
    most: int = 200,
    powers: tuple[float, ...] = atoms.POWERS,
) -> Ladder:
    """Fits and scores every family, or without documents held out those to F2 alone.

    `written`, `held_out` and `scored` are documents of the policy's; `most` bounds the steps of
    each EM. F1 and F2 are convex and run until certified.
    """
    everyone = atoms.temper(world.grammar, cast, (*powers, *FLAT) if held_out else powers)
    characters, count = len(log_prior), everyone.logp.shape[-1]
    sharp = characters * len(powers)
    totals = bayes.document_log_likelihood(everyone, written)
    f1, f2 = (ladder.fit_weights(totals[:, :n]) for n in (characters, sharp))
    members: dict[str, Family] = {
        "F0": Mixture(_wide(log_prior, count)),
        "F1": Mixture(_wide(f1.log_weights, count)),
        "F2": Mixture(_wide(f2.log_weights, count)),
    }
    if held_out:
        fitted = _fit_wider(world, everyone, sharp, written, held_out, search, most)
        members |= _wider(members["F2"], fitted, families.evidence(everyone, held_out))
    documents, branches = scored
    at_scored = families.evidence(everyone, documents)
    scores = {
        name: ladder.explain(world.grammar, everyone, member.joint(at_scored), documents, branches)
        for name, member in members.items()
    }
    return Ladder(everyone, members, scores, {"F1": f1.gap, "F2": f2.gap})


class Wider(NamedTuple):
    """The best members that are not mixtures."""

    switching: Family
    composition: Family
    patchwork: Family
    flat: Family


def _fit_wider(
    world: World,
    everyone: Cast,
    sharp: int,
    written: Documents,
    held_out: Documents,
    search: Search | None,
    most: int,
) -> Wider:
    """The families beyond F2, which have memory of their own or none."""
    count = everyone.logp.shape[-1]
    few = Cast(logp=everyone.logp[..., :sharp], prefix_logp=everyone.prefix_logp[..., :sharp])
    contexts, topics = len(world.grammar.passes[0]), len(world.grammar.question_count)

    def answers(documents: Documents) -> families.Answers:
        return families.whole_answers(families.evidence(few, documents))

    def fit(start: Any, data: Callable[[Documents], Any]) -> Any:
        held = data(held_out)
        if search:
            tried = data(search.few)
            starts = [start, *(_elsewhere(start, key) for key in search.keys)]
            found = [families.fit(each, tried, held, most=most) for each in starts]
            best = jnp.argmax(jnp.stack([each.held_out for each in found]))
            start = jax.tree.map(lambda *leaf: jnp.stack(leaf)[best], *(f.member for f in found))
        found = families.fit(start, data(written), held, most=most).member
        return found

    even = families.even
    half = jnp.log(jnp.full((2, 2), 0.5))
    chain = fit(Switching(even(sharp), half, even(contexts, sharp)), answers)
    composed, glued = (
        fit(Patchwork(even(rows, len(SLOTS), sharp)), functools.partial(families.counted, few))
        for rows in (1, topics)
    )
    flat = fit(
        Patchwork(even(topics, len(SLOTS), count)), functools.partial(families.counted, everyone)
    )
    return Wider(
        Switching(_wide(chain.log_start, count), chain.log_keep, _wide(chain.log_redraw, count)),
        Patchwork(_wide(composed.log_weights, count)),
        Patchwork(_wide(glued.log_weights, count)),
        flat,
    )


def _elsewhere(member: Any, key: Array) -> Any:
    """A random member of the same shape: each distribution drawn evenly from all there are."""
    leaves, structure = jax.tree.flatten(member)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        jax.random.loggamma(k, 1.0, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, [jax.nn.log_softmax(each) for each in drawn])


def _wider(f2: Family, fitted: Wider, held: Evidence) -> dict[str, Family]:
    """Each family joined to the one before it."""
    f3 = _join((f2, fitted.switching, fitted.composition), held)
    f4 = _join((f3, fitted.patchwork), held)
    return {"F3": f3, "F4": f4, "F4 flat": _join((f4, fitted.flat), held)}
