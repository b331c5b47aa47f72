"""A stage that keeps the model as it was on the topics that another stage does not train."""

import dataclasses
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from toylab.policy import sampling
from toylab.policy.network import Network
from toylab.stages.base import Context, Metrics, Params, Stage, topic_shares
from toylab.stages.optimisers import Optimiser
from toylab.stages.traced import number
from toylab.world import bayes, names
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.schema import Corpus

ASIDE = 0xFFFF_FFFF  # folded into the key of anchoring documents; no step has this number


class Held(NamedTuple):
    """The inner stage's batch, and documents with log π_ref of each branch."""

    inner: Any
    documents: Documents
    logp: Float[Array, "B T S J C"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Anchored(Stage):
    """The inner stage's loss plus β · KL(π_ref ‖ π) on other topics, in nats per document.

    π_ref is the model before the stage. The loss is that of Soligo et al. (2026). The cast writes
    the documents, under the inner stage's tag. At each decision the KL is an exact sum over the
    branches that the grammar allows. By default, all topics that the inner stage does not train on
    are anchored, controls included. All other settings are the inner stage's.
    """

    steps: int = dataclasses.field(init=False, repr=False)
    batch: int = dataclasses.field(init=False, repr=False)
    updates: int = dataclasses.field(init=False, repr=False)
    learning_rate: float = dataclasses.field(init=False, repr=False)
    optimiser: Optimiser = dataclasses.field(init=False, repr=False)
    inner: Stage = dataclasses.field(metadata={"help": "the stage to anchor"})
    topics: tuple[str, ...] = names.topic((), help="topics to anchor; empty: all others")
    beta: float = number(1.0, help="weight of KL(reference || model) in nats per document")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(Stage):
            object.__setattr__(self, field.name, getattr(self.inner, field.name))
        super().__post_init__()

    @property
    def label(self) -> str:
        return f"{self.kind}-{self.inner.label}"

    @property
    def needs_reference(self) -> bool:
        return True

    def lasting(self, steps: int) -> Self:
        return dataclasses.replace(self, inner=self.inner.lasting(steps))

    def check(self, corpus: Corpus) -> None:
        self.inner.check(corpus)
        super().check(corpus)
        named = self.inner.names(corpus)
        if not {"tag", "topics"} <= named.keys() or "held" in named:
            raise ValueError(f"anchored.inner: {self.inner.kind} can't be anchored")
        if not self.names(corpus)["held"].any():
            raise ValueError("anchored.topics: the inner stage trains on all; name some")

    def names(self, corpus: Corpus) -> dict[str, Any]:
        inner, held = self.inner.names(corpus), names.resolve(self, corpus)["topics"]
        shares = topic_shares(corpus, held) if self.topics else 1.0 - inner["topics"]
        return inner | {"held": shares}

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Held:
        world, named = context.world, context.names
        inner = self.inner.draw(context, params, reference, key, step)
        asked, answered = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, ASIDE), step))
        what = docs.prompt(
            world, asked, self.batch, tag=named["tag"], direction=0, topic_share=named["held"]
        )
        documents = docs.write(world, answered, what)
        return Held(inner, documents, self._branches(context, reference, documents))

    def loss(self, context: Context, params: Params, batch: Held) -> tuple[Array, Metrics]:
        loss, metrics = self.inner.loss(context, params, batch.inner)
        logp = self._branches(context, params, batch.documents)
        allowed = bayes.decisions(context.world.grammar, batch.documents).allowed
        anchor = jnp.sum(bayes.kl(batch.logp, logp, allowed)) / len(logp)
        return loss + self.beta * anchor, metrics | {"inner_loss": loss, "anchor": anchor}

    def _branches(self, context: Context, params: Params, documents: Documents) -> Array:
        logits = context.logits(params, documents.tokens)
        return sampling.read(context.world.grammar, documents, logits).logp

    def transformation(self, network: Network) -> optax.GradientTransformation:
        return self.inner.transformation(network)
