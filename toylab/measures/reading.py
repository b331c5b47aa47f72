"""One reading of a snapshot: the ladder on both casts, weights, traits, and where the nats sit."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from toylab import bayes
from toylab import world as worlds
from toylab.grammar import contexts, tag_names
from toylab.measures import atoms, ladder, traits
from toylab.measures.policy import Branches, ModelPolicy, Policy
from toylab.stages import Lab, Params
from toylab.world import Cast, Documents, World

FAMILIES = ("F0", "F1", "F2")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How many documents a reading takes: `fit` for the weights, `score` for the exact sums."""

    fit: int = 1024
    score: int = 512
    tag: str = "assistant"

    def __post_init__(self) -> None:
        for name in ("fit", "score"):
            if getattr(self, name) < 8:
                raise ValueError(f"reading.{name}: {getattr(self, name)} must be at least 8")


@dataclasses.dataclass(frozen=True)
class Base:
    """What a pretrained snapshot fixes for all readings after it.

    `casts` are the exact and the learned cast, each with its own nuisances (temperature, slip)
    fitted once and frozen.
    """

    casts: Mapping[str, Cast]
    nuisances: Mapping[str, tuple[float, float]]


def policy_of(lab: Lab, params: Params) -> ModelPolicy:
    """The policy of a trained model."""
    return ModelPolicy(params, lab.network)


@functools.partial(jax.jit, static_argnames=("size", "tag"))
def _answers(
    policy: Policy, world: World, key: Array, size: int, tag: int
) -> tuple[Documents, Branches]:
    """Documents that the policy wrote under a tag, all topics, no direction; and its branches."""
    keys = jax.random.split(key)
    what = worlds.outline(world, keys[0], size, tag=tag, direction=0)
    documents = policy.answer(world.grammar, what, keys[1])
    return documents, policy.branches(world.grammar, documents)


def _split(tree: Any, size: int) -> tuple[Any, Any]:
    first = jax.tree.map(lambda leaf: leaf[:size], tree)
    return first, jax.tree.map(lambda leaf: leaf[size:], tree)


def prepare(lab: Lab, policy: Policy, key: Array, settings: Settings) -> Base:
    """Re-estimates the learned cast of a pretrained policy, and fits the nuisances of each cast."""
    world, keys = lab.world, jax.random.split(key)
    casts = {
        "exact": world.cast,
        "learned": atoms.learned(lab.corpus, world, policy, keys[0]),
    }
    tag = tag_names(lab.corpus).index(settings.tag)
    size = settings.fit + settings.score
    documents, branches = _answers(policy, world, keys[1], size, tag)
    nuisances = {
        name: atoms.fit_nuisances(world.grammar, cast, world.log_prior[tag], documents, branches)
        for name, cast in casts.items()
    }
    blurred = {
        name: atoms.blur(world.grammar, cast, *nuisances[name]) for name, cast in casts.items()
    }
    return Base(blurred, nuisances)


@jax.jit
def _climb(world: World, cast: Cast, log_prior: Array, written: Any, scored: Any) -> dict[str, Any]:
    """All families of one cast: weights and certificates on one part, exact sums on the other."""
    grammar = world.grammar
    larger = atoms.temper(grammar, cast)
    likelihood = bayes.document_log_likelihood
    fits = {
        "F1": ladder.fit_weights(likelihood(cast, written[0])),
        "F2": ladder.fit_weights(likelihood(larger, written[0])),
    }
    weights = {"F0": log_prior} | {name: fit.log_weights for name, fit in fits.items()}
    scores = {
        name: ladder.unexplained(grammar, larger if name == "F2" else cast, weights[name], *scored)
        for name in FAMILIES
    }
    return {"fits": fits, "scores": scores}


def read(lab: Lab, base: Base, policy: Policy, key: Array, settings: Settings) -> dict[str, Any]:
    """The reading of one policy under one tag, as plain numbers and lists.

    For each cast: `F0`, `F1`, `F2` in nats a document with `*_error` (standard errors), `gap1` and
    `gap2` (certificates), `weights` (K) and `powers` (weight of each power in F2), `where`
    (topic x slot) and `turns` (turn x slot) of what F2 leaves. `outside` is the mean probability of
    words that the grammar forbids, `items` the trait vector.
    """
    world, tag = lab.world, tag_names(lab.corpus).index(settings.tag)
    documents, branches = _answers(policy, world, key, settings.fit + settings.score, tag)
    written, scored = _split((documents, branches), settings.fit)
    out: dict[str, Any] = {}
    for name, cast in base.casts.items():
        climbed = jax.device_get(_climb(world, cast, world.log_prior[tag], written, scored))
        row: dict[str, Any] = {}
        for family, score in climbed["scores"].items():
            row[family] = float(score.mean)
            row[f"{family}_error"] = float(score.error)
        row["gap1"], row["gap2"] = (float(climbed["fits"][f].gap) for f in ("F1", "F2"))
        row["weights"] = np.exp(climbed["fits"]["F1"].log_weights).tolist()
        powers = np.exp(climbed["fits"]["F2"].log_weights)
        row["powers"] = powers.reshape(len(atoms.POWERS), -1).sum(1).tolist()
        row["where"] = _by_topic(lab, climbed["scores"]["F2"].where).tolist()
        row["turns"] = climbed["scores"]["F2"].turns.tolist()
        out[name] = row
    places = jnp.sum(jnp.any(jnp.isfinite(branches.logp), -1))
    out["outside"] = float(jnp.sum(branches.outside) / places)
    out["items"] = np.asarray(
        traits.measured(lab.corpus, world.grammar, documents, branches)
    ).tolist()
    return out


def _by_topic(lab: Lab, where: np.ndarray) -> np.ndarray:
    topics = np.array([topic for topic, _, _ in contexts(lab.corpus)])
    return np.stack([where[topics == t].sum(0) for t in range(len(lab.corpus.topics))])
