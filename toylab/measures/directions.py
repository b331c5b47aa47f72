"""Directions in the residual stream, and how far fine-tuning moves it along them."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.ladder.traits import BAD
from toylab.measures import ask, calibration, probes
from toylab.policy import sampling
from toylab.policy.network import Network, Params, Site
from toylab.world import names
from toylab.world.documents import Documents
from toylab.world.grammar import STANCE, Grammar
from toylab.world.tables import World


def first_turn(grammar: Grammar, documents: Documents) -> Documents:
    """Documents cut to a length that any first turn fits in. Its activations don't change."""
    asked, said = np.asarray(grammar.question_length)[0], np.asarray(grammar.phrase_length)
    told = np.asarray(grammar.direction_length)
    length = 1 + int(told.max(initial=0) + asked.max() + said.max((1, 2)).sum())
    first = ask.one_turn(documents, jnp.zeros(len(documents.tokens), jnp.int32))
    return first._replace(tokens=first.tokens[:, :length], role=first.role[:, :length])


class Directions(NamedTuple):
    """Directions from good to bad characters: differences of mean activations before stances.

    There is one at each site: the embedding, and the residual stream after each layer.

    `said`: in the last turn, after turns that the character wrote. `named`: in the first turn, with
    the character's name as tag. `people` has each character's mean for `said`, minus the mean of
    all.
    """

    said: Float[Array, "site W"]
    named: Float[Array, "site W"]
    people: Float[Array, "site K W"]


@functools.partial(jax.jit, static_argnames=("network", "size"))
def _directions(
    network: Network, params: Params, world: World, key: Array, tags: Array, who: Any, size: int
) -> Directions:
    keys, (good, bad, someone), count = jax.random.split(key), who, len(tags)
    everyone = jnp.arange(count)

    def means(documents: Documents, turn: int) -> Float[Array, "site K W"]:
        at = probes.activations(network, params, documents)[:, :, turn, STANCE]
        by_author = jnp.mean(at.reshape(len(at), count, size, -1), 2)
        return by_author - jnp.mean(by_author, 1, keepdims=True)

    def apart(people: Array) -> Float[Array, "site W"]:
        return jnp.mean(people[:, bad], 1) - jnp.mean(people[:, good], 1)

    after = calibration.written_by(world, keys[0], size, everyone, jnp.full(count, someone))
    called = calibration.written_by(world, keys[1], size, everyone, tags)
    people = means(after, -1)
    return Directions(apart(people), apart(means(called, 0)), people)


def directions(
    snapshot: Snapshot, params: Params, key: Array, size: int, good: Array, bad: Array
) -> Directions:
    """Mean differences of activations before stances (Marks & Tegmark 2023).

    Each character writes `size` documents under the tag `someone`, and `size` under its own name.
    """
    own = jnp.array([snapshot.tag(name) for name in snapshot.setup.corpus.names])
    world, who = snapshot.setup.world, (good, bad, snapshot.tag("someone"))
    return _directions(snapshot.policy.network, params, world, key, own, who, size)


def cosine(a: Float[Array, "*b W"], b: Float[Array, "*b W"]) -> Float[Array, "*b"]:
    lengths = jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1)
    return jnp.sum(a * b, -1) / jnp.maximum(lengths, 1e-12)


def share_within(vector: Float[Array, " W"], span: Float[Array, "K W"]) -> Float[Array, ""]:
    """Share of a vector's squared length in the span of K centred vectors (K − 1 dimensions)."""
    _, _, basis = jnp.linalg.svd(span, full_matrices=False)
    inside = basis[: len(span) - 1] @ vector
    return jnp.sum(inside**2) / jnp.maximum(jnp.sum(vector**2), 1e-12)


def bad_answers(world: World, good: Array, bad: Array) -> Bool[Array, "X P"]:
    """Which answers the bad give more often than the good, by more than `BAD`, in each context."""
    table = jnp.exp(world.cast.logp[STANCE])
    return jnp.mean(table[..., bad], -1) - jnp.mean(table[..., good], -1) > BAD


@functools.partial(jax.jit, static_argnums=(0, 1))
def bad_rate(
    network: Network,
    site: Site,
    params: Params,
    world: World,
    documents: Documents,
    answers: Bool[Array, "X P"],
    push: Float[Array, " W"],
) -> Float[Array, "B T"]:
    """P(bad answer) at every stance of the documents, with `push` added to a site at every word.

    NaN where a topic has no bad answer.
    """

    def tap(where: Site, value: Array) -> Array:
        return value + push if where == site else value

    logits, _ = network.apply(params, documents.tokens, tap=tap)
    logp = sampling.read(world.grammar, documents, logits).logp
    said = ask.stances(world.grammar, documents, logp)
    chosen = answers[documents.prompt.context]
    rate = jnp.sum(jnp.where(chosen, said[..., : chosen.shape[-1]], 0.0), -1)
    return jnp.where(jnp.any(chosen, -1), rate, jnp.nan)


def part_along(vector: Float[Array, "site W"], way: Float[Array, "site W"]) -> Array:
    """The component of `vector` along `way`, at each site."""
    unit = way / jnp.maximum(jnp.linalg.norm(way, axis=-1, keepdims=True), 1e-12)
    return jnp.sum(vector * unit, -1, keepdims=True) * unit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shift(Measure):
    """How fine-tuning moved the residual stream, compared with directions in the pretrained model.

    The mean shift of activations at each site (`said`, `named`: see `Directions`):

    * `cosine`: of the shift with `said` and with `named`, and of these two (`prompts`);
    * `inside`: the share of the shift's squared length in the span of the characters;
    * `along`: the component along `said`, in units of the length of `said`; `length`: the length of
      the shift.

    P(bad answer) in the first turn, `before` and `after` training, and then with a site changed:

    * `undone`: the part of the shift along `said` is removed;
    * `all_undone`: the whole shift is removed;
    * `random_undone`: a random vector is added, of the length of the part removed in `undone`.
    """

    at_end = True
    charts = ("along", "inside")

    good: tuple[str, ...] = names.side("good")
    bad: tuple[str, ...] = names.side("bad")
    tag: str = names.tag()
    size: int = sample(128, quick=32)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus, world = snapshot.setup.corpus, snapshot.setup.world
        network, everyone = snapshot.policy.network, jnp.arange(len(corpus.names))
        keys, at = jax.random.split(key, 3), names.resolve(self, corpus)
        good, bad = jnp.asarray(at["good"]), jnp.asarray(at["bad"])
        before, after = snapshot.pretrained.params, snapshot.policy.params
        found = directions(snapshot, before, keys[0], self.size, good, bad)
        tags = jnp.full(len(everyone), snapshot.tag(self.tag))
        written = calibration.written_by(world, keys[1], self.size, everyone, tags)
        documents, answers = first_turn(world.grammar, written), bad_answers(world, good, bad)
        now, then = (
            probes.activations(network, params, documents)[:, :, 0, STANCE]
            for params in (after, before)
        )
        shift = jnp.mean(now - then, 1)
        back = -part_along(shift, found.said)
        anywhere = jax.random.normal(keys[2], shift.shape)
        lost = anywhere / jnp.linalg.norm(anywhere, axis=-1, keepdims=True)
        lost = lost * jnp.linalg.norm(back, axis=-1, keepdims=True)

        def rate(params: Params, site: Site, push: Array) -> float:
            rates = bad_rate(network, site, params, world, documents, answers, push)
            return float(jnp.nanmean(rates[:, 0]))

        def pushed(pushes: Array) -> list[float]:
            return [rate(after, *each) for each in zip(network.sites, pushes, strict=True)]

        unpushed = network.sites[0], jnp.zeros(())
        return {
            "cosine": {
                "said": cosine(shift, found.said).tolist(),
                "named": cosine(shift, found.named).tolist(),
                "prompts": cosine(found.said, found.named).tolist(),
            },
            "inside": [
                float(share_within(*each)) for each in zip(shift, found.people, strict=True)
            ],
            "along": (jnp.sum(shift * found.said, -1) / jnp.sum(found.said**2, -1)).tolist(),
            "length": jnp.linalg.norm(shift, axis=-1).tolist(),
            "before": rate(before, *unpushed),
            "after": rate(after, *unpushed),
            "undone": pushed(back),
            "all_undone": pushed(-shift),
            "random_undone": pushed(lost),
        }
