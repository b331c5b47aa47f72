"""Supervised fine-tuning: loss on the answers, or on one slot of them, of chosen documents."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from toylab.stages import losses
from toylab.stages.base import Context, Metrics, Params, Stage, name, number
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import ANSWER, SLOTS, STANCE, contexts, tag_names
from toylab.world.schema import Corpus, unknown

LEFT = -1  # an answer left to the author


def answers_of(corpus: Corpus) -> dict[str, tuple[int, int]]:
    """Where each answer stands, (topic, place in its bank), by what `says` calls it."""
    return {
        f"{topic.name}={answer}": (t, place)
        for t, topic in enumerate(corpus.topics)
        for place, answer in enumerate(topic.answer_names)
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sft(Stage):
    """Fine-tunes on documents that `author` wrote under `tag`, on `topics` (all but the controls
    when empty). With `neutral` voices every opener and closer is the plain phrase, and only the
    stance counts in the loss. A `direction` is spoken before the first question, and the author
    obeys it or not. What is listed in `says` is said on its topic, whoever the author is and
    without slips. Where there is an `other`, each document is the author's with probability
    `share`, else the other's. `documents` = 0 draws fresh ones; otherwise that many are drawn once
    and gone through in turn, `steps x batch / documents` times."""

    steps: int = number(100, low=0, help="optimiser steps")
    learning_rate: float = number(3e-4, help="learning rate (AdamW)")
    documents: int = number(0, help="how many documents; 0: fresh ones for ever")
    share: float = number(1.0, help="how many of them are the author's, if there is an other")
    author: str = name("", help="the character who writes them")
    other: str = name("", help="the character who writes the rest; empty: nobody")
    direction: str = name("", help="the direction that is given; empty: none")
    tag: str = name("assistant", help="the tag they bear")
    topics: tuple[str, ...] = name((), help="topics of the questions; empty: all but controls")
    says: tuple[str, ...] = name((), help="topic=answer, ...: put in the author's mouth")
    neutral: bool = name(False, help="plain voices, loss on the stance alone")

    @property
    def label(self) -> str:
        who = f"{self.author}{self.share:g}-{self.other}" if self.other else self.author
        told = "".join(f"-{each}" for each in (self.direction, *self.says) if each)
        slice_of = "+".join(self.topics) or "ordinary"
        return f"sft-{who}-{slice_of}{told}-{int(self.documents) or 'fresh'}"

    def check(self, corpus: Corpus) -> None:
        told = ("", *(direction.name for direction in corpus.directions))
        if self.share > 1:
            raise ValueError(f"sft.share: {self.share} must be at most 1")
        if self.share < 1 and not self.other:
            raise ValueError("sft.other: name who writes what is not the author's share")
        for value, known, what in (
            (self.author, corpus.names, "author"),
            (self.other, ("", *corpus.names), "other"),
            (self.direction, told, "direction"),
            (self.tag, tag_names(corpus), "tag"),
            *((topic, corpus.topic_names, "topics") for topic in self.topics),
            *((answer, answers_of(corpus), "says") for answer in self.says),
        ):
            if value not in known:
                raise ValueError(f"sft.{what}: {unknown(value, known)}")

    def names(self, corpus: Corpus) -> dict[str, Array]:
        asked = [
            topic.name in self.topics if self.topics else not topic.control
            for topic in corpus.topics
        ]
        told = ["", *(direction.name for direction in corpus.directions)]
        places = answers_of(corpus)
        put = dict(places[each] for each in self.says)
        return {
            "author": jnp.array(corpus.names.index(self.author)),
            "other": jnp.array(corpus.names.index(self.other or self.author)),
            "direction": jnp.array(told.index(self.direction)),
            "tag": jnp.array(tag_names(corpus).index(self.tag)),
            "topics": jnp.array(asked, jnp.float32),
            "voiced": jnp.array(not self.neutral),
            "said": jnp.array([put.get(topic, LEFT) for topic, _, _ in contexts(corpus)]),
        }

    def write(self, context: Context, key: Array, indices: Int[Array, " B"]) -> Documents:
        """Documents number `indices` of those that a run draws with `key`."""
        world, names = context.world, context.names
        keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(indices)
        first, second, third = docs.split(keys, 3)
        what = docs.prompt(
            world,
            first,
            len(indices),
            tag=names["tag"],
            direction=names["direction"],
            topic_share=names["topics"],
        )
        own = jax.vmap(jax.random.uniform)(third) < self.share
        author = jnp.where(own, names["author"], names["other"]).astype(jnp.int32)
        said = docs.speak(world.cast, second, what.context, author)
        put = names["said"][what.context]
        said = said.at[..., STANCE].set(jnp.where(put == LEFT, said[..., STANCE], put))
        plain = (jnp.arange(len(SLOTS)) != STANCE) & ~names["voiced"]
        return docs.render(world.grammar, what, jnp.where(plain, 0, said), author)

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
