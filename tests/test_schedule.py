"""The order of legs, and what a failure drops, on an executor with a simulated clock."""

import dataclasses
import heapq
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path
from typing import Any

import pytest

from benchmarks import workers as benchmark
from toylab.lab import experiments, schedule
from toylab.lab.plan import Read, Train, plan, rehearsal
from toylab.lab.schedule import Ended, Inline
from toylab.shell.experiment import corpus


@dataclasses.dataclass(frozen=True)
class Leg:
    name: str
    after: frozenset[str] = frozenset()
    cost: float = 1.0
    rank: tuple[int, ...] = (0,)


def graph(*legs: Leg) -> dict[str, Leg]:
    return {leg.name: leg for leg in legs}


def leg(name: str, after: str = "", cost: float = 1.0, rank: int = 0) -> Leg:
    return Leg(name, frozenset(after.split()), cost, (rank,))


class Simulated(Executor):
    """Workers that need `cost` seconds for a leg. The clock moves during `wait`."""

    def __init__(self, workers: int, fate: Callable[[Leg], BaseException | None] = lambda _: None):
        self.free, self.fate, self.now = [0.0] * workers, fate, 0.0
        self.log: list[tuple[float, float, str]] = []
        self.ends: dict[Future, tuple[float, Leg]] = {}

    def submit(self, fn: Callable, /, *args: Any, **named: Any) -> Future:
        (leg,), future = args, Future[Any]()
        begins = max(heapq.heappop(self.free), self.now)
        heapq.heappush(self.free, begins + leg.cost)
        self.log.append((begins, begins + leg.cost, leg.name))
        self.ends[future] = begins + leg.cost, leg
        return future

    def end(self, future: Future) -> None:
        _, leg = self.ends.pop(future)
        error = self.fate(leg)
        future.set_exception(error) if error else future.set_result(leg.name)
        if isinstance(error, BrokenExecutor):  # like a pool: no leg comes back
            for each in [*self.ends]:
                each.set_exception(BrokenExecutor())
            self.ends.clear()

    def wait(self, futures: Iterable[Future]) -> list[Future]:
        first = min(futures, key=lambda each: self.ends[each][0])
        self.now = self.ends[first][0]
        self.end(first)
        return [first]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        assert not self.ends or not wait


def simulate(legs: dict[str, Leg], executor: Simulated, width: int) -> list[Ended]:
    return list(schedule.run(legs, id, lambda: executor, width, executor.wait))


def names(executor: Simulated) -> list[str]:
    return [name for *_, name in executor.log]


def test_a_leg_begins_after_those_that_it_builds_on() -> None:
    legs = graph(
        leg("read", "train base"),
        leg("train", "pretrain"),
        leg("pretrain"),
        leg("base", "pretrain"),
    )
    executor = Simulated(4)
    ended = simulate(legs, executor, 4)
    assert len(ended) == 4
    when = {name: (begins, ends) for begins, ends, name in executor.log}
    for each in legs.values():
        assert all(when[name][1] <= when[each.name][0] for name in each.after)


def test_earlier_seeds_go_first_and_within_a_seed_the_longest_chain() -> None:
    legs = graph(
        leg("late", cost=9, rank=1),
        leg("short", cost=3),
        leg("begin", cost=1),
        leg("end", "begin", cost=4),
    )
    executor = Simulated(1)
    simulate(legs, executor, 1)
    assert names(executor) == ["begin", "end", "short", "late"]


def test_a_failure_drops_what_builds_on_it_and_nothing_else() -> None:
    legs = graph(
        leg("bad"), leg("good"), leg("both", "bad good"), leg("beyond", "both"), leg("fine", "good")
    )
    executor = Simulated(2, lambda leg: ArithmeticError("diverged") if leg.name == "bad" else None)
    ended = {each.name: each for each in simulate(legs, executor, 2)}
    assert set(ended) == {"bad", "good", "fine"}
    assert str(ended["bad"].error) == "diverged"


@pytest.mark.parametrize(("kills", "failed"), [(1, []), (2, ["a"])])
def test_what_a_killed_worker_had_in_hand_is_done_again_once(kills: int, failed: list[str]) -> None:
    left = [kills]

    def fate(leg: Leg) -> BaseException | None:
        if leg.name != "a" or not left[0]:
            return None
        left[0] -= 1
        return BrokenExecutor("killed")

    # b ends before a does, so only a is in flight twice.
    legs = graph(leg("a", cost=3), leg("b", cost=2), leg("c", "a"), leg("d", "b", rank=1))
    executor, started = Simulated(2, fate), list[Simulated]()

    def start() -> Simulated:
        started.append(executor)
        return executor

    ended = list(schedule.run(legs, id, start, 2, executor.wait))
    assert [each.name for each in ended if each.error] == failed
    assert {each.name for each in ended if not each.error} == {*legs} - (
        {"a", "c"} if failed else set()
    )
    assert len(started) == 1 + kills


def test_inline_does_each_leg_as_it_is_handed_over() -> None:
    def work(leg: Leg) -> float:
        return 1 / leg.cost

    legs = graph(leg("a"), leg("b", "a", cost=0), leg("c", "a", cost=2))
    ended = {each.name: each for each in schedule.run(legs, work, Inline, 1)}
    assert ended["c"].result == 0.5
    assert isinstance(ended["b"].error, ZeroDivisionError)


def test_a_caller_that_stops_leaves_nothing_running() -> None:
    stopped: list[bool] = []

    class Watched(Simulated):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            stopped.append(wait)

    executor = Watched(2)
    running: Iterator[Ended] = schedule.run(
        graph(leg("a"), leg("b")), id, lambda: executor, 2, executor.wait
    )
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert stopped == [False]


@pytest.mark.slow
def test_eight_workers_do_all_experiments_in_less_than_a_seventh_of_the_time() -> None:
    legs = benchmark.everything()
    assert benchmark.replayed(legs, 1) == sum(leg.cost for leg in legs.values())
    assert benchmark.replayed(legs, 1) / benchmark.replayed(legs, 8) > 7


def test_a_worker_pretrains_the_next_seed_while_another_reads(tmp_path: Path) -> None:
    """Five seeds on two workers, with measured costs: workers hardly ever wait."""
    sweep = experiments.sweep_of(experiments.HOME / "selection")
    planned = plan([(sweep, sweep.setups(corpus))], tmp_path).legs
    costs = {
        name: (4 if leg.path.parent else 43) if isinstance(leg, Train) else 2
        for name, leg in planned.items()
    }
    legs = {name: dataclasses.replace(leg, cost=costs[name]) for name, leg in planned.items()}
    assert benchmark.replayed(legs, 2) <= 0.51 * benchmark.replayed(legs, 1)


def test_the_ladder_is_compiled_while_the_first_model_is_trained(tmp_path: Path) -> None:
    sweep = experiments.sweep_of(experiments.HOME / "selection")
    legs = plan([(sweep, sweep.setups(corpus))], tmp_path).legs
    (leg,) = rehearsal(legs).values()
    assert leg.rank < min(each.rank for each in legs.values())
    assert not leg.after
    assert set(leg.measures) == {sweep.reading, *sweep.watch}  # every ladder that will be read
    trained = {
        name: dataclasses.replace(each, after=frozenset())
        for name, each in legs.items()
        if isinstance(each, Read)
    }
    assert not rehearsal(trained)  # nobody waits for pretraining, so the first reading compiles


def test_a_stop_that_a_library_turned_into_another_error_stops_the_run() -> None:
    """numpy makes a ValueError of what a signal's handler raises while it asks for a number."""
    begun = []

    def work(leg: Leg) -> None:
        begun.append(leg.name)
        raise ValueError("setting an array element with a sequence.") from KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        list(schedule.run(graph(leg("one"), leg("two")), work, Inline, 1))
    assert len(begun) == 1
