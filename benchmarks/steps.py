"""Training tokens per second on one core at three sizes, and the share of its GEMM speed.

toylab's step also draws its documents, and updates with Muon. The others get drawn documents, and
update with AdamW. All run on one thread and process all words but the last, which has no target.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import documents, flax_gpt, timing
from benchmarks.timing import Row
from toylab.policy.transformer import ModelConfig
from toylab.stages import Context, Pretrain, Setup, begin, segments, train_key

SIZES = ((64, 2), (128, 4), (256, 4))
BATCH, ROUNDS = 64, 5


def ours(setup: Setup, count: int, *, sampled: bool = False) -> Callable[[], Any]:
    """`count` steps of pretraining; each call continues the last."""
    stage = Pretrain(steps=10**6, sampled=sampled)
    state = [begin(setup, stage, setup.init(0))]

    def work() -> Any:
        goal = int(state[0].step) + count
        ((state[0], _),) = segments(setup, stage, state[0], train_key(0, 0), [goal])
        return state[0].params

    return work


def _flax(setup: Setup, drawn: documents.Batches) -> Callable[[], Any]:
    step = flax_gpt.training(setup.model, setup.network.vocabulary, setup.network.length)

    def work() -> Any:
        for tokens, targets in zip(*drawn, strict=True):
            params = step(tokens, targets)
        return params

    return work


def _torch(setup: Setup, drawn: documents.Batches, *, compiled: bool) -> Callable[[], Any]:
    import torch

    from benchmarks import torch_gpt

    model = torch_gpt.seeded(0, setup.network)
    training = torch_gpt.Training(model, 3e-3, 10**6, compiled=compiled)
    tokens, targets = (torch.tensor(each).long() for each in drawn)

    def work() -> None:
        for each in zip(tokens, targets, strict=True):
            training.advance(*each)

    return work


def products(config: ModelConfig, vocabulary: int, length: int) -> float:
    """Floating-point operations of a step's matrix products and attention, forward and backward."""
    weights = config.layers * (4 + 2 * config.expansion) * config.width**2
    weights += config.width * vocabulary
    attention = config.layers * 2 * length * config.width
    return 3 * 2 * BATCH * length * (weights + attention)


def gemm(size: int, count: int) -> Callable[[], Any]:
    """`count` products of two square matrices, in sequence."""
    matrix = jnp.full((size, size), 1 / size)
    many = jax.jit(lambda m: jax.lax.fori_loop(0, count, lambda _, x: x @ m, m))
    return lambda: many(matrix)


def contenders(setup: Setup, count: int) -> dict[str, Callable[[], Any]]:
    """Every contender's `count` steps on the same batches."""
    drawn = documents.batches(setup, train_key(0, 0), 0, count)
    found = {"toylab": ours(setup, count), "plain flax": _flax(setup, drawn)}
    if timing.TORCH:
        found["PyTorch, eager"] = _torch(setup, drawn, compiled=False)
        found["PyTorch, compiled"] = _torch(setup, drawn, compiled=True)
    return found


def _parts(setup: Setup) -> dict[str, Callable[[], Any]]:
    """The costliest parts of a step of toylab, each compiled separately."""
    stage, params = Pretrain(), setup.init(0)
    context, key = Context(setup.network, setup.world, {}), train_key(0, 0)
    batch = stage.draw(context, params, {}, key, jnp.zeros((), jnp.int32))
    transformation = stage.transformation(setup.network)
    optimiser = transformation.init(params)
    draw = jax.jit(lambda step: stage.draw(context, params, {}, key, step))
    forward = jax.jit(lambda p: stage.loss(context, p, batch)[0])
    gradient = jax.jit(jax.grad(lambda p: stage.loss(context, p, batch)[0]))
    update = jax.jit(lambda p: transformation.update(p, optimiser, p))
    step = jnp.zeros((), jnp.int32)
    return {
        "toylab: drawing documents, and what may come": lambda: draw(step),
        "toylab: loss": lambda: forward(params),
        "toylab: loss and gradient": lambda: gradient(params),
        "toylab: Muon and Adam": lambda: update(params),
    }


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Tokens per second, ratios of time to toylab's, shares of GEMM speed, parts of a step."""
    count, rounds = (2, 1) if quick else (10, ROUNDS)
    side, times = (256, 4) if quick else (1024, 20)
    for width, layers in SIZES[:1] if quick else SIZES:
        setup, setting = documents.setup(width, layers), f"width {width}, {layers} layers"
        everybody: dict[str, Callable[[], Any]] = contenders(setup, count)
        taken = timing.seconds(everybody | {"GEMM": gemm(side, times)}, rounds)
        whole = taken.pop("GEMM")
        tokens = BATCH * (setup.network.length - 1) * count
        speed = {name: [tokens / s for s in taken[name]] for name in taken}
        yield from timing.rows("steps", setting, "training speed", "tokens/s", speed)
        yield from timing.ratios("steps", setting, "time a step", taken, "toylab")
        machine = np.asarray([2 * side**3 * times / s for s in whole])
        spent = products(setup.model, setup.network.vocabulary, setup.network.length - 1) * count
        share = {name: list(spent / np.asarray(s) / machine) for name, s in taken.items()}
        yield from timing.rows(
            "steps", setting, f"matrix products of {side} x {side}", "GFLOP/s",
            {"GEMM": list(machine / 1e9)},
        )  # fmt: skip
        yield from timing.rows("steps", setting, "share of GEMM speed", "fraction", share)
        parts = timing.seconds(_parts(setup), rounds)
        milli = {name: [1000 * s for s in all_of] for name, all_of in parts.items()}
        milli["toylab"] = [1000 * s / count for s in taken["toylab"]]
        yield from timing.rows("steps", setting, "time a step", "ms", milli)
