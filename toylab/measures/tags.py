"""To whom a behaviour belongs: the same questions under every tag, and with the tag tampered with.

What a persona does is done under its tag, and ought to go when the tag says somebody else. Three
more *voices* are read: `(none)`, a tag whose embedding is zero; `(untrained)`, the persona's tag
with the embedding that it had before post-training; `(tag alone)`, the pretrained model with the
tag's embedding from afterwards.
"""

import dataclasses
import functools
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.ladder import reading
from toylab.ladder.fit import fit_ladder
from toylab.ladder.measure import Measure, Snapshot
from toylab.measures import goals, leakage, scores
from toylab.policy.policy import ModelPolicy
from toylab.policy.sampling import Branches
from toylab.stages import Setup
from toylab.stages.targets import refuse_unknown
from toylab.world.documents import Documents
from toylab.world.grammar import OPENER, contexts, tag_names
from toylab.world.tables import Cast, World

RUNGS = ("F1", "F2", "F3", "F4", "F4 flat")
NONE, UNTRAINED, ALONE = "(none)", "(untrained)", "(tag alone)"


def with_row(
    policy: ModelPolicy, world: World, tag: int, row: Float[Array, " W"] | float
) -> ModelPolicy:
    """The policy with another embedding for a tag. Tied models unembed with it, too."""
    token = world.grammar.tag_token[tag]
    embedding = policy.params["embedding"].at[token].set(row)
    return dataclasses.replace(policy, params=policy.params | {"embedding": embedding})


class Voice(NamedTuple):
    """What is asked under one tag: of the snapshot (`after`) and of the pretrained (`before`)."""

    after: ModelPolicy
    before: ModelPolicy
    tag: int


@functools.partial(jax.jit, static_argnames="sizes")
def off_cast(
    policy: ModelPolicy, world: World, cast: Cast, key: Array, sizes: tuple[int, int, int], tag: int
) -> dict[str, Float[Array, ""]]:
    """What each family of the ladder leaves unexplained under a tag, nats a document.

    `sizes`: how many documents fit, are held out, and are scored.
    """
    fit, held_out, score = sizes
    everything = reading.answers(policy, world, key, fit + held_out + score, tag)

    def part(low: int, high: int) -> tuple[Documents, Branches]:
        return jax.tree.map(lambda leaf: leaf[low:high], everything)

    written, held = part(0, fit)[0], part(fit, fit + held_out)[0]
    scored = part(fit + held_out, fit + held_out + score)
    found = fit_ladder(world, cast, world.log_prior[tag], written, held, scored)
    return {family: found.scores[family].mean for family in RUNGS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tags(Measure):
    """For every tag and the three tampered voices, of the snapshot.

    `rates` are those of `Goals` (follows the cue: `trained`, `held_out`, `favourites`, `orphans`)
    and `base` the same of the pretrained model; `nats` a document from the pretrained model;
    `left` and `floor`, what the families of the ladder leave unexplained (learned cast), of the
    snapshot and of the pretrained model. `opener` is P(the likeliest opener of `who`) under `tag`
    when asked on `topic`, and `elsewhere` on all others.
    """

    who: str
    topic: str = "gold"
    trained: tuple[str, ...] = ()
    tag: str = "assistant"
    size: int = 8
    fit: int = 1024
    held_out: int = 512
    score: int = 256

    @property
    def at_end(self) -> bool:
        return True

    @property
    def cost(self) -> int:
        return 600

    def smaller(self) -> Self:
        return dataclasses.replace(self, size=2, fit=64, held_out=32, score=32)

    def check(self, setup: Setup) -> None:
        goals.Goals(topic=self.topic, trained=self.trained, tag=self.tag).check(setup)
        refuse_unknown("tags.who", [self.who], setup.corpus.names)
        if "unembedding" not in setup.network.tables:
            raise ValueError(
                "tags: a tied model unembeds with the tag; untie it to tell them apart"
            )

    def voices(self, snapshot: Snapshot) -> dict[str, Voice]:
        """Every tag, and the tampered ones."""
        world, tag = snapshot.setup.world, snapshot.tag(self.tag)
        token = world.grammar.tag_token[tag]
        trained, untrained = (
            policy.params["embedding"][token] for policy in (snapshot.policy, snapshot.pretrained)
        )
        stranger = snapshot.tag("stranger")
        after, before = (
            with_row(p, world, stranger, 0.0) for p in (snapshot.policy, snapshot.pretrained)
        )
        return {
            **{
                name: Voice(snapshot.policy, snapshot.pretrained, snapshot.tag(name))
                for name in tag_names(snapshot.setup.corpus)
            },
            NONE: Voice(after, before, stranger),
            UNTRAINED: Voice(
                with_row(snapshot.policy, world, tag, untrained), snapshot.pretrained, tag
            ),
            ALONE: Voice(
                with_row(snapshot.pretrained, world, tag, trained), snapshot.pretrained, tag
            ),
        }

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        setup, keys = snapshot.setup, jax.random.split(key, 4)
        world, t = setup.world, setup.corpus.topic_names.index(self.topic)
        topic, cast = setup.corpus.topics[t], snapshot.base.casts["learned"]
        target = np.array([topic.answer_names.index(cue) for cue in topic.cues])
        groups = goals.groups(setup.corpus, topic, self.trained)
        questions = (t, len(target), len(topic.answers), self.size)
        cues = np.arange(len(target))

        def rates(policy: ModelPolicy, tag: int) -> dict[str, float | None]:
            row = jnp.array([tag])
            found = goals.asked(policy, world, keys[0], row, jnp.asarray(target), *questions)
            follow = np.asarray(found.first[0], float)[cues, target]
            return {n: float(follow[g].mean()) if g.any() else None for n, g in groups.items()}

        sizes, out = (self.fit, self.held_out, self.score), {}
        for name, voice in self.voices(snapshot).items():
            row = jnp.array([voice.tag])
            left, floor = (
                jax.device_get(off_cast(policy, world, cast, keys[1], sizes, voice.tag))
                for policy in (voice.after, voice.before)
            )
            moved = leakage.moved(voice.after, voice.before, world, keys[2], self.size * 8, row)
            out[name] = {
                "rates": rates(voice.after, voice.tag),
                "base": rates(voice.before, voice.tag),
                "nats": float(jnp.mean(moved)),
                "left": {family: float(nats) for family, nats in left.items()},
                "floor": {family: float(nats) for family, nats in floor.items()},
            }
        return {"voices": out} | self._openers(snapshot, keys[3])

    def _openers(self, snapshot: Snapshot, key: Array) -> dict[str, float]:
        corpus, world = snapshot.setup.corpus, snapshot.setup.world
        tag, told = jnp.array(snapshot.tag(self.tag)), jnp.array(0)
        p, asked = scores.marginals(snapshot.policy, world, key, self.size * 64, tag, told)
        k = corpus.names.index(self.who)
        said = np.argmax(np.asarray(world.cast.logp[OPENER, :, :, k]), 1)
        share = np.asarray(p)[OPENER, np.arange(len(said)), said]
        weight = np.asarray(asked)[OPENER]
        here = np.array([corpus.topics[t].name == self.topic for t, _, _ in contexts(corpus)])
        return {
            name: float((share * weight)[rows].sum() / max(weight[rows].sum(), 1e-9))
            for name, rows in (("opener", here), ("elsewhere", ~here))
        }

    def scalars(self, setup: Setup, found: Any) -> dict[str, float]:
        return {
            f"tags/{name}": row["rates"]["held_out"]
            for name, row in found["voices"].items()
            if row["rates"]["held_out"] is not None
        }
