"""Runs a graph of tasks (*legs*) on an executor. If one fails, only its dependents are dropped.

A leg is any value with a `cost`, a `rank`, and the names of the legs that it comes `after`.
"""

import concurrent.futures
import heapq
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from graphlib import TopologicalSorter
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
            if isinstance(error.__cause__, KeyboardInterrupt):  # numpy made a ValueError of it
                raise error.__cause__ from None
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
    after = {name: leg.after for name, leg in legs.items()}
    chain = {name: leg.cost for name, leg in legs.items()}  # cost of the longest that begins there
    for name in reversed([*TopologicalSorter(after).static_order()]):
        for before in after[name]:
            chain[before] = max(chain[before], legs[before].cost + chain[name])
    place = {name: (leg.rank, -chain[name], name) for name, leg in legs.items()}
    graph, ready = TopologicalSorter(after), list[tuple[Any, ...]]()
    graph.prepare()
    flying, retried, executor = dict[Future, str](), set[str](), start()
    try:
        while True:
            for name in graph.get_ready():
                heapq.heappush(ready, place[name])
            if not ready and not flying:
                break
            try:
                while ready and len(flying) < width:
                    name = ready[0][-1]
                    flying[executor.submit(work, legs[name])] = name
                    heapq.heappop(ready)
                done = list(wait(list(flying)))
                broken = any(isinstance(each.exception(), BrokenExecutor) for each in done)
            except BrokenExecutor:  # raised by `submit`
                broken = True
            if broken:
                executor.shutdown()
                executor, done = start(), list(flying)
            for future in done:
                name, error = flying.pop(future), future.exception()
                if isinstance(error, BrokenExecutor) and name not in retried:
                    retried.add(name)
                    heapq.heappush(ready, place[name])
                elif error:
                    yield Ended(name, error=error)  # what comes after it never becomes ready
                else:
                    graph.done(name)
                    yield Ended(name, future.result())
    finally:
        executor.shutdown(wait=not flying, cancel_futures=True)
