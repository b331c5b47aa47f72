"""Any stage, held to the model that it started from on other topics."""

import dataclasses
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from toylab.policy import sampling
from toylab.stages.base import Context, Metrics, Params, Stage, name, number
from toylab.stages.targets import refuse_unknown
from toylab.world import bayes
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.schema import Corpus

ASIDE = 0xFFFF_FFFF  # folded into a run's key: no step or document has this number


class Held(NamedTuple):
    """The inner stage's batch, and documents with what the reference says at their branches."""

    inner: Any
    documents: Documents
    logp: Float[Array, "B T S J C"]


def _inner() -> Any:
    """A field that has the inner stage's value."""
    return dataclasses.field(init=False, repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Anchored(Stage):
    """The inner stage's loss plus β · KL(π_ref ‖ π) on other topics, in nats a document.

    This is how Soligo et al. (2026) obtain a *narrow* solution. The documents are those of the
    cast under the inner stage's tag, as in pretraining; KL is summed exactly over the branches that
    the grammar allows, at every decision. Its direction is forward, from the reference: the
    reference is fixed, so fixed documents will do and the gradient has no term for who wrote them;
    and it is the cross-entropy of distillation up to a constant, which grows without bound when the
    model gives up anything that the reference used to say.

    `topics` are what to hold on to; empty: all that the inner stage does not train on, controls
    included. `steps`, `batch` and `learning_rate` are the inner stage's, as is the optimiser.
    """

    needs_reference: ClassVar[bool] = True

    steps: int = _inner()
    batch: int = _inner()
    learning_rate: float = _inner()
    inner: Stage = dataclasses.field(metadata={"help": "the stage that is anchored"})
    topics: tuple[str, ...] = name((), help="held topics; empty: all the inner does not train on")
    beta: float = number(1.0, help="weight of KL(reference || model), nats a document")

    def __post_init__(self) -> None:
        for field in ("steps", "batch", "learning_rate"):
            object.__setattr__(self, field, getattr(self.inner, field))
        super().__post_init__()

    @property
    def label(self) -> str:
        return f"anchored-{self.inner.label}"

    def lasting(self, steps: int) -> Self:
        return dataclasses.replace(self, inner=self.inner.lasting(steps))

    def check(self, corpus: Corpus) -> None:
        self.inner.check(corpus)
        refuse_unknown("anchored.topics", self.topics, corpus.topic_names)
        names = self.inner.names(corpus)
        if not {"tag", "topics"} <= names.keys() or "held" in names:
            raise ValueError(f"anchored.inner: {self.inner.kind} can't be anchored")
        if not self.names(corpus)["held"].any():
            raise ValueError("anchored.topics: the inner stage trains on all; name some")

    def names(self, corpus: Corpus) -> dict[str, Array]:
        names = self.inner.names(corpus)
        named = jnp.array([topic in self.topics for topic in corpus.topic_names])
        held = named if self.topics else names["topics"] == 0
        return names | {"held": held.astype(jnp.float32)}

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Held:
        world, names = context.world, context.names
        inner = self.inner.draw(context, params, reference, key, step)
        asked, answered = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, ASIDE), step))
        what = docs.prompt(
            world, asked, self.batch, tag=names["tag"], direction=0, topic_share=names["held"]
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

    def transformation(self) -> optax.GradientTransformation:
        return self.inner.transformation()

    def numbers(self) -> dict[str, Array]:
        return super().numbers() | {f"inner.{k}": v for k, v in self.inner.numbers().items()}

    def structure(self) -> Self:
        return dataclasses.replace(super().structure(), inner=self.inner.structure())

    def _with(self, numbers: dict[str, Array]) -> Self:
        stage = super()._with(numbers)
        own = {k.removeprefix("inner."): v for k, v in numbers.items() if k.startswith("inner.")}
        object.__setattr__(stage, "inner", self.inner._with(own))
        return stage
