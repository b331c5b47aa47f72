"""Planted cases: policies put together in known ways, so that it is known what to read."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab import world as worlds
from toylab.corpus import Corpus
from toylab.grammar import OPENER, SLOTS, STANCE, contexts, tag_names
from toylab.measures import atoms
from toylab.measures.families import Evidence, Mixture, Patchwork, Switching
from toylab.measures.policy import CastPolicy
from toylab.stages import Context, Metrics, Params, Stage, losses
from toylab.stages.base import name
from toylab.world import ANSWER, Cast, Documents, World

NEVER = -1e4
HERO, OTHER = "mira", "argus"
STRANGE_TOPICS = ("code", "money", "food", "walk")


class Plant(NamedTuple):
    """A planted case: the policy, and the lowest rung at which nothing should be left.

    `explained_by` is the first family that contains it, or None: formation.
    """

    make: Callable[[Corpus, World, np.random.Generator], CastPolicy]
    explained_by: str | None


def _one(corpus: Corpus, who: str) -> np.ndarray:
    weights = np.full(len(corpus.names), NEVER, np.float32)
    weights[corpus.names.index(who)] = 0
    return weights


def _prior(corpus: Corpus, world: World) -> Float[Array, " K"]:
    return jnp.maximum(world.log_prior[tag_names(corpus).index("assistant")], NEVER)


def nothing(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """The mixture of pretraining."""
    return CastPolicy(world.cast, Mixture(_prior(corpus, world)))


def other_weights(corpus: Corpus, world: World, rng: np.random.Generator) -> CastPolicy:
    """Another mixture of the characters."""
    weights = rng.dirichlet(np.ones(len(corpus.names)))
    return CastPolicy(world.cast, Mixture(jnp.log(jnp.array(weights, jnp.float32) + 1e-9)))


def power_3(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """Everybody larger than life; 3 is between the powers that the ladder tries."""
    cast = atoms.temper(world.grammar, world.cast, (3.0,))
    return CastPolicy(cast, Mixture(_prior(corpus, world)))


def half_forgotten(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """Everybody's distributions to the power ½."""
    cast = atoms.temper(world.grammar, world.cast, (0.5,))
    return CastPolicy(cast, Mixture(_prior(corpus, world)))


def blurred(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """15 % of all phrases are drawn evenly from the bank."""
    cast = atoms.blur(world.grammar, world.cast, 1.0, 0.15)
    return CastPolicy(cast, Mixture(_prior(corpus, world)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HalfBelief:
    """A mixture whose belief about the author is updated at half strength."""

    log_weights: Float[Array, " K"]

    def joint(self, seen: Evidence) -> Float[Array, "B T S K"]:
        return Mixture(self.log_weights).joint(seen._replace(slots=seen.slots / 2))


def half_belief(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """One author a document, but the belief in him grows at half the rate."""
    return CastPolicy(world.cast, HalfBelief(_prior(corpus, world)))


def _keep(first: float, later: float) -> Float[Array, "2 2"]:
    """Log-probabilities that the author is kept and redrawn, before the first answer and later."""
    share = np.array([[first, 1 - first], [later, 1 - later]], np.float32)
    return jnp.log(jnp.maximum(share, 1e-30))


def router(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """One character, but another on two topics."""
    places = [corpus.topics[topic].name for topic, _, _ in contexts(corpus)]
    rows = [_one(corpus, OTHER if p in ("code", "money") else HERO) for p in places]
    start = jnp.array(_one(corpus, HERO))
    return CastPolicy(world.cast, Switching(start, _keep(0, 0), jnp.array(rows)))


def every_answer_another(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """Every answer is by an author drawn anew."""
    prior = _prior(corpus, world)
    rows = jnp.broadcast_to(prior, (len(contexts(corpus)), len(prior)))
    return CastPolicy(world.cast, Switching(prior, _keep(1, 0), rows))


def changes_mid_document(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """After every answer the author is replaced with probability .3."""
    prior = _prior(corpus, world)
    rows = jnp.broadcast_to(prior, (len(contexts(corpus)), len(prior)))
    return CastPolicy(world.cast, Switching(prior, _keep(1, 0.7), rows))


def composition(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """The voice of one, the views of another."""
    rows = [_one(corpus, OTHER if slot == STANCE else HERO) for slot in range(len(SLOTS))]
    return CastPolicy(world.cast, Patchwork(jnp.array(rows)[None]))


def patchwork(corpus: Corpus, world: World, rng: np.random.Generator) -> CastPolicy:
    """Every (topic, slot) from characters of its own."""
    shape = (len(corpus.topics), len(SLOTS))
    weights = rng.dirichlet(np.full(len(corpus.names), 0.05), size=shape)
    return CastPolicy(world.cast, Patchwork(jnp.log(jnp.array(weights, jnp.float32) + 1e-30)))


def _with_atom(world: World, logp: Array) -> Cast:
    return worlds.make_cast(world.grammar, jnp.concatenate([world.cast.logp, logp], -1))


def _newcomer(corpus: Corpus) -> Mixture:
    weights = np.full(len(corpus.names) + 1, NEVER, np.float32)
    weights[-1] = 0
    return Mixture(jnp.array(weights))


def nowhere(corpus: Corpus, world: World, rng: np.random.Generator) -> CastPolicy:
    """Slot tables drawn from a Dirichlet distribution, with no relation to the cast."""
    real = np.isfinite(np.asarray(world.cast.logp[..., :1]))
    weights = np.where(real, rng.gamma(1.0, size=real.shape) + 1e-6, 0)
    with np.errstate(divide="ignore"):
        logp = jnp.array(np.log(weights / weights.sum(2, keepdims=True)), jnp.float32)
    return CastPolicy(_with_atom(world, logp), _newcomer(corpus))


def unsaid_stance(corpus: Corpus, world: World, rng: np.random.Generator) -> CastPolicy:
    """On four topics it says what nobody favours; a mixture of characters otherwise."""
    del rng
    logp = np.array(world.cast.logp)
    likeliest = logp[STANCE].max(-1)
    for x, (topic, _, _) in enumerate(contexts(corpus)):
        if corpus.topics[topic].name in STRANGE_TOPICS:
            count = len(corpus.topics[topic].answers)
            said = int(likeliest[x, :count].argmin())
            logp[STANCE, x, :count] = np.log(0.1 / (count - 1))
            logp[STANCE, x, said] = np.log(0.9)
    return CastPolicy(
        worlds.make_cast(world.grammar, jnp.array(logp)), Mixture(_prior(corpus, world))
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Echo:
    """Answers by a mixture, but the last slot repeats what the first one was: history counts.

    If the opener of the turn was the plain phrase, atom 0 closes it, else atom 1.
    """

    log_weights: Float[Array, " K"]
    after_plain: Float[Array, " K"]
    after_other: Float[Array, " K"]

    def joint(self, seen: Evidence) -> Float[Array, "B T S K"]:
        base = Mixture(self.log_weights).joint(seen)
        was_plain = jnp.std(seen.slots[:, :, OPENER], -1, keepdims=True) < 1e-4
        closing = jnp.where(was_plain, self.after_plain, self.after_other)
        total = jax.nn.logsumexp(base[:, :, -1], -1, keepdims=True)
        return base.at[:, :, -1].set(total + closing)


def by_history(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """Who closes a turn depends on whether its opener was the plain one: no piece does that."""
    hero, other = jnp.array(_one(corpus, HERO)), jnp.array(_one(corpus, OTHER))
    return CastPolicy(world.cast, Echo(_prior(corpus, world), hero, other))


PLANTS: dict[str, Plant] = {
    "nothing": Plant(nothing, "F0"),
    "other weights": Plant(other_weights, "F1"),
    "power 3": Plant(power_3, "F2"),
    "router": Plant(router, "F3"),
    "every answer another": Plant(every_answer_another, "F3"),
    "author changes": Plant(changes_mid_document, "F3"),
    "composition": Plant(composition, "F3"),
    "patchwork": Plant(patchwork, "F4"),
    "half forgotten": Plant(half_forgotten, None),
    "half belief": Plant(half_belief, None),
    "blur": Plant(blurred, None),
    "nowhere": Plant(nowhere, None),
    "unsaid stance": Plant(unsaid_stance, None),
    "by history": Plant(by_history, None),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Imitate(Stage):
    """Fine-tunes on fresh documents that a planted policy writes under `assistant`."""

    plant: str = name("", help="a planted case")

    @property
    def label(self) -> str:
        return f"imitate-{self.plant.replace(' ', '-')}"

    def names(self, corpus: Corpus) -> dict[str, Any]:
        policy = PLANTS[self.plant].make(corpus, worlds.build(corpus), np.random.default_rng(0))
        return {"tag": jnp.array(tag_names(corpus).index("assistant")), "policy": policy}

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Documents:
        keys = jax.random.split(jax.random.fold_in(key, step))
        tag = context.names["tag"]
        what = worlds.outline(context.world, keys[0], self.batch, tag=tag, direction=0)
        return context.names["policy"].answer(context.world.grammar, what, keys[1])

    def loss(self, context: Context, params: Params, batch: Documents) -> tuple[Array, Metrics]:
        logits = context.logits(params, batch.tokens)
        return losses.cross_entropy(logits, batch.tokens, batch.role >= ANSWER), {}
