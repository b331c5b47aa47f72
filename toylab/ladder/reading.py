"""A reading of a snapshot: the ladder with the exact and with the learned cast, and the traits."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from toylab.ladder import atoms, families, mixtures, traits
from toylab.ladder.fit import FAMILIES, FittedLadder, fit_ladder
from toylab.ladder.measure import Measure, Reference, Snapshot, sample
from toylab.policy.outside import Outside
from toylab.policy.policy import ModelPolicy, Policy
from toylab.policy.sampling import PART, Branches
from toylab.stages import Params, Setup
from toylab.world import bayes, names
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import tag_names
from toylab.world.tables import World

# The numbers of a reading. Tables made from readings use the same names.
COLUMNS = {
    "F0": "KL(P || m_w0), nats per document: how far the policy has moved",
    "F1": "left by mixtures of characters, nats per document",
    "F2": "left by mixtures of tempered characters, nats per document",
    "F3": "left by recombination (F2, switching authors, an author per slot), nats per document; "
    "the upper end of formation",
    "F4": "left by patchwork (F3, an author per topic and slot), nats per document",
    "F4 flat": "left by patchwork that may also use flattened characters, nats per document; the "
    "lower end of formation",
    **{f"{family}_error": f"standard error of {family} over documents" for family in FAMILIES},
    **{
        f"{family}_drop_error": f"standard error of the drop to {family}" for family in FAMILIES[1:]
    },
    **{f"floor_{family}": f"{family} of the pretrained model" for family in FAMILIES},
    "gap1": "certificate of F1: max_k E_P[p_k / m_w] - 1 on the documents it was fitted on",
    "gap2": "the same certificate for F2",
    "weights": "weight of each character in F1",
    "powers": "weight of each power in F2",
    "outside": "mean probability of words that the grammar forbids",
}


def columns(*names: str) -> dict[str, str]:
    return {name: COLUMNS[name] for name in names}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LadderFit(Measure):
    """How many documents a reading takes: `fit` to fit the families, `score` to score them.

    With `held_out` = 0 the ladder ends at F2. Otherwise `held_out` documents decide when fits of
    the wider families stop, and set the shares of their parts.
    """

    fit: int = sample(1024, quick=256, low=8)
    held_out: int = sample(0, quick=128, low=0)
    score: int = sample(512, quick=128, low=8)
    tag: str = names.tag()

    @property
    def name(self) -> str:
        return "reading"

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        return read(snapshot.setup, snapshot.base, snapshot.policy, key, self)

    def scalars(self, setup: Setup, found: Mapping[str, Any]) -> dict[str, float]:
        cast = found["learned"]
        row = {
            "ladder/total": cast["F0"],
            "ladder/selection": cast["F0"] - cast["F1"],
            "ladder/exaggeration": cast["F1"] - cast["F2"],
            "ladder/left": cast["F2"],
            "ladder/outside_grammar": found["outside"],
        }
        row |= {f"weights/{k}": w for k, w in zip(setup.corpus.names, cast["weights"], strict=True)}
        row |= {f"powers/{p:g}": w for p, w in zip(atoms.POWERS, cast["powers"], strict=True)}
        topics = setup.corpus.topics
        answers = [f"traits/{topic.name}/{name}" for topic in topics for name in topic.answer_names]
        return row | dict(zip(answers, found["items"], strict=False))  # openers and closers follow


WHOLE = LadderFit(fit=4096, held_out=2048, score=1024)  # for custom runs and notebooks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ladder(LadderFit):
    """The whole ladder, read at the end of a run and of its pretraining."""

    at_end = True

    held_out: int = sample(512, quick=128)

    @property
    def name(self) -> str:
        return "ladder"

    def scalars(self, setup: Setup, found: Mapping[str, Any]) -> dict[str, float]:
        cast = found["learned"]
        return {
            "ladder/recombination": cast["F2"] - cast["F3"],
            "ladder/patchwork": cast["F3"] - cast["F4"],
            "ladder/formation_at_most": cast["F3"],
            "ladder/formation_at_least": cast["F4 flat"],
        }


def policy_of(setup: Setup, params: Params) -> ModelPolicy:
    return ModelPolicy(params, setup.network)


def answers(
    policy: Policy, world: World, key: Array, size: int, tag: int | Array, told: int | Array = 0
) -> tuple[Documents, Branches]:
    """Documents that the policy writes under a tag, on all topics, and its branches there.

    `told` is the index of a direction (0: none). Do not call this in compiled functions.
    """
    if isinstance(policy, Outside):
        return _asked(policy, world, jax.random.fold_in(key, 0), size, tag, told)
    each, where = min(size, PART), (np.int32(tag), np.int32(told))
    keys = [jax.random.fold_in(key, n) for n in range(-(-size // each))]
    parts = [_part(policy, world, part, each, *where) for part in keys]
    return jax.tree.map(lambda *leaf: np.concatenate(leaf)[:size], *jax.device_get(parts))


def _asked(
    policy: Policy, world: World, key: Array, size: int, tag: int | Array, told: int | Array
) -> tuple[Documents, Branches]:
    keys = jax.random.split(key)
    what = docs.prompt(world, keys[0], size, tag=tag, direction=told)
    return policy.answer(world.grammar, what, keys[1])


_part = jax.jit(_asked, static_argnames="size")


def outside(branches: Branches) -> float:
    """Mean probability of words that the grammar forbids, over the decisions of documents."""
    places = np.isfinite(branches.logp).any(-1).sum()
    return float(np.sum(branches.outside) / places)


def in_three(
    written: tuple[Documents, Branches], fit: int, held_out: int, score: int
) -> tuple[Documents, Documents | None, tuple[Documents, Branches]]:
    """Splits documents for `fit_ladder`: some to fit, some held out (if any), some to score."""

    def part(first: int, size: int) -> tuple[Documents, Branches]:
        return jax.tree.map(lambda leaf: leaf[first : first + size], written)

    held = part(fit, held_out)[0] if held_out else None
    return part(0, fit)[0], held, part(fit + held_out, score)


def prepare(setup: Setup, policy: Policy, key: Array, settings: LadderFit) -> Reference:
    """Estimates the learned cast of a pretrained policy; fits temperature and slip of each cast.

    If the tag's prior changed during pretraining, the policy may still partly follow the earlier
    one. Then w0 is fitted to the policy's own documents, with the exact cast.
    """
    world, keys = setup.world, jax.random.split(key)
    known = atoms.learned(setup.corpus, world, policy, keys[0])
    tag = tag_names(setup.corpus).index(settings.tag)
    documents, branches = answers(policy, world, keys[1], settings.fit + settings.score, tag)
    log_prior = world.log_prior[tag]
    if world.changes[tag]:
        likelihood = bayes.document_log_likelihood(world.cast, documents)
        log_prior = mixtures.fit_weights(likelihood).log_weights
    casts, nuisances = {}, {}
    for name, cast in {"exact": world.cast, "learned": known}.items():
        nuisances[name] = atoms.fit_nuisances(world.grammar, cast, log_prior, documents, branches)
        casts[name] = atoms.blur(world.grammar, cast, *nuisances[name])
    return Reference(casts, nuisances, log_prior)


def read(
    setup: Setup, base: Reference, policy: Policy, key: Array, settings: LadderFit
) -> dict[str, Any]:
    """The reading of any policy under one tag, as plain numbers and lists.

    Each cast has the numbers that `COLUMNS` describes, except the floors and `outside`; those of
    `F3`, `F4` and `F4 flat` only with held-out documents. Beside the casts are `outside` and the
    trait vector, `items`.
    """
    world, tag = setup.world, tag_names(setup.corpus).index(settings.tag)
    sizes = settings.fit, settings.held_out, settings.score
    documents, branches = everything = answers(policy, world, key, sum(sizes), tag)
    parts = in_three(everything, *sizes)
    out: dict[str, Any] = {}
    for name, cast in base.casts.items():
        found = fit_ladder(world, cast, base.log_prior, *parts)
        out[name] = _plain(setup, jax.device_get(found))
    out["outside"] = outside(branches)
    out["items"] = traits.measured(setup.corpus, world.grammar, documents, branches).tolist()
    return out


def _plain(setup: Setup, found: FittedLadder) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for family, score in found.scores.items():
        row[family] = float(score.mean)
        row[f"{family}_error"] = float(score.error)
    for before, after in itertools.pairwise(found.scores):
        drop = found.scores[before].each - found.scores[after].each
        row[f"{after}_drop_error"] = float(np.std(drop) / np.sqrt(len(drop)))
    row["gap1"], row["gap2"] = (float(found.gaps[family]) for family in ("F1", "F2"))
    members = [found.members[name] for name in ("F1", "F2")]
    f1, f2 = (np.exp(m.log_weights) for m in members if isinstance(m, families.Mixture))
    characters, powers = len(setup.corpus.characters), len(atoms.POWERS)
    row["weights"] = f1[:characters].tolist()
    row["powers"] = f2[: characters * powers].reshape(powers, -1).sum(1).tolist()
    return row
