"""Time from process start to an answer: help, a typo, the first step of training."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import timing
from benchmarks.timing import Row

ROUNDS = 3
ROOT = Path(__file__).parent.parent
LINES = {
    "help": "selection --help",
    "mistyped name": "selectoin",
    "mistyped flag": "selection --sed=5",
    "mistyped stage": "run --corpus=village --stages=pretrain,stf:mira",
    "list": "list",
}
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
    subprocess.run([sys.executable, "-c", FIRST_STEP, cache], check=True, cwd=ROOT)
    return time.perf_counter() - began


def _answer(line: str) -> float:
    began = time.perf_counter()
    subprocess.run(["./launch.sh", *line.split()], cwd=ROOT, capture_output=True)
    return time.perf_counter() - began


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Seconds to each answer; to a first step cold and warm, and their ratio."""
    for line in LINES.values():
        _answer(line)  # fills the cache for the timed calls
    answers = {
        name: [_answer(line) for _ in range(1 if quick else ROUNDS)] for name, line in LINES.items()
    }
    yield from timing.rows("starting", "./launch.sh", "time to the answer", "s", answers)
    taken: dict[str, list[float]] = {"cold": [], "warm": []}
    for _ in range(1 if quick else ROUNDS):
        with tempfile.TemporaryDirectory() as cache:
            taken["cold"].append(_start(cache))
            taken["warm"].append(_start(cache))
    yield from timing.rows("starting", "first step", "time from process start", "s", taken)
    yield from timing.ratios("starting", "first step", "time from process start", taken, "cold")
