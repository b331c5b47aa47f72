"""Runs a graph of tasks (*legs*) on an executor. If one fails, only its dependents are dropped.

A leg is any value with a `cost`, a `rank`, and the names of the legs that it comes `after`.
"""

import concurrent.futures
import functools
import heapq
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any, NamedTuple


class Ended(NamedTuple):
    """How a leg ended: with its result or its error."""

    name: str
    result: Any = None
    error: BaseException | None = None


class Inline(Executor):
    """An executor that runs each call in this process, as soon as it is submitted."""

    def submit(self, fn: Callable, /, *args: Any, **named: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(fn(*args, **named))
        except Exception as error:
            future.set_exception(error)
        return future


def first(futures: Iterable[Future]) -> Iterable[Future]:
    """Waits until one of these is done; returns all that are."""
    return concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_COMPLETED).done


def run(
    legs: Mapping[str, Any],
    work: Callable[[Any], Any],
    start: Callable[[], Executor],
    width: int,
    wait: Callable[[Iterable[Future]], Iterable[Future]] = first,
) -> Generator[Ended, None, None]:
    """Does `work` on all `legs`, at most `width` at once; yields how each ended.

    Among ready legs, the lowest rank goes first, then the one that begins the costliest chain of
    legs. If a worker is killed, which breaks the executor, `start` makes a new one. Unfinished legs
    are then submitted again, but each only once. Closing the generator stops the executor at once.
    """
    followers = defaultdict[str, list[str]](list)
    for name, leg in legs.items():
        for each in leg.after:
            followers[each].append(name)
    missing = {name: set(leg.after) for name, leg in legs.items()}  # what legs wait for
    ready: list[tuple[Any, ...]] = []
    flying: dict[Future, str] = {}
    retried: set[str] = set()
    executor, broken = start(), False

    @functools.cache
    def chain(name: str) -> float:
        """The cost of the longest chain that begins with a leg."""
        return legs[name].cost + max(map(chain, followers[name]), default=0)

    def push(name: str) -> None:
        heapq.heappush(ready, (legs[name].rank, -chain(name), name))

    def drop_followers(name: str) -> None:
        for each in followers[name]:
            if missing.pop(each, None) is not None:
                drop_followers(each)

    for name in [name for name, before in missing.items() if not before]:
        push(name)
    try:
        while ready or flying:
            while ready and len(flying) < width and not broken:
                name = heapq.heappop(ready)[-1]
                try:
                    flying[executor.submit(work, legs[name])] = name
                except BrokenExecutor:
                    broken = True
                    push(name)
            done = [] if broken else list(wait(list(flying)))
            if broken or any(isinstance(each.exception(), BrokenExecutor) for each in done):
                executor.shutdown()
                executor, broken, done = start(), False, list(flying)
            for future in done:
                name, error = flying.pop(future), future.exception()
                if isinstance(error, BrokenExecutor) and name not in retried:
                    retried.add(name)
                    push(name)
                elif error:
                    drop_followers(name)
                    yield Ended(name, error=error)
                else:
                    for each in followers[name]:
                        if each in missing:  # else it was dropped
                            missing[each].discard(name)
                            if not missing[each]:
                                push(each)
                    yield Ended(name, future.result())
    finally:
        executor.shutdown(wait=not flying, cancel_futures=True)
