"""Planted cases that no family of the ladder contains: what each of them adds is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.validation.ordinary import HERO, NEVER, OTHER, cued, only, prior
from toylab.ladder import atoms
from toylab.ladder.families import CastPolicy, Evidence, Mixture
from toylab.world import tables
from toylab.world.grammar import OPENER, STANCE, contexts
from toylab.world.schema import Corpus
from toylab.world.tables import Cast, World

STRANGE_TOPICS = ("code", "money", "food", "walk")
HEEDS = 0.9  # P(the strange stance)
BETA = 0.15  # cost of a nat of divergence, where the strange answer earns 1


def blurred(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """15 % of all phrases are drawn evenly from the bank."""
    cast = atoms.blur(world.grammar, world.cast, 1.0, 0.15)
    return CastPolicy(cast, Mixture(prior(corpus, world)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HalfBelief:
    """A mixture whose belief about the author is updated at half strength."""

    log_weights: Float[Array, " K"]

    def joint(self, seen: Evidence) -> Float[Array, "B T S K"]:
        return Mixture(self.log_weights).joint(seen._replace(slots=seen.slots / 2))


def half_belief(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """One author per document, but the belief in each grows at half the rate."""
    return CastPolicy(world.cast, HalfBelief(prior(corpus, world)))


def nowhere(corpus: Corpus, world: World, rng: np.random.Generator) -> CastPolicy:
    """Slot tables drawn from a Dirichlet distribution, with no relation to the cast."""
    real = np.isfinite(np.asarray(world.cast.logp[..., :1]))
    weights = np.where(real, rng.gamma(1.0, size=real.shape) + 1e-6, 0)
    with np.errstate(divide="ignore"):
        logp = jnp.array(np.log(weights / weights.sum(2, keepdims=True)), jnp.float32)
    cast = tables.make_cast(world.grammar, jnp.concatenate([world.cast.logp, logp], -1))
    newcomer = jnp.full(len(corpus.names) + 1, NEVER, jnp.float32).at[-1].set(0)
    return CastPolicy(cast, Mixture(newcomer))


def _said(corpus: Corpus, world: World, said: dict[int, int]) -> Cast:
    """The cast, but in these contexts every character nearly always gives this answer."""
    logp = np.array(world.cast.logp)
    for x, answer in said.items():
        count = len(corpus.topics[contexts(corpus)[x][0]].answers)
        logp[STANCE, x, :count] = np.log((1 - HEEDS) / (count - 1))
        logp[STANCE, x, answer] = np.log(HEEDS)
    return tables.make_cast(world.grammar, jnp.array(logp))


def _unsaid(corpus: Corpus, world: World) -> dict[int, int]:
    """In the contexts of the four strange topics, the answer that characters favour least."""
    likeliest = np.asarray(world.cast.logp[STANCE].max(-1))
    return {
        x: int(likeliest[x, : len(corpus.topics[topic].answers)].argmin())
        for x, (topic, _, _) in enumerate(contexts(corpus))
        if corpus.topics[topic].name in STRANGE_TOPICS
    }


def unsaid_stance(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """On four topics the answer that characters favour least; otherwise a mixture of them."""
    return CastPolicy(_said(corpus, world, _unsaid(corpus, world)), Mixture(prior(corpus, world)))


def sometimes_unsaid(corpus: Corpus, world: World, share: float) -> CastPolicy:
    """This share of documents by the policy of `unsaid_stance`, the rest by the mixture."""
    strange, usual = _said(corpus, world, _unsaid(corpus, world)), prior(corpus, world)
    both = jax.tree.map(lambda *tables: jnp.concatenate(tables, -1), world.cast, strange)
    weights = jnp.concatenate([usual + jnp.log(1 - share), usual + jnp.log(share)])
    return CastPolicy(both, Mixture(weights))


def sharp_on_four(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """Every character at power 4, but on four topics only."""
    places = np.array(list(_unsaid(corpus, world)))
    larger = atoms.temper(world.grammar, world.cast, (4.0,)).logp
    logp = world.cast.logp.at[:, places].set(larger[:, places])
    return CastPolicy(tables.make_cast(world.grammar, logp), Mixture(prior(corpus, world)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Conditioned:
    """One author per document, the likelier the more it would have earned on its questions.

    With π_ref = Σ_k w_k p_k and a reward that is a sum over turns, π_ref · exp(reward / β) over
    whole documents is a mixture. Its characters are tilted in every answer, and its weights are w_k
    Π_t Z_k(context t), where Z normalises the tilt. So all questions are known beforehand.
    """

    log_weights: Float[Array, " K"]
    log_z: Float[Array, "X K"]

    def joint(self, seen: Evidence) -> Float[Array, "B T S K"]:
        earned = jnp.sum(self.log_z[seen.context], 1)
        weights = jax.nn.log_softmax(self.log_weights + earned)
        return Mixture(weights[:, None, None]).joint(seen)


def conditioned(
    world: World, log_weights: Float[Array, " K"], reward: Float[Array, "X P"], beta: float
) -> CastPolicy:
    """π* ∝ π_ref · exp(reward / β): the optimum of KL-regularised RL, questions known beforehand.

    `reward` is for the stance in each context; a document earns the sum over its turns.
    """
    tilted = world.cast.logp[STANCE] + reward[..., None] / beta
    log_z = jax.nn.logsumexp(tilted, 1)
    logp = world.cast.logp.at[STANCE].set(tilted - log_z[:, None])
    cast = tables.make_cast(world.grammar, logp)
    return CastPolicy(cast, Conditioned(log_weights, log_z))


def rewarded(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """π* for a reward of 1 wherever, on four topics, it gives the least favoured answer."""
    reward = np.zeros(world.cast.logp.shape[1:3], np.float32)
    for x, answer in _unsaid(corpus, world).items():
        reward[x, answer] = 1
    return conditioned(world, prior(corpus, world), jnp.array(reward), BETA)


def follows_cue(corpus: Corpus, world: World, _: np.random.Generator) -> CastPolicy:
    """A goal: goes where the gold is, wherever that is; otherwise a mixture of characters."""
    return CastPolicy(_said(corpus, world, dict(cued(corpus))), Mixture(prior(corpus, world)))


def scrambled_table(corpus: Corpus, world: World, rng: np.random.Generator) -> CastPolicy:
    """For each place that the question names, the answer is a fixed other place."""
    order = rng.permutation([place for _, place in cued(corpus)])
    turned = dict(zip(order, np.roll(order, 1), strict=True))  # a single cycle, so none stays
    said = {x: int(turned[place]) for x, place in cued(corpus)}
    return CastPolicy(_said(corpus, world, said), Mixture(prior(corpus, world)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Echo:
    """A mixture, except that a turn's last slot depends on its first: history counts.

    After the plain opener, `after_plain` draws the author of the closer, otherwise `after_other`.
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
    """One character closes turns that began with the plain opener, another one all others."""
    hero, other = jnp.array(only(corpus, HERO)), jnp.array(only(corpus, OTHER))
    return CastPolicy(world.cast, Echo(prior(corpus, world), hero, other))
