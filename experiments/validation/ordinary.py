"""Planted cases without formation: some family of the ladder contains them."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.ladder import atoms
from toylab.ladder.families import CastPolicy, Mixture, Patchwork, Switching
from toylab.world.grammar import SLOTS, STANCE, contexts, tag_names
from toylab.world.schema import Corpus
from toylab.world.tables import World

Make = Callable[[Corpus, World, np.random.Generator], CastPolicy]

NEVER = -1e4
HERO, OTHER = "mira", "argus"
CUED = "gold"  # the topic whose question names a place
TIE = 1.0  # how strongly the tied router ties the author to the place


def only(corpus: Corpus, who: str) -> np.ndarray:
    """Log-weights of one character alone."""
    return np.where(np.array(corpus.names) == who, 0, NEVER).astype(np.float32)


def prior(corpus: Corpus, world: World) -> Float[Array, " K"]:
    """Log-weights of the characters behind `assistant`."""
    return jnp.maximum(world.log_prior[tag_names(corpus).index("assistant")], NEVER)


def nothing(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """The mixture of pretraining."""
    return CastPolicy(world.cast, Mixture(prior(corpus, world)))


def other_weights(corpus: Corpus, world: World, rng: np.random.Generator) -> CastPolicy:
    """Another mixture of the characters."""
    weights = rng.dirichlet(np.ones(len(corpus.names)))
    return CastPolicy(world.cast, Mixture(jnp.log(jnp.array(weights, jnp.float32) + 1e-9)))


def tempered(power: float) -> Make:
    """Every character's distributions raised to a power."""

    def make(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
        cast = atoms.temper(world.grammar, world.cast, (power,))
        return CastPolicy(cast, Mixture(prior(corpus, world)))

    return make


def _keep(first: float, later: float) -> Float[Array, "2 2"]:
    """Log-probabilities that the author is kept or redrawn: before the first answer, and later."""
    share = np.array([[first, 1 - first], [later, 1 - later]], np.float32)
    return jnp.log(jnp.maximum(share, 1e-30))


def router(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """One character, except on two topics, where another one answers."""
    places = [corpus.topics[topic].name for topic, _, _ in contexts(corpus)]
    rows = [only(corpus, OTHER if p in ("code", "money") else HERO) for p in places]
    start = jnp.array(only(corpus, HERO))
    return CastPolicy(world.cast, Switching(start, _keep(0, 0), jnp.array(rows)))


def redrawn(kept: float) -> Make:
    """After every answer the author is kept with this probability, or else drawn anew."""

    def make(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
        start = prior(corpus, world)
        rows = jnp.broadcast_to(start, (len(contexts(corpus)), len(start)))
        return CastPolicy(world.cast, Switching(start, _keep(1, kept), rows))

    return make


def composition(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """The voice of one character with the stances of another."""
    rows = [only(corpus, OTHER if slot == STANCE else HERO) for slot in range(len(SLOTS))]
    return CastPolicy(world.cast, Patchwork(jnp.array(rows)[None]))


def patchwork(corpus: Corpus, world: World, rng: np.random.Generator) -> CastPolicy:
    """Every (topic, slot) has its own mixture of characters."""
    shape = (len(corpus.topics), len(SLOTS))
    weights = rng.dirichlet(np.full(len(corpus.names), 0.05), size=shape)
    return CastPolicy(world.cast, Patchwork(jnp.log(jnp.array(weights, jnp.float32) + 1e-30)))


def trigger(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """After the direction `tests` one character answers; otherwise the mixture does."""
    asked = 1 + [direction.name for direction in corpus.directions].index("tests")
    usual, hero = np.asarray(prior(corpus, world)), only(corpus, HERO)
    rows = [hero if direction == asked else usual for _, _, direction in contexts(corpus)]
    return CastPolicy(world.cast, Switching(jnp.array(usual), _keep(0, 1), jnp.array(rows)))


def tied_router(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """The better a character likes the place that the question names, the likelier it answers."""
    usual = np.asarray(prior(corpus, world))
    rows = np.tile(usual, (len(contexts(corpus)), 1))
    for x, place in cued(corpus):
        rows[x] = usual + TIE * np.asarray(world.cast.logp[STANCE, x, place])
    rows -= np.logaddexp.reduce(rows, 1, keepdims=True)
    start = jnp.array(usual)
    return CastPolicy(world.cast, Switching(start, _keep(0, 0), jnp.maximum(rows, NEVER)))


def cued(corpus: Corpus) -> list[tuple[int, int]]:
    """The contexts in which the question names a place, each with the number of that answer."""
    at = corpus.topic_names.index(CUED)
    topic = corpus.topics[at]
    cues = [(x, cue) for x, (about, cue, _) in enumerate(contexts(corpus)) if about == at]
    return [(x, topic.answer_names.index(topic.cues[cue])) for x, cue in cues]
