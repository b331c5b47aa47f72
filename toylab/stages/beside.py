"""Runs of one structure side by side, in one program: seeds and arms, for a device that is wide.

What tells such runs apart is traced already: a stage's numbers and names, reference, key and state.
"""

import functools
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from toylab.policy.network import Network, Params
from toylab.stages.base import Context, Metrics, Setup, Stage, State, _advance
from toylab.world.tables import World

T = TypeVar("T")


def advance(
    setup: Setup,
    stages: Sequence[Stage],
    states: Sequence[State],
    keys: Sequence[Array],
    until: int,
    references: Sequence[Params] = (),
) -> list[tuple[State, Metrics]]:
    """Takes every run to the step `until`; returns its state and its mean metrics on the way.

    The runs are at one step, of one setup and of stages of one structure, else `ValueError`.
    Nothing is checked for being finite: one that diverges leaves the others as they are.
    """
    structures, steps = {stage.structure() for stage in stages}, {int(s.step) for s in states}
    if len(structures) > 1 or len(steps) > 1:
        raise ValueError("runs side by side must be of one structure and at one step")
    state, metrics = _together(
        stages[0].structure(),
        setup.network,
        setup.world,
        stack([stage.numbers() for stage in stages]),
        stack([stage.names(setup.corpus) for stage in stages]),
        stack(references or [{} for _ in stages]),
        jnp.stack(keys),
        stack(states)._replace(step=states[0].step),
        jnp.asarray(until, jnp.int32),
    )
    return [
        (State(*_lane((state.params, state.optimiser), lane), state.step), _lane(metrics, lane))
        for lane in range(len(stages))
    ]


def stack(trees: Sequence[T]) -> T:
    """Trees of one structure as one, with a first axis over them."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _lane(tree: T, lane: int) -> T:
    return jax.tree.map(lambda leaf: leaf[lane], tree)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _together(
    structure: Stage,
    network: Network,
    world: World,
    numbers: dict[str, Any],
    names: dict[str, Any],
    reference: Params,
    key: Array,
    state: State,
    until: Array,
) -> tuple[State, Metrics]:
    def one(numbers: Any, names: Any, *rest: Any) -> tuple[State, Metrics]:
        return _advance(structure, numbers, Context(network, world, names), *rest, until)

    lanes: Any = State(0, 0, None)  # type: ignore[arg-type]  # one step for all: a loop, no masks
    together = jax.vmap(one, in_axes=(0, 0, 0, 0, lanes), out_axes=(lanes, 0))
    return together(numbers, names, reference, key, state)
