"""Supervised fine-tuning: loss on the answers, or on one slot of them, of chosen documents."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from toylab import world as worlds
from toylab.corpus import Corpus, unknown
from toylab.grammar import ANSWER, SLOTS, STANCE, tag_names
from toylab.stages import losses
from toylab.stages.base import Context, Metrics, Params, Stage, name, number
from toylab.world import Documents


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sft(Stage):
    """Fine-tunes on documents that `author` wrote under `tag`, on `topics` (all but the controls
    when empty). With `neutral` voices every opener and closer is the plain phrase, and only the
    stance counts in the loss. `documents` = 0 draws fresh ones; otherwise that many are drawn once
    and gone through in turn, `steps x batch / documents` times."""

    steps: int = number(100, low=0, help="optimiser steps")
    learning_rate: float = number(3e-4, help="learning rate (AdamW)")
    documents: int = number(0, help="how many documents; 0: fresh ones for ever")
    author: str = name("", help="the character who writes them")
    tag: str = name("assistant", help="the tag they bear")
    topics: tuple[str, ...] = name((), help="topics of the questions; empty: all but controls")
    neutral: bool = name(False, help="plain voices, loss on the stance alone")

    @property
    def label(self) -> str:
        slice_of = "+".join(self.topics) or "ordinary"
        return f"sft-{self.author}-{slice_of}-{int(self.documents) or 'fresh'}"

    def check(self, corpus: Corpus) -> None:
        for value, known, what in (
            (self.author, corpus.names, "author"),
            (self.tag, tag_names(corpus), "tag"),
            *((topic, corpus.topic_names, "topics") for topic in self.topics),
        ):
            if value not in known:
                raise ValueError(f"sft.{what}: {unknown(value, known)}")

    def names(self, corpus: Corpus) -> dict[str, Array]:
        asked = [
            topic.name in self.topics if self.topics else not topic.control
            for topic in corpus.topics
        ]
        return {
            "author": jnp.array(corpus.names.index(self.author)),
            "tag": jnp.array(tag_names(corpus).index(self.tag)),
            "topics": jnp.array(asked, jnp.float32),
            "voiced": jnp.array(not self.neutral),
        }

    def write(self, context: Context, key: Array, indices: Int[Array, " B"]) -> Documents:
        """Documents number `indices` of those that a run draws with `key`."""
        world, names = context.world, context.names
        keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(indices)
        first, second = worlds.split(keys, 2)
        what = worlds.outline(
            world, first, len(indices), tag=names["tag"], direction=0, topic_share=names["topics"]
        )
        author = jnp.broadcast_to(names["author"], indices.shape).astype(jnp.int32)
        said = worlds.speak(world.cast, second, what.context, author)
        plain = (jnp.arange(len(SLOTS)) != STANCE) & ~names["voiced"]
        return worlds.render(world.grammar, what, jnp.where(plain, 0, said), author)

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Documents:
        indices = step * self.batch + jnp.arange(self.batch)
        count = jnp.asarray(self.documents, jnp.int32)
        pooled = indices % jnp.maximum(count, 1)
        return self.write(context, key, jnp.where(count > 0, pooled, indices))

    def loss(self, context: Context, params: Params, batch: Documents) -> tuple[Array, Metrics]:
        logits = context.logits(params, batch.tokens)
        return losses.cross_entropy(logits, batch.tokens, self.counted(context, batch)), {}

    def counted(self, context: Context, batch: Documents) -> Bool[Array, "B L"]:
        """Which tokens the loss is on: answers, or stances alone where voices are neutral."""
        voiced = (batch.role >= ANSWER) & context.names["voiced"]
        return voiced | (batch.role == ANSWER + STANCE)
