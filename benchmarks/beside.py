"""Several runs (seeds, arms) in one vectorised program, for a device that one run can't fill.

They differ only in what jax traces: the stage's numbers and names, reference, key and state.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from toylab.policy.network import Network, Params
from toylab.stages.base import Context, Metrics, Setup, Stage, State, _advance
from toylab.world.tables import World


def advance(
    setup: Setup,
    stages: Sequence[Stage],
    states: Sequence[State],
    keys: Sequence[Array],
    until: int,
    references: Sequence[Params] = (),
) -> list[tuple[State, Metrics]]:
    """Trains every run up to the step `until`; returns the state and mean metrics of each.

    Raises `ValueError` unless all stages have the same structure and all states the same step.
    A run that diverges raises no error, and does not affect the others.
    """
    structures, steps = {stage.structure() for stage in stages}, {int(s.step) for s in states}
    if len(structures) > 1 or len(steps) > 1:
        raise ValueError("runs side by side must be of one structure and at one step")
    return _together(
        stages[0].structure(),
        setup.network,
        setup.world,
        [stage.numbers() for stage in stages],
        [stage.names(setup.corpus) for stage in stages],
        references or [{} for _ in stages],
        keys,
        states,
        jnp.asarray(until, jnp.int32),
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _together(
    structure: Stage,
    network: Network,
    world: World,
    numbers: Sequence[dict[str, Any]],
    names: Sequence[dict[str, Any]],
    references: Sequence[Params],
    keys: Sequence[Array],
    states: Sequence[State],
    until: Array,
) -> list[tuple[State, Metrics]]:
    """See `advance`. Stacking is compiled, too: outside it would be hundreds of small calls."""

    def one(numbers: Any, names: Any, *rest: Any) -> tuple[State, Metrics]:
        return _advance(structure, numbers, Context(network, world, names), *rest, until)

    def stacked(trees: Sequence[Any]) -> Any:
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    lanes: Any = State(0, 0, None)  # type: ignore[arg-type]  # one step for all, so vmap masks none
    together = jax.vmap(one, in_axes=(0, 0, 0, 0, lanes), out_axes=(lanes, 0))
    state, metrics = together(
        *map(stacked, (numbers, names, references, keys)),
        stacked(states)._replace(step=states[0].step),
    )

    def lane(place: int) -> tuple[State, Metrics]:
        params, optimiser, told = jax.tree.map(
            lambda leaf: leaf[place], (state.params, state.optimiser, metrics)
        )
        return State(params, optimiser, state.step), told

    return [lane(place) for place in range(len(states))]
