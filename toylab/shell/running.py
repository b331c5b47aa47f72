"""Runs experiments as one graph of tasks; writes results as seeds finish, reports failures.

Figures are drawn in a thread of their own, so that workers never wait for them.
"""

import collections
import contextlib
import dataclasses
import os
import signal
import sys
import time
import traceback
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from pathlib import Path as File
from typing import Any

from tqdm import tqdm

from toylab.lab import cluster, experiments, machine, names, workers
from toylab.lab.costs import Costs
from toylab.lab.execute import progress
from toylab.lab.flags import UsageError
from toylab.lab.plan import Plan, Train, plan
from toylab.lab.readings import gather
from toylab.lab.records import Records
from toylab.lab.schedule import Ended
from toylab.lab.store import StoreError, must_be_writable, sweep_partial, writable, write_json
from toylab.lab.sweep import Sweep
from toylab.report import results, summary
from toylab.report.claims import Claim, ClaimsError
from toylab.report.results import Experiment
from toylab.shell import files
from toylab.shell.files import RESULTS, STOPPED, counted, program, user_path
from toylab.stages import Setup
from toylab.world.schema import shortened

SETTINGS = "settings.json"  # beside results in own/: the experiment and its flags


@dataclasses.dataclass(frozen=True)
class Asked:
    """An experiment as asked for, the setup of each arm, and where results go."""

    experiment: Experiment
    setups: Mapping[str, Setup]
    out: File

    @property
    def sweep(self) -> Sweep:
        return self.experiment.sweep

    @property
    def name(self) -> str:
        """A short name for its runs, different for each choice of settings."""
        last = [self.out.name.rpartition("-")[2]] * bool(self.experiment.changed)
        return "-".join(["quick"] * self.sweep.quick + [self.sweep.name] + last)

    @property
    def where(self) -> str:
        """Where results go, relative to where the command was typed."""
        return os.path.relpath(self.out, user_path(""))

    @property
    def kept(self) -> str:
        claims = self.experiment.registered()[0]
        return "figure, table and claims" if claims else "figure and table"


class Terminated(KeyboardInterrupt):
    """A signal that works like Ctrl-C, except for the exit code."""

    def __init__(self, number: int):
        self.code = 128 + number  # as in shells


@contextlib.contextmanager
def _terminable(*signals: int) -> Iterator[None]:
    """Lets these signals end the work inside, except those that are ignored, as by `nohup`."""

    def stop(number: int, frame: Any) -> None:
        raise Terminated(number)

    heard = [each for each in signals if signal.getsignal(each) != signal.SIG_IGN]
    before = {each: signal.signal(each, stop) for each in heard}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def run(asked: Sequence[Asked], runs: File, jobs: int, slurm: dict[str, str] | None = None) -> int:
    """Trains and reads all that is missing, draws what can be drawn; returns the exit code.

    It uses at most `jobs` processes of this machine, or jobs of Slurm if `slurm` has its options.
    """
    costs = Costs(runs)
    graph = plan([(each.sweep, each.setups) for each in asked], runs, costs)
    for each in asked:  # now, not once all is trained
        must_be_writable(each.out)
    if not runs.exists() or writable(runs):  # a read-only folder of finished runs is fine, too
        for each in asked:
            names.write(runs, each.name, each.sweep, each.setups, each.out)
    for folder in (runs, *{each.out.parent for each in asked}):
        sweep_partial(folder)
    jobs = min(jobs, max(len(graph.needs if slurm else graph.legs), 1))
    print(_opening(asked, graph, jobs), flush=True)
    bar = progress(sum(leg.cost for leg in graph.legs.values()) * sys.stderr.isatty())
    if slurm:
        ended = cluster.carry_out(graph, runs, slurm, jobs, bar.update)
    else:
        ended = workers.carry_out(graph.legs, runs, jobs, bar.update)
    seen = [told for each in asked if (told := seen_before(each))]
    _warn(*filter(None, [machine.gpu_unused()]))
    # Jobs of Slurm go on if the connection is lost (SIGHUP).
    with _terminable(signal.SIGTERM, *[signal.SIGHUP] * (not slurm)):
        code = _Running(asked, runs, graph, costs, bar).run(ended)
    _warn(*seen)
    return code


def _warn(*lines: str) -> None:
    for line in lines:
        print(f"toylab: {line}", file=sys.stderr)


def seen_before(one: Asked) -> str:
    """A warning if the user's claims have changed since seeds of this run were judged; else ""."""
    if one.out.parent.name != "own":
        return ""
    try:
        before, now = results.read(one.out), one.experiment.registered()[1]
    except StoreError:  # it is written anew
        return ""
    seeds = sorted({*before.get("seeds", ())} & {*one.sweep.seed_range})
    if not seeds or not now or before.get("registered") in (None, "", now):
        return ""
    which = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
    return (
        f"claims.toml has changed since {which} {'were' if len(seeds) > 1 else 'was'} judged: "
        "choose fresh seeds (--first_seed=…) for a claim on unseen ones"
    )


def minutes(asked: Sequence[Asked], graph: Plan, jobs: int) -> list[float]:
    """Estimated minutes for each experiment; what several need counts for the first."""
    units = collections.Counter[int]()
    for leg in graph.legs.values():
        units[leg.rank[0]] += leg.cost
    known = [results.seconds_a_unit(each.out, RESULTS / each.sweep.name) for each in asked]
    return [units[place] * seconds / 60 / jobs for place, seconds in enumerate(known)]


def show_plan(asked: Sequence[Asked], runs: File, jobs: int) -> None:
    """Prints what would be trained, and minutes; one line for each of several experiments."""
    graph = plan([(each.sweep, each.setups) for each in asked], runs)
    each = minutes(asked, graph, jobs)
    if len(asked) == 1:
        print(results.describe(asked[0].sweep, asked[0].setups, graph, *each))
        return
    for place, one in enumerate(asked):
        own = [leg for leg in graph.legs.values() if leg.rank[0] == place]
        train = sum(isinstance(leg, Train) for leg in own)
        print(f"{one.sweep.name:16} {train:4} to train  {each[place]:6.1f} min")
    print(f"total: about {sum(each):.0f} min")


def _opening(asked: Sequence[Asked], graph: Plan, jobs: int) -> str:
    training = sum(isinstance(leg, Train) for leg in graph.legs.values())
    todo = f"{counted(training, 'model')} to train"
    about = f"about {max(1, round(sum(minutes(asked, graph, jobs))))} min; jobs: {jobs}"
    if len(asked) > 1:
        return f"{len(asked)} experiments; {todo}; {about}"
    one, sweep = asked[0], asked[0].sweep
    return (
        f"{sweep.name}: {sweep.question}\n"
        f"{', '.join(dict.fromkeys(setup.corpus.title for setup in one.setups.values()))}; "
        f"{counted(sweep.seeds, 'seed')}, {counted(len(sweep.arms), 'arm')}; {todo}; {about}\n"
        f"{one.kept}, updated after every seed: {one.where}/"
    )


class _Live:
    """A running experiment: what each seed still needs, and the results so far."""

    def __init__(self, asked: Asked, left: dict[int, set[str]]) -> None:
        self.asked, self.left, self.seconds = asked, left, 0.0
        self.records: Records | None = None
        self.judged: list[Claim] = []
        self.drawing: Future | None = None

    def seeds(self) -> list[int]:
        return [seed for seed, names in self.left.items() if not names]

    @property
    def complete(self) -> bool:
        return not any(self.left.values())

    def draw(self, runs: File) -> None:
        one, experiment, seeds = self.asked, self.asked.experiment, self.seeds()
        self.records = gather(one.sweep, one.setups, runs, seeds, self.records)
        analysis = experiment.analyse(self.records)
        self.judged = experiment.judge(analysis)
        results.write(one.out, analysis, self.judged, experiment, seeds)
        if one.out.parent.name == "own":
            said = {"experiment": str(experiment.folder), "flags": experiment.changed}
            write_json(one.out / SETTINGS, said)

    def explained(self, error: Exception) -> Exception:
        """The error, with the line of `analysis.py` or the damaged file that probably caused it."""
        if files.told(error) or not self.records:
            return error
        folder = self.asked.experiment.folder
        line = experiments.line_of(error, folder) if folder else ""
        if odd := self.records.odd():
            why = os.path.basename(line) or type(error).__name__
            return StoreError(
                f"{odd}: unlike similar files; delete it and run again, unless {why} is wrong"
            )
        if not line:
            return error
        steps = sorted({row["step"] for row in self.records.rows})
        there = f"arms {', '.join(self.records.setups)}; steps {', '.join(map(str, steps))}"
        return UsageError(f"{line}: {experiments.told(error)}; there are {there}")


class _Running:
    def __init__(
        self, asked: Sequence[Asked], runs: File, graph: Plan, costs: Costs, bar: tqdm
    ) -> None:
        self.runs, self.legs, self.costs, self.bar = runs, graph.legs, costs, bar
        self.lives = [
            _Live(one, {seed: set(graph.needs[place, seed]) for seed in one.sweep.seed_range})
            for place, one in enumerate(asked)
        ]
        self.failed: dict[str, str] = {}  # a line for each leg or drawing that failed
        self.refused = False  # whether some of it was bad input
        self.artist, self.began, self.done = ThreadPoolExecutor(1), time.monotonic(), 0

    def run(self, carried: Generator[Ended, None, None]) -> int:
        code = 0
        try:
            try:
                for live in self.lives:
                    self._draw(live)
                with contextlib.closing(carried):
                    for ended in carried:
                        self._note(ended)
            except KeyboardInterrupt as stop:
                code = files.code_of(stop)
            self.artist.shutdown()  # once all that is complete has been drawn
        except KeyboardInterrupt as stop:  # stopped while waiting: what is drawn stays
            _warn(*[STOPPED] * (not code))
            os._exit(code or files.code_of(stop))
        self.bar.close()
        for place, live in enumerate(self.lives):
            if live.complete:
                self._keep_cost(place, live)
        if len(self.lives) == 1:
            self._say(self.lives[0])
        _warn(*[STOPPED] * bool(code), *self.failed.values())
        return code or (2 if self.refused else int(bool(self.failed)))

    def _note(self, ended: Ended) -> None:
        """Notes how a leg ended, and starts drawing what that completes."""
        leg = self.legs[ended.name]
        if ended.error:
            return self._fail(leg.title, ended.error)
        self.costs.note(ended.result.times)
        self.lives[leg.rank[0]].seconds += ended.result.seconds
        self.done += leg.cost
        self.bar.update(max(self.done - self.bar.n, 0))
        self.bar.set_description_str(leg.title[:34])
        if self.bar.disable:
            print(f"{leg.title} {leg.done}, {ended.result.seconds:.0f} s", file=sys.stderr)
        for live in self.lives:
            for left in live.left.values():
                if ended.name in left:
                    left.discard(ended.name)
                    if not left:
                        self._draw(live)

    def _draw(self, live: _Live) -> None:
        """Starts redrawing an experiment, unless that is queued or no seed is complete."""
        before = live.drawing
        if live.seeds() and (not before or before.running() or before.done()):
            live.drawing = self.artist.submit(self._drawn, live)

    def _drawn(self, live: _Live) -> None:
        complete, name = live.complete, live.asked.sweep.name
        try:
            live.draw(self.runs)
        except Exception as error:
            return self._fail(f"{name}, results", live.explained(error))
        if len(self.lives) > 1 and complete:
            self._tell(f"{name}: {results.verdicts(live.judged)}", sys.stdout)

    def _fail(self, title: str, error: BaseException) -> None:
        self.refused |= isinstance(error, UsageError | ClaimsError)
        if isinstance(error, BrokenExecutor):
            told = "its worker was killed twice; if memory was short, run again with fewer --jobs"
        elif said := files.told(error):
            told = shortened(said)
        else:
            told = f"{type(error).__name__}: {error} (see the traceback)"
            if title not in self.failed:
                self._tell("".join(traceback.format_exception(error)), sys.stderr)
        self.failed[title] = f"{title}: {told}"

    def _tell(self, text: str, stream: Any) -> None:
        tqdm.write(text, file=stream)
        stream.flush()

    def _keep_cost(self, place: int, live: _Live) -> None:
        """Saves core seconds and units of work, if this command did a quarter of the work."""
        one = live.asked
        units = sum(leg.cost for leg in self.legs.values() if leg.rank[0] == place)
        nothing = plan([(one.sweep, one.setups)], self.runs / "nothing yet", self.costs)
        whole = sum(leg.cost for leg in nothing.legs.values())
        if 4 * units >= whole:
            cost = {"seconds": round(live.seconds), "units": units, "whole": whole}
            write_json(one.out / "cost.json", cost)

    def _say(self, live: _Live) -> None:
        one, seeds = live.asked, live.seeds()
        if not seeds:
            return
        for claim in live.judged:
            print(claim.sentence)
        of = "" if live.complete else f" of {len(seeds)} of {one.sweep.seeds} seeds"
        print(f"{time.monotonic() - self.began:.0f} s; {one.kept}{of} are in {one.where}/")
        if one.name not in names.listed(self.runs):  # the folder is read-only
            return
        listed = names.read(self.runs, one.name)
        print("\n" + "\n".join(summary.of_arms(listed.arms)))
        if not (run := next((run for run in listed.runs() if run.done), None)):
            return
        if not one.experiment.folder and not of:  # a custom run
            from toylab.library import open_run

            print("\n".join(open_run(run.folders[-1]).example(listed.tag)))
        print(f"\nnext: {program()} chat {run.name}, or {program()} tensorboard {one.name}")
