"""Contenders timed side by side, in the same minutes on the same machine."""

import importlib.util
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

TORCH = importlib.util.find_spec("torch") is not None  # the optional baseline


class Row(NamedTuple):
    """A number of a benchmark; `low` and `high` are the extremes of `repeats`."""

    part: str
    setting: str
    contender: str
    quantity: str
    unit: str
    value: float
    low: float
    high: float
    repeats: int


def seconds(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in every round, after one call to compile each.

    On a CPU they are CPU seconds: all contenders use one thread, and other work on the machine
    hardly counts. Odd rounds reverse the order, so that none always follows the same contender.
    """
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    for work in contenders.values():
        jax.block_until_ready(work())
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        for name in list(contenders)[:: -1 if turn % 2 else 1]:
            began = clock()
            jax.block_until_ready(contenders[name]())
            taken[name].append(clock() - began)
    return taken


def rows(
    part: str, setting: str, quantity: str, unit: str, values: Mapping[str, list[float]]
) -> Iterator[Row]:
    """A row for each contender, with the median."""
    for name, all_of in values.items():
        yield Row(
            part, setting, name, quantity, unit,
            statistics.median(all_of), min(all_of), max(all_of), len(all_of),
        )  # fmt: skip


def ratios(
    part: str, setting: str, quantity: str, values: Mapping[str, list[float]], of: str
) -> Iterator[Row]:
    """The others' values as multiples of contender `of`'s, round by round."""
    times = {
        f"{name} / {of}": list(np.asarray(taken) / np.asarray(values[of]))
        for name, taken in values.items()
        if name != of
    }
    yield from rows(part, setting, quantity, "times", times)


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "devices": [device.device_kind for device in jax.devices()],
        "load before": round(os.getloadavg()[0], 2),
    }
