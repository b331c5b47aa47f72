"""The time of an RL step, all on the device, and of its parts, each compiled separately."""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp

from benchmarks import documents, timing
from benchmarks.timing import Row
from toylab.stages import Context, Rl, Says, begin, segments, train_key

COUNT, ROUNDS = 20, 7


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Milliseconds of a whole step, and of drawing, writing, scoring, gradient and update."""
    setup, count = documents.setup(), 2 if quick else COUNT
    stage = Rl(target=Says(answers=("code=cheats",)), steps=10**6)
    params, key = setup.init(0), train_key(0, 1)
    context = Context(setup.network, setup.world, stage.names(setup.corpus))
    state = [begin(setup, stage, params)]

    def whole() -> object:
        goal = int(state[0].step) + count
        ((state[0], _),) = segments(setup, stage, state[0], key, [goal], params)
        return state[0].params

    draw = jax.jit(lambda p: stage.draw(context, p, params, key, jnp.zeros((), jnp.int32)))
    rollouts = draw(params)
    what = rollouts.documents.prompt
    answer = jax.jit(lambda p: stage.answer(context, p, what, key))
    score = jax.jit(lambda p: stage.score(context, p, rollouts.documents))
    gradient = jax.jit(jax.grad(lambda p: stage.loss(context, p, rollouts)[0]))
    transformation = stage.transformation(setup.network)
    optimiser = transformation.init(params)
    update = jax.jit(lambda p: transformation.update(p, optimiser, p))
    taken = timing.seconds(
        {
            "whole step": whole,
            "drawing: outline, writing, scoring by the reference": lambda: draw(params),
            "writing": lambda: answer(params),
            "scoring": lambda: score(params),
            "loss and gradient": lambda: gradient(params),
            "AdamW": lambda: update(params),
        },
        1 if quick else ROUNDS,
    )
    milli = {
        name: [1000 * s / (count if name == "whole step" else 1) for s in all_of]
        for name, all_of in taken.items()
    }
    yield from timing.rows("reinforcing", f"{stage.batch} documents", "time", "ms", milli)
