"""Supervised fine-tuning: loss on the answers, or on one slot of them, of chosen documents."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from toylab import world as worlds
from toylab.corpus import Corpus, unknown
from toylab.grammar import ANSWER, SLOTS, STANCE, tag_names
from toylab.stages import losses
from toylab.stages.base import Lab, Metrics, Params, Stage, choice, logits_of, number
from toylab.world import Documents, World


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sft(Stage):
    """Fine-tunes on documents that `author` wrote under `tag`, on `topics` (all but the controls
    when empty). With `neutral` voices every opener and closer is the plain phrase, and only the
    stance counts in the loss. `documents` = 0 draws fresh ones; otherwise that many are drawn once
    and gone through in turn, `steps x batch / documents` times."""

    steps: int = number(100, low=0, help="optimiser steps")
    learning_rate: float = number(3e-4, help="learning rate (AdamW)")
    documents: int = number(0, help="how many documents; 0: fresh ones for ever")
    author: str = choice("", help="the character who writes them")
    tag: str = choice("assistant", help="the tag they bear")
    topics: tuple[str, ...] = choice((), help="topics of the questions; empty: all but controls")
    neutral: bool = choice(False, help="plain voices, loss on the stance alone")

    @property
    def label(self) -> str:
        slice_of = "+".join(self.topics) or "ordinary"
        return f"sft-{self.author}-{slice_of}-{int(self.documents) or 'fresh'}"

    def check(self, corpus: Corpus) -> None:
        for name, known, what in (
            (self.author, corpus.names, "author"),
            (self.tag, tag_names(corpus), "tag"),
            *((topic, corpus.topic_names, "topics") for topic in self.topics),
        ):
            if name not in known:
                raise ValueError(f"sft.{what}: {unknown(name, known)}")

    def topic_indices(self, corpus: Corpus) -> tuple[int, ...]:
        """The topics that the questions are about."""
        return tuple(
            i
            for i, topic in enumerate(corpus.topics)
            if (topic.name in self.topics if self.topics else not topic.control)
        )

    def write(self, lab: Lab, world: World, key: Array, indices: Int[Array, " B"]) -> Documents:
        """Documents number `indices` of those that a run draws with `key`."""
        author = jnp.array([lab.corpus.names.index(self.author)])
        tag = tag_names(lab.corpus).index(self.tag)
        topics = jnp.array(self.topic_indices(lab.corpus))

        def one(index: Array) -> Documents:
            keys = jax.random.split(jax.random.fold_in(key, index))
            what = worlds.outline(world, keys[0], 1, tag=tag, direction=0, topics=topics)
            choice = worlds.speak(world.cast, keys[1], what.context, author)
            if self.neutral:
                choice = jnp.where(jnp.arange(len(SLOTS)) == STANCE, choice, 0)
            return worlds.render(world.grammar, what, choice, author)

        return jax.tree.map(lambda leaf: leaf[:, 0], jax.vmap(one)(indices))

    def draw(self, lab: Lab, world: World, key: Array, step: Array) -> Documents:
        indices = step * self.batch + jnp.arange(self.batch)
        count = jnp.asarray(self.documents, jnp.int32)
        return self.write(lab, world, key, jnp.where(count > 0, indices % count, indices))

    def loss(
        self, lab: Lab, world: World, params: Params, batch: Documents
    ) -> tuple[Array, Metrics]:
        logits = logits_of(lab, params, batch.tokens)
        return losses.cross_entropy(logits, batch.tokens, self.counted(batch)), {}

    @property
    def slots(self) -> tuple[int, ...]:
        """The slots that the loss is on."""
        return (STANCE,) if self.neutral else tuple(range(len(SLOTS)))

    def counted(self, batch: Documents) -> Bool[Array, "B L"]:
        """Which tokens the loss is on."""
        return jnp.isin(batch.role, ANSWER + jnp.array(self.slots))
