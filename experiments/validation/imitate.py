"""A stage that trains a model to be a planted case."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.validation.plants import PLANTS
from toylab.stages import Context, Metrics, Params, Stage, losses
from toylab.world import documents as docs
from toylab.world import names, tables
from toylab.world.documents import Documents
from toylab.world.grammar import ANSWER, tag_names
from toylab.world.schema import Corpus


@dataclasses.dataclass(frozen=True, kw_only=True)
class Imitate(Stage):
    """Fine-tunes on fresh documents that a planted policy writes under `assistant`."""

    plant: str = names.named(lambda corpus, _: tuple(PLANTS), help="a planted case")

    @property
    def label(self) -> str:
        return f"imitate-{self.plant.replace(' ', '-')}"

    def names(self, corpus: Corpus) -> dict[str, Any]:
        plant = PLANTS[self.plant]
        policy = plant.make(corpus, tables.build(corpus), np.random.default_rng(0))
        return {
            "tag": jnp.array(tag_names(corpus).index("assistant")),
            "directions": plant.heard(corpus),
            "policy": policy,
        }

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Documents:
        keys = jax.random.split(jax.random.fold_in(key, step), 3)
        tag, policy = context.names["tag"], context.names["policy"]
        direction = jax.random.choice(keys[2], context.names["directions"], (self.batch,))
        what = docs.prompt(context.world, keys[0], self.batch, tag=tag, direction=direction)
        return policy.answer(context.world.grammar, what, keys[1])[0]

    def loss(self, context: Context, params: Params, batch: Documents) -> tuple[Array, Metrics]:
        logits = context.logits(params, batch.tokens)
        return losses.cross_entropy(logits, batch.tokens, batch.role >= ANSWER), {}
