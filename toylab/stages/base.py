"""What a stage is, and the one loop that runs them all.

A stage is a frozen dataclass. Its fields are the settings; its methods draw a batch and compute the
loss. A batch depends only on the parameters and on a key made from seed, stage and step. So a
resumed run gives the same bits as one that never stopped.
"""

import abc
import dataclasses
import functools
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from toylab.policy.network import Model, Network, Params
from toylab.stages.optimisers import KINDS, Adam, Optimiser, Scalar
from toylab.stages.traced import Traced, choice, number
from toylab.world import names, tables
from toylab.world.schema import Corpus
from toylab.world.tables import World

Metrics = dict[str, Array]
# Every use of randomness folds one of these into the seed's key first, so that no two share a key.
INIT, TRAIN, EVALUATE, MEASURE = range(4)


@dataclasses.dataclass(frozen=True)
class Setup:
    """What all runs of an experiment share: a corpus and a model's config."""

    corpus: Corpus
    model: Model

    @property
    def world(self) -> World:
        return _build(self.corpus)

    @property
    def network(self) -> Network:
        grammar = self.world.grammar
        return self.model.network(grammar.vocabulary, grammar.length)

    def init(self, seed: int) -> Params:
        key = jax.random.fold_in(jax.random.key(seed), INIT)
        return _init(self.network, key)


@functools.lru_cache(maxsize=64)
def _build(corpus: Corpus) -> World:
    with jax.ensure_compile_time_eval():  # arrays, not tracers, even if first called in a trace
        return tables.build(corpus)


@functools.partial(jax.jit, static_argnums=0)
def _init(network: Network, key: Array) -> Params:
    return network.init(key)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Context:
    """What a stage's methods are given: the network, the world, and the result of its `names`."""

    network: Network = dataclasses.field(metadata={"static": True})
    world: World
    names: dict[str, Any]

    def logits(self, params: Params, tokens: Int[Array, "B L"]) -> Float[Array, "B L-1 V"]:
        """The model's next-token logits after every token but the last."""
        return self.network.apply(params, tokens[:, :-1])[0]


class State(NamedTuple):
    """The state of training: parameters, optimiser, steps taken."""

    params: Params
    optimiser: optax.OptState
    step: Int[Array, ""]


class Diverged(ArithmeticError):
    """Training produced a loss, gradient or parameter that is not finite."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage(Traced, abc.ABC):
    """One stage of training: how to draw a batch, and the loss to minimise."""

    steps: int = number(100, help="training steps; each draws a batch")
    batch: int = choice(64, low=1, help="documents per step")
    updates: int = choice(1, low=1, high=64, help="optimiser updates on each draw")
    learning_rate: float = number(3e-4, help="peak learning rate")
    optimiser: Optimiser = dataclasses.field(default=Adam(), metadata=KINDS)

    @property
    def label(self) -> str:
        """A readable name, part of the name of a run's folder."""
        return self.kind

    @property
    def needs_reference(self) -> bool:
        """Whether the stage needs the parameters from before its first step."""
        return False

    def lasting(self, steps: int) -> Self:
        """The same stage with another number of steps."""
        return dataclasses.replace(self, steps=steps)

    def check(self, corpus: Corpus) -> None:
        """Raises `ValueError` if the stage names something that the corpus lacks."""
        names.check(self, corpus, self.kind)

    def names(self, corpus: Corpus) -> dict[str, Any]:
        """The fields that name parts of a corpus, resolved to pytrees of arrays."""
        return {}

    @abc.abstractmethod
    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Any:
        """The batch of a step. `key` is the same at every step: fold `step` into it.

        `reference` has the parameters before the first step; empty unless `needs_reference`.
        """

    @abc.abstractmethod
    def loss(self, context: Context, params: Params, batch: Any) -> tuple[Array, Metrics]:
        """The scalar to minimise, and what to log."""

    def schedule(self, peak: Scalar) -> optax.ScalarOrSchedule:
        """The learning rate, given its peak: constant by default."""
        return peak

    def transformation(self, network: Network) -> optax.GradientTransformation:
        return self.optimiser.transformation(self.learning_rate, self.schedule, network.tables)


def topic_shares(corpus: Corpus, topics: Collection[int]) -> Float[Array, " topic"]:
    """1 for each topic with one of these indices, else 0."""
    return jnp.array([place in topics for place in range(len(corpus.topics))], jnp.float32)


def begin(setup: Setup, stage: Stage, params: Params) -> State:
    """The state before a stage's first step."""
    return _begin(stage.structure(), setup.network, stage.numbers(), params)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _begin(structure: Stage, network: Network, numbers: dict[str, Any], params: Params) -> State:
    optimiser = structure.trace(numbers).transformation(network).init(params)
    return State(params, optimiser, jnp.zeros((), jnp.int32))


def train_key(seed: int, position: int) -> Array:
    """The key of the stage at `position` in a run, where 0 is the first stage."""
    key = jax.random.fold_in(jax.random.key(seed), TRAIN)
    return jax.random.fold_in(key, position)


# The state is not donated: a caller may keep what was yielded. Copying it costs 1.5 MB per call.
@functools.partial(jax.jit, static_argnums=0)
def _advance(
    structure: Stage,
    numbers: dict[str, Any],
    context: Context,
    reference: Params,
    key: Array,
    state: State,
    until: Array,
) -> tuple[State, Metrics]:
    stage = structure.trace(numbers)
    transformation = stage.transformation(context.network)

    @functools.partial(jax.jit, inline=True)  # `eval_shape` and the loop share one trace
    def one(state: State) -> tuple[State, Metrics]:
        batch = stage.draw(context, state.params, reference, key, state.step)
        gradient = jax.value_and_grad(
            lambda params: stage.loss(context, params, batch), has_aux=True
        )
        params, optimiser, told = state.params, state.optimiser, []
        for _ in range(stage.updates):
            (loss, metrics), grads = gradient(params)
            updates, optimiser = transformation.update(grads, optimiser, params)
            params = optax.apply_updates(params, updates)
            told.append(metrics | {"loss": loss, "gradient_norm": optax.global_norm(grads)})
        means = jax.tree.map(lambda *each: functools.reduce(jnp.add, each) / len(each), *told)
        return State(params, optimiser, state.step + 1), means

    blank = jax.tree.map(jnp.zeros_like, jax.eval_shape(one, state)[1])

    def body(carry: tuple[State, Metrics]) -> tuple[State, Metrics]:
        state, total = carry
        state, metrics = one(state)
        return state, jax.tree.map(jnp.add, total, metrics)

    first = state.step
    state, total = jax.lax.while_loop(lambda c: c[0].step < until, body, (state, blank))
    taken = jnp.maximum(state.step - first, 1)
    return state, jax.tree.map(lambda value: value / taken, total)


_norm = jax.jit(optax.global_norm)  # one compiled program instead of forty small ones


def segments(
    setup: Setup,
    stage: Stage,
    state: State,
    key: Array,
    at: Iterable[int],
    reference: Params | None = None,
) -> Iterator[tuple[State, Metrics]]:
    """Runs a stage; yields the state at each step in `at`, and mean metrics since the last yield.

    Skips steps that the state has already taken. Raises `TypeError` if the stage needs a
    `reference` and gets none, and `Diverged` if a loss, gradient or parameter is not finite.
    """
    if stage.needs_reference and not reference:
        raise TypeError(f"{stage.kind} needs the parameters that it started from")
    reference = reference if stage.needs_reference and reference else {}
    structure, numbers = stage.structure(), stage.numbers()
    context = Context(setup.network, setup.world, stage.names(setup.corpus))
    for point in sorted(at):
        before = int(state.step)
        if point <= before:
            continue
        state, metrics = _advance(
            structure, numbers, context, reference, key, state, jnp.asarray(point, jnp.int32)
        )
        watched = (metrics["loss"], metrics["gradient_norm"], _norm(state.params))
        if not np.isfinite(watched).all():
            raise Diverged(
                f"{stage.kind} diverged between steps {before} and {point} "
                f"(loss {float(metrics['loss'])}); lower its learning rate"
            )
        yield state, metrics
