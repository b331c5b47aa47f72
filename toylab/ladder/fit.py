"""The whole ladder, from F0 (nothing happened) to formation (what no family explains).

    (start)        F0   the mixture of pretraining
    selection      F1   another mixture of characters, one author per document
    exaggeration   F2   mixtures of tempered characters
    recombination  F3   joins of F2, a switching author (F3a), and an author per slot (F3b)
    patchwork      F4   joins of F3 and an author for every (topic, slot)
    formation           the rest: at most what F3 leaves, at least what F4 flat leaves

In a *join* every document comes wholly from one of its parts. F4 flat joins F4 and three parts
more: a mixture, a switching author and a patchwork. These may also use flattened characters, raised
to the powers ½ and 0.

The policy's documents are split into three sets: one to fit, one held out, one to score. Fits are
by EM, on the first set; only the shares in joins are fitted to the held-out set. Mixtures run until
`mixtures.Fit.gap` certifies them, for at most 20,000 steps. Other fits on the first set stop when
held-out documents get no likelier. Every family is scored on the third set, by sums over all
words that the policy might have said at each decision.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from toylab.ladder import atoms, families, mixtures
from toylab.ladder.families import Evidence, Family, Join, Mixture, Patchwork, Switching, even
from toylab.policy.sampling import Branches
from toylab.world import bayes
from toylab.world.documents import Documents
from toylab.world.grammar import SLOTS
from toylab.world.tables import Cast, World

FLAT = (0.5, 0.0)
NEVER = -1e4  # the log-weight of an unused atom; -inf would break gradients
RUNGS = ("selection", "exaggeration", "recombination", "patchwork")
FAMILIES = ("F0", "F1", "F2", "F3", "F4", "F4 flat")


class FittedLadder(NamedTuple):
    """Every family's best member and its score; `gaps` certify F1 and F2 (see `mixtures.Fit`)."""

    members: dict[str, Family]
    scores: dict[str, mixtures.Score]
    gaps: dict[str, Float[Array, ""]]


def _wide(log_weights: Float[Array, "*lead few"], count: int) -> Float[Array, "*lead K"]:
    """Log-weights of the first atoms, extended to `count` atoms; the added ones are unused."""
    rest = jnp.full((*log_weights.shape[:-1], count - log_weights.shape[-1]), NEVER)
    return jnp.maximum(jnp.concatenate([log_weights, rest], -1), NEVER)


def _join(members: tuple[Family, ...], seen: Evidence) -> Join:
    logp = jnp.stack([families.document_logp(member, seen) for member in members], -1)
    return Join(mixtures.fit_weights(logp).log_weights, members)


class Search(NamedTuple):
    """Random starts for EM, one per key. These and a uniform start are first tried on `few`."""

    keys: Array
    few: Documents


@functools.partial(jax.jit, static_argnames=("most", "powers"))
def fit_ladder(
    world: World,
    cast: Cast,
    log_prior: Float[Array, " K"],
    written: Documents,
    held_out: Documents | None,
    scored: tuple[Documents, Branches],
    search: Search | None = None,
    most: int = 200,
    powers: tuple[float, ...] = atoms.POWERS,
) -> FittedLadder:
    """Fits and scores every family; without held-out documents, only F0 to F2.

    The policy wrote all documents. `most` bounds the EM steps of each `Switching` and `Patchwork`.
    """
    everyone = atoms.temper(world.grammar, cast, (*powers, *FLAT) if held_out else powers)
    characters, count = len(log_prior), everyone.logp.shape[-1]
    sharp = characters * len(powers)
    totals = bayes.document_log_likelihood(everyone, written)
    f1, f2 = (mixtures.fit_weights(totals[:, :n]) for n in (characters, sharp))
    members: dict[str, Family] = {
        "F0": Mixture(_wide(log_prior, count)),
        "F1": Mixture(_wide(f1.log_weights, count)),
        "F2": Mixture(_wide(f2.log_weights, count)),
    }
    if held_out:
        fit = _Fitting(world, everyone, written, held_out, search, most)
        topics, held = len(world.grammar.question_count), families.evidence(everyone, held_out)
        f3 = _join((members["F2"], fit.switching(sharp), fit.patchwork(sharp, 1)), held)
        f4 = _join((f3, fit.patchwork(sharp, topics)), held)
        anyone = Mixture(_wide(mixtures.fit_weights(totals).log_weights, count))
        flat = (f4, anyone, fit.switching(count), fit.patchwork(count, topics))
        members |= {"F3": f3, "F4": f4, "F4 flat": _join(flat, held)}
    documents, branches = scored
    at_scored = families.evidence(everyone, documents)
    scores = {
        name: mixtures.explain(
            world.grammar, everyone, member.joint(at_scored), documents, branches
        )
        for name, member in members.items()
    }
    return FittedLadder(members, scores, {"F1": f1.gap, "F2": f2.gap})


@dataclasses.dataclass(frozen=True)
class _Fitting:
    """Fits the parts of the wider families.

    A fit gets only the first `allowed` atoms: even a tiny weight on the others would grow in EM.
    """

    world: World
    everyone: Cast
    written: Documents
    held_out: Documents
    search: Search | None
    most: int

    def switching(self, allowed: int) -> Switching:
        cast, count = self._first(allowed), self.everyone.logp.shape[-1]
        contexts, half = len(self.world.grammar.passes[0]), jnp.log(jnp.full((2, 2), 0.5))
        start = Switching(even(allowed), half, even(contexts, allowed))
        found = self._fit(start, lambda what: families.whole_answers(families.evidence(cast, what)))
        return Switching(
            _wide(found.log_start, count), found.log_keep, _wide(found.log_redraw, count)
        )

    def patchwork(self, allowed: int, rows: int) -> Patchwork:
        cast, count = self._first(allowed), self.everyone.logp.shape[-1]
        start = Patchwork(even(rows, len(SLOTS), allowed))
        found = self._fit(start, functools.partial(families.counted, cast))
        return Patchwork(_wide(found.log_weights, count))

    def _first(self, allowed: int) -> Cast:
        return jax.tree.map(lambda table: table[..., :allowed], self.everyone)

    def _fit(self, start: Any, data: Callable[[Documents], Any]) -> Any:
        held = data(self.held_out)
        if self.search:
            few = data(self.search.few)
            starts = [start, *(_elsewhere(start, key) for key in self.search.keys)]
            found = [families.fit(each, few, held, most=self.most) for each in starts]
            best = jnp.argmax(jnp.stack([each.held_out for each in found]))
            start = jax.tree.map(lambda *leaf: jnp.stack(leaf)[best], *(f.member for f in found))
        return families.fit(start, data(self.written), held, most=self.most).member


def _elsewhere(member: Any, key: Array) -> Any:
    """A random member of the same shape: each distribution is uniform over the simplex."""
    leaves, structure = jax.tree.flatten(member)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.loggamma(k, 1.0, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, [jax.nn.log_softmax(each) for each in drawn])
