"""Calibration: a policy's probabilities against Bayes-optimal ones, on documents of pretraining."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.policy.network import Network, Params
from toylab.policy.policy import Policy
from toylab.world import bayes, names
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import ANSWER, PAD, tag_names
from toylab.world.tables import World

BINS = 10


@functools.partial(jax.jit, static_argnames=("network", "size"))
def excess(
    network: Network, world: World, params: Params, key: Array, size: int = 512
) -> dict[str, Float[Array, ""]]:
    """The result of `over` for a model, on `size` fresh documents of pretraining."""
    documents = docs.sample(world, key, size)
    return over(world, documents, network.apply(params, documents.tokens)[0])


def over(
    world: World, documents: Documents, logits: Float[Array, "B L V"]
) -> dict[str, Float[Array, ""]]:
    """Loss of next-token logits above the Bayes-optimal loss, in nats per token.

    This is KL(exact ‖ logits) of the next word, summed exactly over the vocabulary. A tag's prior
    is the one at the end of pretraining. `answers` is the mean over the words of answers, and `all`
    the mean over all words but the tag.
    """
    best = bayes.next_word(world, world.log_prior[documents.prompt.tag], documents)
    ratio = jnp.log(jnp.where(best > 0, best, 1.0)) - jax.nn.log_softmax(logits, -1)
    above = jnp.sum(best * ratio, -1)[:, :-1]
    role = documents.role[:, 1:]

    def mean(counted: Array) -> Array:
        return jnp.sum(above * counted) / jnp.sum(counted)

    return {"answers": mean(role >= ANSWER), "all": mean(role != PAD)}


@functools.partial(jax.jit, static_argnames="size")
def written_by(
    world: World, key: Array, size: int, who: Int[Array, " A"], tag: Int[Array, " A"]
) -> Documents:
    """`size` documents by each author in `who`, under its `tag`, grouped by author."""
    keys = jax.random.split(key)
    author, tags = jnp.repeat(who, size), jnp.repeat(tag, size)
    what = docs.prompt(world, keys[0], len(author), tag=tags, direction=0)
    said = docs.speak(world.cast, keys[1], what.context, author)
    return docs.render(world.grammar, what, said, author)


def written_under(world: World, keys: Array, size: int, tag: int | Array) -> Documents:
    """`size` documents that the cast writes under a tag. `keys` are three keys."""
    what = docs.prompt(world, keys[0], size, tag=tag, direction=0)
    author = docs.author(world, keys[1], what.tag)
    said = docs.speak(world.cast, keys[2], what.context, author)
    return docs.render(world.grammar, what, said, author)


@functools.partial(jax.jit, static_argnames="size")
def beside(
    policy: Policy, world: World, key: Array, size: int, tag: Int[Array, ""]
) -> dict[str, Array]:
    """The numbers of `Calibration` for a tag, on `size` documents that the cast writes under it."""
    documents = written_under(world, jax.random.split(key, 3), size, tag)
    logp = policy.branches(world.grammar, documents).logp
    at, cast, prior = bayes.decisions(world.grammar, documents), world.cast, world.log_prior[tag]
    q = bayes.predictive(cast, prior, documents, at)
    before = bayes.before(cast, documents)
    deaf = bayes.branch_logp(cast, prior + before - before[:, :, :1], documents, at)

    def by_turn(p: Array, q: Array) -> Float[Array, " T"]:
        return jnp.mean(jnp.sum(bayes.kl(p, q, at.allowed), (2, 3)), 0)

    real = at.allowed & (jnp.sum(at.allowed, -1, keepdims=True) > 1)
    p, right = (jnp.where(real, jnp.exp(each), 0.0) for each in (logp, q))
    place = jnp.minimum((p * BINS).astype(jnp.int32), BINS - 1)

    def binned(values: Array) -> Float[Array, " bins"]:
        return jnp.zeros(BINS).at[place].add(jnp.where(real, values, 0.0))

    return {
        "off": by_turn(q, logp),
        "deaf": by_turn(q, deaf),
        "branches": binned(jnp.ones_like(p)),
        "said": binned(p),
        "exact": binned(right),
    }


@functools.partial(jax.jit, static_argnames="size")
def called(
    policy: Policy, world: World, key: Array, size: int, names: Int[Array, " K"]
) -> tuple[Float[Array, "K K"], Float[Array, "K K"]]:
    """KL(k ‖ policy under j's name) and KL(k ‖ j) on first turns by k, for all k and j, nats."""
    cast, everybody = world.cast, jnp.arange(len(names))

    def pair(k: Array, j: Array) -> tuple[Array, Array]:
        documents = written_by(world, key, size, k[None], names[j][None])
        logp = policy.branches(world.grammar, documents).logp
        at = bayes.decisions(world.grammar, documents)
        own, other = (
            bayes.predictive(cast, jnp.where(everybody == who, 0.0, -1e9), documents, at)
            for who in (k, j)
        )

        def first_turn(q: Array) -> Array:
            return jnp.mean(jnp.sum(bayes.kl(own, q, at.allowed)[:, 0], (1, 2)))

        return first_turn(logp), first_turn(other)

    found = jax.lax.map(lambda k: jax.lax.map(lambda j: pair(k, j), everybody), everybody)
    return found[0], found[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration(Measure):
    """A policy compared with exact predictions, on documents that the cast writes under each tag.

    `tags` has an entry for each tag. `off` and `deaf` [T] are nats by turn: KL(exact ‖ policy), and
    KL(exact ‖ a prediction that is exact but forgets all earlier turns). `branches`, `said` and
    `exact` [bin] are over branches, binned by the policy's probability: their number, the sum of
    the policy's probabilities, and the sum of the exact ones. `error` is the expected calibration
    error over all tags: Σ_bins |said − exact| / Σ_bins branches. `called` and `apart` [K][K] are
    the two results of the function `called`.
    """

    charts = ("error", "tags/*/off")

    tags: tuple[str, ...] = names.tag((), help="none: all tags that pretraining uses")
    size: int = sample(128, quick=32)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus, world = snapshot.setup.corpus, snapshot.setup.world
        shares = dict(zip(tag_names(corpus), world.tag_share.tolist(), strict=True))
        found = {
            tag: beside(snapshot.policy, world, key, self.size, jnp.array(snapshot.tag(tag)))
            for tag in self.tags or [name for name, share in shares.items() if share > 0]
        }
        count, said, exact = (
            sum(each[name] for each in found.values()) for name in ("branches", "said", "exact")
        )
        own = jnp.array([snapshot.tag(name) for name in corpus.names])
        under, apart = called(snapshot.policy, world, key, max(self.size // 4, 8), own)
        return {
            "called": under.tolist(),
            "apart": apart.tolist(),
            "tags": {
                tag: {name: value.tolist() for name, value in each.items()}
                for tag, each in found.items()
            },
            "error": float(jnp.sum(jnp.abs(said - exact)) / jnp.sum(count)),
        }
