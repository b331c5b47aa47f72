"""What a policy does under each tag, how far training moved it, and what a tag's embedding does."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from toylab.ladder import atoms, mixtures, reading, traits
from toylab.ladder.fit import FAMILIES, fit_ladder
from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.measures import ask, cues
from toylab.policy.policy import ModelPolicy, Policy
from toylab.policy.sampling import Branches
from toylab.stages import Setup
from toylab.world import bayes, names
from toylab.world.documents import Documents
from toylab.world.grammar import OPENER, Grammar, contexts, tag_names
from toylab.world.tables import Cast, World

RUNGS = FAMILIES[1:]
NONE, UNTRAINED, ALONE = "(none)", "(untrained)", "(tag alone)"


def every_tag() -> Any:
    """A field that names tags; empty: all of them."""
    return names.tag((), empty=lambda corpus, _: tag_names(corpus), help="none: all of them")


def by_tag(snapshot: Snapshot, tags: Any, values: Array) -> dict[str, Any]:
    known = tag_names(snapshot.setup.corpus)
    return {known[tag]: value for tag, value in zip(tags, values.tolist(), strict=True)}


# ---------------------------------------------------------------------------------------- leakage


def moved(
    after: Policy, before: Policy, world: World, key: Array, size: int, tags: Int[ArrayLike, " A"]
) -> Float[Array, "A B"]:
    """KL(P_after ‖ P_before) by exact sums, on `size` documents per tag by P_after, in nats."""
    each = [reading.answers(after, world, key, size, tag) for tag in np.asarray(tags)]
    return jnp.stack([_apart(before, world.grammar, *written) for written in each])


@jax.jit
def _apart(
    before: Policy, grammar: Grammar, documents: Documents, p: Branches
) -> Float[Array, " B"]:
    q, allowed = before.branches(grammar, documents), bayes.decisions(grammar, documents).allowed
    return jnp.sum(bayes.kl(p.logp, q.logp, allowed), (1, 2, 3))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leakage(Measure):
    """How far the policy moved under each tag: nats per document, with standard errors."""

    charts = ("nats/*",)

    tags: tuple[str, ...] = every_tag()
    size: int = sample(32)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        tags = names.resolve(self, snapshot.setup.corpus)["tags"]
        policies = (snapshot.policy, snapshot.pretrained)
        each = moved(*policies, snapshot.setup.world, key, self.size, tags)
        errors = jnp.std(each, 1) / jnp.sqrt(self.size)
        return {
            "nats": by_tag(snapshot, tags, jnp.mean(each, 1)),
            "error": by_tag(snapshot, tags, errors),
        }


# --------------------------------------------------------------------------------- weights, traits


@dataclasses.dataclass(frozen=True, kw_only=True)
class TagWeights(Measure):
    """w* under each tag, for each cast, with 95 % intervals (`mixtures.weights_from_branches`).

    `[cast][tag]` has `weights`, `low` and `high` of all characters, and `outside`, the mean
    probability of words that the grammar forbids.
    """

    tags: tuple[str, ...] = names.tag(("assistant",))
    fit: int = sample(256)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        world = snapshot.setup.world
        out: dict[str, dict[str, Any]] = {name: {} for name in snapshot.base.casts}
        for name in self.tags:
            tag = jnp.array(snapshot.tag(name))
            written = reading.answers(snapshot.policy, world, key, self.fit, tag)
            for cast_name, cast in snapshot.base.casts.items():
                found = mixtures.weights_from_branches(world.grammar, cast, *written)
                out[cast_name][name] = {
                    "weights": np.exp(found.log_weights).tolist(),
                    "low": found.low.tolist(),
                    "high": found.high.tolist(),
                    "outside": reading.outside(written[1]),
                }
        return out

    def scalars(self, setup: Setup, found: Any) -> dict[str, float]:
        return {
            f"{self.name}/{tag}/{name}": weight
            for tag, row in found["learned"].items()
            for name, weight in zip(setup.corpus.names, row["weights"], strict=True)
        }


def first_turns(documents: Documents, branches: Branches) -> tuple[Documents, Branches]:
    """The first turns of documents, which have no history, as documents of a single turn."""
    first = ask.one_turn(documents, jnp.zeros(len(documents.choice), jnp.int32))
    return first, jax.tree.map(lambda leaf: leaf[:, :1], branches)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores(Measure):
    """How often a policy says each thing in a first turn: the trait vector (see `traits.items`).

    The vector of a tag and a direction is `[tag][direction]`, where "" is no direction. All tags
    and directions are asked the same questions. Later turns are left out: the policy's own answers
    may have changed its posterior over the author.
    """

    tags: tuple[str, ...] = names.tag(("assistant",))
    directions: tuple[str, ...] = names.direction(("",))
    size: int = sample(512, quick=128)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        setup = snapshot.setup
        told = names.resolve(self, setup.corpus)["directions"].tolist()

        def score(tag: str, direction: int) -> list[float]:
            where = snapshot.tag(tag), direction
            written = reading.answers(snapshot.policy, setup.world, key, self.size, *where)
            said, asked = atoms.phrase_marginals(setup.world.grammar, *first_turns(*written))
            return traits.collect(setup.corpus, said, asked, direction).tolist()

        each = list(zip(self.directions, told, strict=True))
        return {tag: {name: score(tag, place) for name, place in each} for tag in self.tags}

    def scalars(self, setup: Setup, found: Any) -> dict[str, float]:
        items = traits.items(setup.corpus)
        return {
            "/".join(("scores", *filter(None, (tag, told, item.group, item.phrase)))): score
            for tag, row in found.items()
            for told, scores in row.items()
            for item, score in zip(items, scores, strict=True)
            if item.group not in ("opener", "closer")
        }


# ------------------------------------------------------------------------------------- tampering


def with_row(
    policy: ModelPolicy, world: World, tag: int, row: Float[Array, " W"] | float
) -> ModelPolicy:
    """The policy with another embedding for a tag. A tied model also unembeds with it."""
    token = world.grammar.tag_token[tag]
    embedding = policy.params["embedding"].at[token].set(row)
    return dataclasses.replace(policy, params=policy.params | {"embedding": embedding})


def off_cast(
    policy: ModelPolicy, world: World, cast: Cast, key: Array, sizes: tuple[int, int, int], tag: int
) -> dict[str, float]:
    """Nats per document that families from F1 on leave under a tag; `sizes` as in `in_three`."""
    written = reading.answers(policy, world, key, sum(sizes), tag)
    parts = reading.in_three(written, *sizes)
    found = fit_ladder(world, cast, world.log_prior[tag], *parts)
    return {family: float(found.scores[family].mean) for family in RUNGS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tags(Measure):
    """The same questions under every tag, and under three tags with a changed embedding.

    `(none)` is a tag whose embedding is zero. `(untrained)` is `tag` with its embedding from before
    post-training. `(tag alone)` is the pretrained model with the post-trained embedding of `tag`.

    `voices` has an entry for every tag and for these three:

    * `rates`: as in `Goals`; `base`: the same for the pretrained model (for `(none)`, also with the
      embedding zeroed);
    * `nats`: KL(model ‖ pretrained model) per document;
    * `left`: what each family from F1 on, with the learned cast, leaves unexplained in the model;
      `floor`: the same for the pretrained model.

    `opener` is P(the likeliest opener of `who`) under `tag` on questions about `topic`, `elsewhere`
    the same on all other questions.
    """

    at_end = True
    charts = ("voices/*/rates/held_out",)

    who: str = names.character()
    topic: str = names.topic("gold", among=names.facts)
    trained: tuple[str, ...] = names.cue(of="topic")
    tag: str = names.tag()
    size: int = sample(8, quick=2)
    fit: int = sample(1024, quick=64)
    held_out: int = sample(512, quick=32)
    score: int = sample(256, quick=32)

    def check(self, setup: Setup) -> None:
        super().check(setup)
        if "unembedding" not in setup.network.tables:
            raise ValueError(
                "tags: a tied model also unembeds with the tag's embedding; set tied=False"
            )

    def voices(self, snapshot: Snapshot) -> dict[str, tuple[ModelPolicy, ModelPolicy, int]]:
        """For every tag and the three changed ones: policies after and before, and an index."""
        world, tag = snapshot.setup.world, snapshot.tag(self.tag)
        every = enumerate(tag_names(snapshot.setup.corpus))
        policies = now, then = snapshot.policy, snapshot.pretrained
        stranger = snapshot.tag("stranger")
        blank_now, blank_then = (with_row(policy, world, stranger, 0.0) for policy in policies)
        token = world.grammar.tag_token[tag]
        trained, untrained = (policy.params["embedding"][token] for policy in policies)
        return {
            **{name: (now, then, place) for place, name in every},
            NONE: (blank_now, blank_then, stranger),
            UNTRAINED: (with_row(now, world, tag, untrained), then, tag),
            ALONE: (with_row(then, world, tag, trained), then, tag),
        }

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus, world = snapshot.setup.corpus, snapshot.setup.world
        keys, cast = jax.random.split(key, 4), snapshot.base.casts["learned"]
        cued = ask.cued(corpus, self.topic)
        groups, rows = cues.groups(corpus, cued.topic, self.trained), np.arange(len(cued.target))
        sizes, out = (self.fit, self.held_out, self.score), {}

        def rates(policy: ModelPolicy, tag: Array) -> dict[str, float | None]:
            target = jnp.asarray(cued.target)
            found = cues.asked(policy, world, keys[0], tag, target, cued.sizes, self.size)
            return cues.means(np.asarray(found.first[0], float)[rows, cued.target], groups)

        for name, (after, before, tag) in self.voices(snapshot).items():
            row = jnp.array([tag])
            out[name] = {
                "rates": rates(after, row),
                "base": rates(before, row),
                "nats": float(jnp.mean(moved(after, before, world, keys[2], self.size * 8, row))),
                "left": off_cast(after, world, cast, keys[1], sizes, tag),
                "floor": off_cast(before, world, cast, keys[1], sizes, tag),
            }
        return {"voices": out} | self._openers(snapshot, keys[3])

    def _openers(self, snapshot: Snapshot, key: Array) -> dict[str, float]:
        corpus, world = snapshot.setup.corpus, snapshot.setup.world
        tag = snapshot.tag(self.tag)
        written = reading.answers(snapshot.policy, world, key, self.size * 64, tag)
        p, asked = atoms.phrase_marginals(world.grammar, *written)
        k = corpus.names.index(self.who)
        said = np.argmax(np.asarray(world.cast.logp[OPENER, :, :, k]), 1)
        share = np.asarray(p)[OPENER, np.arange(len(said)), said]
        weight = np.asarray(asked)[OPENER]
        here = np.array([corpus.topics[t].name == self.topic for t, _, _ in contexts(corpus)])
        return {
            name: float((share * weight)[rows].sum() / max(weight[rows].sum(), 1e-9))
            for name, rows in (("opener", here), ("elsewhere", ~here))
        }
