"""What this machine has: cores, memory, and the device on which jax computes."""

import contextlib
import dataclasses
import functools
import math
import os
from collections.abc import Iterable
from pathlib import Path as File

import jax

from toylab import gpu_there
from toylab.ladder.measure import Measure
from toylab.stages import Setup, Stage
from toylab.world.grammar import vocabulary

WORKER = 2**30  # bytes of available memory needed per worker
NUMBER = 4  # bytes per float
WORDS = 8  # assumed per turn: a question, three phrases and more
COPIES = 4  # parameters, gradient and what an optimiser keeps


def device_missing() -> str:
    """A message if jax lacks the device that JAX_PLATFORMS asks for; else empty."""
    try:
        jax.devices()
    except Exception:  # a RuntimeError or, where no platform is known, an AssertionError
        asked = os.environ.get("JAX_PLATFORMS")
        return f"JAX_PLATFORMS={asked}: jax finds no such device; unset it{_or_install()}"
    return ""


def gpu_unused() -> str:
    """A message if jax uses the CPU, without being told to, although there is a GPU; else empty."""
    if not gpu_there() or os.environ.get("JAX_PLATFORMS") or jax.default_backend() != "cpu":
        return ""
    return f"jax doesn't use the GPU; set JAX_PLATFORMS=cpu if that is intended{_or_install()}"


def _or_install() -> str:
    return ", or add what it needs: ./launch.sh --gpu" if gpu_there() else ""


def cores() -> list[int]:
    """The cores that this process may use. On some systems only their number is right."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def memory(*kinds: str) -> int | None:
    """Bytes of memory: the sum of these fields of /proc/meminfo, or a container's limit if lower.

    For `MemAvailable`, what the container uses is subtracted from its limit. None if the system
    doesn't say.
    """
    found = []
    with contextlib.suppress(OSError, ValueError):
        lines = dict(line.split(":") for line in File("/proc/meminfo").read_text().splitlines())
        found.append(1024 * sum(int(lines[kind].split()[0]) for kind in kinds))
        most, taken = (
            int(File("/sys/fs/cgroup", f"memory.{each}").read_text()) for each in ("max", "current")
        )
        found.append(most - taken * ("MemAvailable" in kinds))
    return min(found, default=None)


def default_jobs() -> int:
    """The number of workers: one per core, fewer if memory is short, one if not on a CPU."""
    if jax.default_backend() != "cpu":
        return 1
    free = memory("MemAvailable")
    return max(1, min(len(cores()), free // WORKER if free is not None else len(cores())))


def check(setup: Setup, stages: Iterable[Stage], measures: Iterable[Measure]) -> None:
    """Raises `ValueError` if a stage or measure is sure to need more memory than there is."""
    held, word, words = *_numbers(setup), WORDS * setup.corpus.turns
    need = {each.kind: COPIES * held + int(each.batch) * words * word for each in stages}
    for each in measures:
        sizes = [field.name for field in dataclasses.fields(each) if "quick" in field.metadata]
        largest = max((int(getattr(each, name)) for name in sizes), default=0)
        need[each.name] = held + largest * words
    device = jax.devices()[0]
    most = memory("MemTotal", "SwapTotal")
    if device.platform != "cpu":
        most = (device.memory_stats() or {}).get("bytes_limit")
    for name, numbers in need.items():
        if numbers * NUMBER > (most or math.inf):
            told = f"{name}: needs {numbers * NUMBER / 1e9:,.0f} GB of memory or more"
            raise ValueError(
                f"{told}, but there are {(most or 0) / 1e9:.0f}; make model or batches smaller"
            )


@functools.lru_cache(maxsize=64)
def _numbers(setup: Setup) -> tuple[int, int]:
    """The number of parameters, and of floats per word in training (logits, keys, values)."""
    words = len(vocabulary(setup.corpus))
    network = setup.model.network(words, WORDS)
    params = jax.eval_shape(network.init, jax.random.key(0))
    cache = jax.eval_shape(lambda: network.cache(1, 1))
    held, kept = (sum(math.prod(x.shape) for x in jax.tree.leaves(t)) for t in (params, cache))
    return held, 2 * words + kept
