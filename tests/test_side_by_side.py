"""Runs side by side: each is trained as it would be alone."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import pytest

from benchmarks.beside import advance
from toylab.stages import Dpo, Persona, Pretrain, Setup, Sft, Stage, begin, segments, train_key

SIZES = {"steps": 20, "batch": 8}
SFT = [Sft(author=a, learning_rate=r, **SIZES) for a in ("ada", "bob") for r in (3e-4, 1e-3)]
DPO = [Dpo(target=Persona(character=a), beta=b, **SIZES) for a in ("ada", "bob") for b in (0.1, 1)]


# Adam divides by the size of a gradient. Where DPO's is a rounding error, steps differ.
@pytest.mark.parametrize(
    ("stages", "within"),
    [
        pytest.param(4 * [Pretrain(**SIZES)], 1e-5, id="pretrain"),
        pytest.param(SFT, 1e-5, id="sft", marks=pytest.mark.slow),
        pytest.param(DPO, 1e-4, id="dpo", marks=pytest.mark.slow),
    ],
)
def test_four_together_are_what_each_is_alone(
    setup: Setup, stages: Sequence[Stage], within: float
) -> None:
    params = [setup.init(seed) for seed in range(4)]
    states = [begin(setup, stage, each) for stage, each in zip(stages, params, strict=True)]
    keys = [train_key(seed, 0) for seed in range(4)]
    references = params if stages[0].needs_reference else ()
    together = advance(setup, stages, states, keys, 3, references)
    for lane, stage in enumerate(stages):
        ((state, metrics),) = segments(setup, stage, states[lane], keys[lane], [3], params[lane])
        assert int(together[lane][0].step) == 3
        assert largest(together[lane][0].params, state.params) < within
        assert largest(together[lane][1], metrics) < 1e-5


def test_runs_at_different_steps_or_of_different_structure_are_refused(setup: Setup) -> None:
    short, long = Pretrain(batch=8), Pretrain(batch=16)
    states, keys = [begin(setup, short, setup.init(s)) for s in (0, 1)], [train_key(0, 0)] * 2
    with pytest.raises(ValueError, match="one structure and at one step"):
        advance(setup, [short, long], states, keys, 3)
    ahead = states[1]._replace(step=jnp.ones((), jnp.int32))
    with pytest.raises(ValueError, match="one structure and at one step"):
        advance(setup, [short, short], [states[0], ahead], keys, 3)


def largest(one: object, other: object) -> float:
    """The largest difference between two trees of arrays."""
    apart = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), one, other)
    return float(max(jax.tree.leaves(apart)))
