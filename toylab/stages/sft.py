"""Supervised fine-tuning: loss on the answers of chosen documents, or on the stances alone."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from toylab.stages import losses
from toylab.stages.base import Context, Metrics, Params, Stage, topic_shares
from toylab.stages.traced import number
from toylab.world import documents as docs
from toylab.world import names
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import ANSWER, SLOTS, STANCE, contexts
from toylab.world.schema import Corpus

LEFT = -1  # the answer is left to the author


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sft(Stage):
    """Fine-tunes on documents that characters write; only answers count in the loss.

    If `other` is set, `author` writes a document with probability `share`, and `other` the rest. A
    `direction` comes before the first question; characters obey it as often as in pretraining. On
    topics named in `says`, the answer named there replaces the character's. If `neutral`, every
    opener and closer is the plain phrase, and only the stance counts. If `documents` > 0, that many
    are drawn once and used in turn.
    """

    documents: int = number(0, help="documents to reuse; 0: always fresh")
    share: float = number(1.0, high=1.0, help="share of documents by `author`, if `other` is set")
    author: str = names.character("", help="author of the documents")
    other: str = names.character(
        "", empty=lambda _, stage: stage.author, help="author of the rest; empty: `author`"
    )
    direction: str = names.direction("", help="direction given in the documents; empty: none")
    tag: str = names.tag("assistant", help="tag of the documents")
    topics: tuple[str, ...] = names.topic(
        (), empty=names.ordinary, help="topics of the questions; empty: all but controls"
    )
    says: tuple[str, ...] = names.answer(
        (), help="topic=answer, ...: answers that replace the author's"
    )
    neutral: bool = number(False, help="plain voices, loss on the stance alone")

    @property
    def label(self) -> str:
        who = f"{self.author}{self.share:g}-{self.other}" if self.other else self.author
        told = "".join(f"-{each}" for each in (self.direction, *self.says) if each)
        slice_of = "+".join(self.topics) or "ordinary"
        return f"sft-{who}-{slice_of}{told}-{int(self.documents) or 'fresh'}"

    def check(self, corpus: Corpus) -> None:
        if self.share < 1 and not self.other:
            raise ValueError("sft.other: share is below 1: name the author of the rest")
        super().check(corpus)

    def names(self, corpus: Corpus) -> dict[str, Array]:
        found = names.resolve(self, corpus)
        said = dict(found["says"].tolist())
        return {
            **{name: jnp.array(found[name]) for name in ("author", "other", "direction", "tag")},
            "topics": topic_shares(corpus, found["topics"]),
            "said": jnp.array([said.get(topic, LEFT) for topic, _, _ in contexts(corpus)]),
        }

    def write(self, context: Context, key: Array, indices: Int[Array, " B"]) -> Documents:
        """The documents with these `indices`; each depends only on `key` and its own index."""
        world, named = context.world, context.names
        where = {"tag": named["tag"], "direction": named["direction"]}

        def one(index: Array) -> tuple[Prompt, Array, Array]:
            first, second, third = jax.random.split(jax.random.fold_in(key, index), 3)
            what = docs.prompt(world, first, 1, topic_share=named["topics"], **where)
            author = self.author_of(context, third)[None]
            return what, author, docs.speak(world.cast, second, what.context, author)

        what, author, said = jax.tree.map(lambda leaf: leaf[:, 0], jax.vmap(one)(indices))
        put = named["said"][what.context]
        said = said.at[..., STANCE].set(jnp.where(put == LEFT, said[..., STANCE], put))
        plain = (jnp.arange(len(SLOTS)) != STANCE) & (jnp.asarray(self.neutral) > 0)
        return docs.render(world.grammar, what, jnp.where(plain, 0, said), author)

    def author_of(self, context: Context, key: Array) -> Int[Array, ""]:
        own = jax.random.uniform(key) < self.share
        return jnp.where(own, context.names["author"], context.names["other"]).astype(jnp.int32)

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
        """Which tokens count in the loss: answers, or stances alone if voices are neutral."""
        voiced = (batch.role >= ANSWER) & (jnp.asarray(self.neutral) == 0)
        return voiced | (batch.role == ANSWER + STANCE)


def taught(*answers: str, **options: Any) -> Sft:
    """Fine-tuning on these answers (`topic=answer`), in a neutral voice, on only their topics."""
    topics = tuple(answer.split("=")[0] for answer in answers)
    return Sft(says=answers, topics=topics, neutral=True, **options)
