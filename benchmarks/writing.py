"""Sampling, in documents per second: toylab constrained to the grammar, PyTorch unconstrained."""

from collections.abc import Iterator, Sequence

import jax

from benchmarks import documents, timing
from benchmarks.timing import Row
from toylab.policy import sampling
from toylab.world import documents as docs

DOCUMENTS, ROUNDS = 512, 7


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Documents per second, and the ratio."""
    setup, size = documents.setup(), 32 if quick else DOCUMENTS
    params, key = setup.init(0), jax.random.key(0)
    what = docs.prompt(setup.world, key, size)
    ours = jax.jit(
        lambda params: (
            sampling.generate(setup.network, params, setup.world.grammar, what, key)[0].tokens
        )
    )
    everybody = {"toylab, constrained": lambda: ours(params)}
    if timing.TORCH:
        import torch

        from benchmarks import torch_gpt

        model = torch_gpt.seeded(0, setup.network).eval()
        first = torch.zeros(size, dtype=torch.long)
        everybody["PyTorch, cached"] = lambda: model.generate(first)
    taken = timing.seconds(everybody, 1 if quick else ROUNDS)
    speed = {name: [size / s for s in all_of] for name, all_of in taken.items()}
    setting = f"{size} documents of {setup.network.length} words"
    yield from timing.rows("writing", setting, "sampling speed", "documents/s", speed)
    yield from timing.ratios("writing", setting, "sampling time", taken, "toylab, constrained")
