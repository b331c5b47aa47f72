"""The least memory that a run needs, so that one that can't fit is refused before it begins."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterable
from pathlib import Path as File

import jax

from toylab.ladder.measure import Measure
from toylab.stages import Setup, Stage
from toylab.world.grammar import vocabulary

NUMBER = 4  # bytes
WORDS = 8  # of a turn: there are a question, three phrases and more
COPIES = 4  # parameters, gradient and what an optimiser keeps


def total() -> int | None:
    """Bytes of memory of the device, or of this machine or container; None if that is unknown."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return (device.memory_stats() or {}).get("bytes_limit")
    found = []
    with contextlib.suppress(OSError, ValueError):
        lines = dict(line.split(":") for line in File("/proc/meminfo").read_text().splitlines())
        found.append(
            (int(lines["MemTotal"].split()[0]) + int(lines["SwapTotal"].split()[0])) * 1024
        )
        found.append(int(File("/sys/fs/cgroup/memory.max").read_text()))  # a container's limit
    return min(found, default=None)


def check(setup: Setup, stages: Iterable[Stage], measures: Iterable[Measure]) -> None:
    """Raises `ValueError` if a stage or measure needs more memory than there is."""
    held, word, words = *_numbers(setup), WORDS * setup.corpus.turns
    need = {each.kind: COPIES * held + int(each.batch) * words * word for each in stages}
    need |= {each.name: held + _documents(each) * words for each in measures}
    most = total() or math.inf
    for name, numbers in need.items():
        if numbers * NUMBER > most:
            told = f"{name}: would take {numbers * NUMBER / 1e9:,.0f} GB of memory or more"
            raise ValueError(f"{told}, of {most / 1e9:.0f}; make the model or its batches smaller")


def _documents(measure: Measure) -> int:
    """The largest of a measure's samples."""
    sizes = [field.name for field in dataclasses.fields(measure) if "quick" in field.metadata]
    return max((int(getattr(measure, name)) for name in sizes), default=0)


@functools.lru_cache(maxsize=64)
def _numbers(setup: Setup) -> tuple[int, int]:
    """How many parameters there are, and what training keeps of a word: logits, and what is kept
    of it to be attended to."""
    words = len(vocabulary(setup.corpus))
    network = setup.model.network(words, WORDS)
    params = jax.eval_shape(network.init, jax.random.key(0))
    cache = jax.eval_shape(lambda: network.cache(1, 1))
    held, kept = (sum(math.prod(x.shape) for x in jax.tree.leaves(t)) for t in (params, cache))
    return held, 2 * words + kept
