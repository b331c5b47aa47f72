"""Workers: processes with one XLA thread each. With `jobs` = 1, this process does the work."""

import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path as File
from typing import Any, NamedTuple

import jax

from toylab.lab import compiled, machine, schedule
from toylab.lab.costs import Times
from toylab.lab.execute import Advance, quietly
from toylab.lab.plan import Leg, plan, rehearsal
from toylab.lab.readings import gather
from toylab.lab.records import Records
from toylab.lab.schedule import Ended
from toylab.lab.sweep import Sweep
from toylab.stages import Setup

TICK = 0.3  # seconds between checks of the workers' progress
SETTINGS = (  # jax settings that workers share
    "jax_platforms",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
    "jax_persistent_cache_enable_xla_caches",
)


def carry_out(
    legs: Mapping[str, Leg], root: File, jobs: int, advance: Advance = quietly
) -> Generator[Ended, None, None]:
    """Carries out legs on `jobs` workers (if one, in this process); yields how each ended.

    While the first model is trained, another worker compiles the ladder. Otherwise all workers
    would compile it later, at the same time.
    """
    if jobs == 1 or len(legs) < 2:
        work = functools.partial(_work, root, advance)
        yield from schedule.run(legs, work, schedule.Inline, 1)
        return
    pools: list[Pool] = []

    def start() -> Pool:
        pools.append(Pool(jobs))
        return pools[-1]

    def wait(futures: Iterable[Future]) -> Iterable[Future]:
        while True:
            done = concurrent.futures.wait(futures, TICK, "FIRST_COMPLETED").done
            advance(pools[-1].progress())
            if done:
                return done

    extra = rehearsal(legs)
    work = functools.partial(_work, root, None)
    with contextlib.closing(schedule.run({**extra, **legs}, work, start, jobs, wait)) as running:
        yield from (each for each in running if each.name not in extra)


def complete(sweep: Sweep, setups: Mapping[str, Setup], root: File) -> Records:
    """Trains and reads all of a sweep in this process. Raises the first error, at the end."""
    ended = list(carry_out(plan([(sweep, setups)], root).legs, root, 1))
    for each in ended:
        if each.error:
            raise each.error
    return gather(sweep, setups, root, sweep.seed_range)


@contextlib.contextmanager
def _held() -> Generator[None, None, None]:
    """Makes processes started inside, multiprocessing's own too, ignore Ctrl-C and SIGHUP."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Pool(ProcessPoolExecutor):
    """Spawned processes that end with this one, however it ends, and ignore Ctrl-C and SIGHUP.

    With at least as many processes as cores, each is pinned to a core. Fewer are not pinned, since
    another pool might be pinned to the same cores.
    """

    def __init__(self, jobs: int):
        context, own = multiprocessing.get_context("spawn"), machine.cores()
        with _held():
            places, self._steps = context.SimpleQueue(), context.RawArray("d", jobs)
        for place in range(jobs):
            places.put((place, own[place % len(own)] if jobs >= len(own) else None))
        self._seen = 0.0
        settings = {name: getattr(jax.config, name) for name in SETTINGS}
        super().__init__(jobs, context, _begin, (places, self._steps, settings))

    def submit(self, fn: Callable, /, *args: Any, **named: Any) -> Future:
        with _held():
            return super().submit(fn, *args, **named)

    def progress(self) -> float:
        """By how many training steps the workers have advanced since the last call."""
        before, self._seen = self._seen, sum(self._steps)
        return self._seen - before

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As in any executor. Without `wait` it kills the workers; all their writes are atomic."""
        if not wait:
            for worker in multiprocessing.active_children():
                worker.kill()
        super().shutdown(wait, cancel_futures=cancel_futures)


_advance: Advance = quietly  # of this process, if it is a worker


def _begin(places: Any, steps: Any, settings: Mapping[str, Any]) -> None:
    global _advance
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name, value in settings.items():
        jax.config.update(name, value)
    place, core = places.get()
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})

    def advance(units: float) -> None:
        steps[place] += units

    _advance = advance


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)


class Done(NamedTuple):
    """CPU seconds of a whole leg, and wall-clock seconds of its parts."""

    seconds: float
    times: Times


def _work(root: File, advance: Advance | None, leg: Leg) -> Done:
    """Runs a leg. Without `advance`, this process is a worker and reports its own progress."""
    began = time.process_time()  # CPU time: other work on the machine doesn't count
    times = leg.run(root, advance or _advance)
    compiled.drop()
    return Done(time.process_time() - began, times)
