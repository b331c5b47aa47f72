"""Fine-tuning on documents by many authors: controls for fine-tuning on those of one."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from toylab.stages import Sft
from toylab.stages.base import Context
from toylab.stages.traced import number
from toylab.world import names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Redrawn(Sft):
    """`Sft` in which the author of a share `rest` of the documents is drawn from w0, one by one.

    With a share of 1, documents are as in pretraining. There is nothing to learn, so any change is
    due to fine-tuning as such. With less, weights move towards `author`, but the first answers of a
    document still tell who gives the next ones.
    """

    rest: float = number(1.0, help="share of documents by authors drawn from w0")
    author: str = names.character("", empty=lambda corpus, _: corpus.names[0], help="of the others")
    other: str = names.character("", empty=lambda corpus, _: corpus.names[0], help="not used")

    @property
    def label(self) -> str:
        return f"redrawn{self.rest:g}-{self.author or 'w0'}-{int(self.documents) or 'fresh'}"

    def author_of(self, context: Context, key: Array) -> Int[Array, ""]:
        first, second = jax.random.split(key)
        drawn = jax.random.categorical(first, context.world.log_prior[context.names["tag"]])
        redrawn = jax.random.uniform(second) < self.rest
        return jnp.where(redrawn, drawn, context.names["author"]).astype(jnp.int32)
