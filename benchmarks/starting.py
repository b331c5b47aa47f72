"""From process start to the end of the first training step, with a cold and a warm cache."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import timing
from benchmarks.timing import Row

ROUNDS = 3
FIRST_STEP = """
import sys, jax
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
from benchmarks import documents
from toylab.stages import Pretrain, begin, segments, train_key
setup, stage = documents.setup(), Pretrain()
((state, _),) = segments(setup, stage, begin(setup, stage, setup.init(0)), train_key(0, 0), [1])
jax.block_until_ready(state)
"""


def _start(cache: str) -> float:
    began = time.perf_counter()
    root = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", FIRST_STEP, cache], check=True, cwd=root)
    return time.perf_counter() - began


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Seconds cold and warm, and the ratio."""
    taken: dict[str, list[float]] = {"cold": [], "warm": []}
    for _ in range(1 if quick else ROUNDS):
        with tempfile.TemporaryDirectory() as cache:
            taken["cold"].append(_start(cache))
            taken["warm"].append(_start(cache))
    yield from timing.rows("starting", "first step", "time from process start", "s", taken)
    yield from timing.ratios("starting", "first step", "time from process start", taken, "cold")
