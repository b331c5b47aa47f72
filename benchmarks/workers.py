"""How much faster are several workers? Simulated for all experiments, measured for two.

The simulated workers carry out the tasks (legs) of `all`, from scratch. Time is in units
of a training step. How long readings take was measured before (`runs/costs.json`).
"""

import dataclasses
import heapq
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.timing import Row
from toylab.lab import execute, experiments, machine, schedule, workers
from toylab.lab.costs import Costs
from toylab.lab.plan import Leg, plan
from toylab.shell.everything import order
from toylab.shell.experiment import corpus
from toylab.shell.files import RUNS

WORKERS = (1, 2, 4, 8, 16, 32)
SEEDS, SCRATCH = 4, 1000


class Simulated(Executor):
    """Workers that take `leg.cost` on a simulated clock, `now`, which `wait` moves forward."""

    def __init__(self, workers: int):
        self.now, self._free = 0.0, [0.0] * workers
        self._ends: list[tuple[float, int, Future]] = []

    def submit(self, fn: Callable, /, *args: Any, **named: Any) -> Future:
        (leg,), future = args, Future[Any]()
        end = max(heapq.heappop(self._free), self.now) + leg.cost
        heapq.heappush(self._free, end)
        heapq.heappush(self._ends, (end, id(future), future))
        return future

    def wait(self, futures: Iterable[Future]) -> list[Future]:
        """Lets time pass until the next leg ends."""
        self.now, _, future = heapq.heappop(self._ends)
        future.set_result(None)
        return [future]


def replayed(legs: Mapping[str, Leg], count: int) -> float:
    """How long `count` workers take for these legs."""
    executor = Simulated(count)
    for _ in schedule.run(legs, print, lambda: executor, count, executor.wait):
        pass
    return executor.now


def everything() -> Mapping[str, Leg]:
    """The legs of `all`, as if nothing had been done."""
    sweeps = [experiments.sweep_of(experiments.HOME / name) for name in order(long=False)]
    asked = [(sweep, sweep.setups(corpus)) for sweep in sweeps]
    return plan(asked, RUNS / "nothing yet", Costs(RUNS)).legs


def taken(seeds: int, jobs: int) -> float:
    """Seconds for these whole seeds of `selection` from scratch, with the start of processes."""
    sweep = experiments.sweep_of(experiments.HOME / "selection")
    sweep = dataclasses.replace(sweep, seeds=seeds, first_seed=SCRATCH)
    with tempfile.TemporaryDirectory() as root:
        legs = plan([(sweep, sweep.setups(corpus))], Path(root)).legs
        began = time.perf_counter()
        for ended in workers.carry_out(legs, Path(root), jobs):
            if ended.error:
                raise ended.error
        return time.perf_counter() - began


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Speed-ups in the simulation; how much faster two workers are than one."""
    legs = everything()
    alone = replayed(legs, 1)
    for count in WORKERS[1:]:
        faster = {f"{count} workers / 1": [alone / replayed(legs, count)]}
        yield from timing.rows("workers", "all, replayed", "speed-up", "times", faster)
    if quick or len(machine.cores()) < 2:
        return
    execute.keep_compiled(RUNS)
    taken(1, 2)  # compiles
    faster = {"2 workers / 1": [taken(SEEDS, 1) / taken(SEEDS, 2)]}
    yield from timing.rows("workers", f"selection, {SEEDS} seeds", "speed-up", "times", faster)
