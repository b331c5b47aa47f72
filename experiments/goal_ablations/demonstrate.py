"""A stage that demonstrates what reinforcement learning would reward."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from toylab.stages import Context, Metrics, Params, Stage, Target, losses
from toylab.stages.base import topic_shares
from toylab.world import documents as docs
from toylab.world import names
from toylab.world.documents import Documents
from toylab.world.grammar import ANSWER, STANCE
from toylab.world.schema import Corpus


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demonstrate(Stage):
    """Fine-tunes on answers of the assistant's cast, with the stance that `target` rewards.

    Authors are drawn as behind the tag in pretraining and speak in their own voices; only the
    stance is the target's. The loss is on whole answers.
    """

    target: Target = dataclasses.field(metadata={"name": True, "help": "what is demonstrated"})
    topic: str = names.topic(help="the topic of the questions")
    tag: str = names.tag("assistant", help="the tag of the documents")

    @property
    def label(self) -> str:
        return f"demonstrate-{self.target.label}"

    def check(self, corpus: Corpus) -> None:
        super().check(corpus)
        self.target.check(corpus, "demonstrate.target")

    def names(self, corpus: Corpus) -> dict[str, Any]:
        found = names.resolve(self, corpus)
        return self.target.arrays(corpus) | {
            "tag": jnp.array(found["tag"]),
            "topics": topic_shares(corpus, [found["topic"]]),
        }

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Documents:
        prompted, drawn, spoken = jax.random.split(jax.random.fold_in(key, step), 3)
        world, named = context.world, context.names
        asked = {"tag": named["tag"], "topic_share": named["topics"], "cue_share": named["cues"]}
        what = docs.prompt(world, prompted, self.batch, direction=0, **asked)
        prior = world.log_prior[named["tag"]]
        author = jax.random.categorical(drawn, prior, shape=(self.batch,)).astype(jnp.int32)
        said = docs.speak(world.cast, spoken, what.context, author)
        paid = named["reward"][0, what.context]  # row 0: nothing was said before
        said = said.at[..., STANCE].set(jnp.argmax(paid, -1))
        return docs.render(world.grammar, what, said, author)

    def loss(self, context: Context, params: Params, batch: Documents) -> tuple[Array, Metrics]:
        logits = context.logits(params, batch.tokens)
        return losses.cross_entropy(logits, batch.tokens, batch.role >= ANSWER), {}
