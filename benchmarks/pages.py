"""How much faster is a reading with launch.sh's settings, which make glibc keep freed memory?

glibc reads its settings when a process starts. So each contender is a separate process, which
compiles, reads once, and then times a few readings.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import timing
from benchmarks.timing import Row

ROUNDS, READINGS = 3, 5
ROOT = Path(__file__).parent.parent
KEPT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
}  # as launch.sh sets them
TIMED = """
import json, resource, sys, time, jax
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
from benchmarks import documents, reading
from toylab.ladder.reading import LadderFit
view = reading.untrained(documents.setup(), LadderFit())
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def timed():
    began, before = time.perf_counter(), faults()
    jax.block_until_ready(LadderFit()(view, reading.KEY))
    return time.perf_counter() - began, faults() - before
timed()
print(json.dumps([timed() for _ in range(int(sys.argv[2]))]))
"""


def measure(settings: Mapping[str, str], cache: str, readings: int) -> tuple[float, float]:
    """Median seconds and page faults of a live reading, in a process with these glibc settings."""
    environment = {name: value for name, value in os.environ.items() if name not in KEPT}
    command = [sys.executable, "-c", TIMED, cache, str(readings)]
    done = subprocess.run(
        command, check=True, cwd=ROOT, env=environment | settings, stdout=subprocess.PIPE, text=True
    )
    seconds, faults = zip(*json.loads(done.stdout), strict=True)
    return statistics.median(seconds), statistics.median(faults)


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Seconds and page faults of a live reading with pages kept and given back, and the ratio."""
    contenders = {"pages kept": KEPT, "pages given back": {}}
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    faults: dict[str, list[float]] = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as cache:
        for turn in range(1 if quick else ROUNDS):
            for name in list(contenders)[:: -1 if turn % 2 else 1]:
                seconds, count = measure(contenders[name], cache, 1 if quick else READINGS)
                taken[name].append(seconds)
                faults[name].append(count)
    yield from timing.rows("pages", "live reading", "time", "s", taken)
    yield from timing.rows("pages", "live reading", "page faults", "faults", faults)
    yield from timing.ratios("pages", "live reading", "time", taken, "pages kept")
