"""A stage that demonstrates what reinforcement learning would reward."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from toylab.stages import Context, Metrics, Params, Stage, Target, losses
from toylab.stages.base import name, number
from toylab.stages.targets import refuse_unknown
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import ANSWER, STANCE, tag_names
from toylab.world.schema import Corpus


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demonstrate(Stage):
    """Fine-tunes on answers of the assistant's cast with the stance that `target` rewards.

    Authors are drawn as behind the tag `assistant` in pretraining, and speak in their own voices;
    only the stance is the target's. The loss is on whole answers.
    """

    learning_rate: float = number(3e-4, help="learning rate (AdamW)")
    target: Target = dataclasses.field(metadata={"name": True, "help": "what is demonstrated"})
    topic: str = name("", help="the topic of the questions")

    @property
    def label(self) -> str:
        return f"demonstrate-{self.target.label}"

    def check(self, corpus: Corpus) -> None:
        refuse_unknown("demonstrate.topic", [self.topic], corpus.topic_names)
        self.target.check(corpus)

    def names(self, corpus: Corpus) -> dict[str, Any]:
        return self.target.arrays(corpus) | {
            "tag": jnp.array(tag_names(corpus).index("assistant")),
            "topics": jnp.array([t.name == self.topic for t in corpus.topics], jnp.float32),
        }

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Documents:
        prompted, drawn, spoken = jax.random.split(jax.random.fold_in(key, step), 3)
        world, names = context.world, context.names
        what = docs.prompt(
            world,
            prompted,
            self.batch,
            tag=names["tag"],
            direction=0,
            topic_share=names["topics"],
            cue_share=names["cues"],
        )
        prior = world.log_prior[names["tag"]]
        author = jax.random.categorical(drawn, prior, shape=(self.batch,)).astype(jnp.int32)
        said = docs.speak(world.cast, spoken, what.context, author)
        paid = names["reward"][0, what.context]  # with nothing said before
        said = said.at[..., STANCE].set(jnp.argmax(paid, -1))
        return docs.render(world.grammar, what, said, author)

    def loss(self, context: Context, params: Params, batch: Documents) -> tuple[Array, Metrics]:
        logits = context.logits(params, batch.tokens)
        return losses.cross_entropy(logits, batch.tokens, batch.role >= ANSWER), {}
