"""Carries out experiments as one graph: progress, results as seeds finish, what failed.

Figures are drawn in a thread of their own, so that workers never wait for them.
"""

import collections
import contextlib
import dataclasses
import functools
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from pathlib import Path as File
from typing import Any

from tqdm import tqdm

from toylab.lab import cluster, device, experiments, names, workers
from toylab.lab.costs import Costs
from toylab.lab.execute import Advance, progress
from toylab.lab.flags import UsageError
from toylab.lab.plan import Plan, Train, plan
from toylab.lab.readings import gather
from toylab.lab.records import Records
from toylab.lab.schedule import Ended
from toylab.lab.store import StoreError, sweep_partial, writable, write_json
from toylab.report import results, summary
from toylab.report.claims import Claim, ClaimsError
from toylab.report.results import Experiment
from toylab.shell import files
from toylab.shell.files import INTERRUPTED, RESULTS, program, user_path
from toylab.stages import Diverged, Setup
from toylab.world.schema import shortened

SETTINGS = "settings.json"  # beside results in own/: whose they are, and the flags
EXPECTED = (Diverged, StoreError, ClaimsError, UsageError)  # their messages say what to do


@dataclasses.dataclass(frozen=True)
class Asked:
    """An experiment with its sweep as asked for, the setup of each arm, and where results go."""

    experiment: Experiment
    setups: Mapping[str, Setup]
    out: File

    @property
    def name(self) -> str:
        """The name of its runs: short, but different for other settings."""
        sweep, last = self.experiment.sweep, self.out.name.rpartition("-")[2]
        return "-".join(
            ["quick"] * sweep.quick + [sweep.name] + [last] * bool(self.experiment.changed)
        )


class Terminated(KeyboardInterrupt):
    """A signal that is the same as Ctrl-C, but for the exit code."""

    def __init__(self, number: int):
        self.code = 128 + number  # as shells have it


@contextlib.contextmanager
def _terminable(*signals: int) -> Iterator[None]:
    """These signals end what is done inside, but for those that are ignored, as `nohup` does."""

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

    It uses at most `jobs` processes, of this machine or, if there are options for it, of Slurm.
    """
    costs = Costs(runs)
    graph = plan([(each.experiment.sweep, each.setups) for each in asked], runs, costs)
    if not runs.exists() or writable(runs):  # one may also read what others have trained
        for each in asked:
            names.write(runs, each.name, each.experiment.sweep, each.setups, each.out)
    for folder in (runs, *{each.out.parent for each in asked}):
        sweep_partial(folder)
    jobs = min(jobs, max(len(graph.needs if slurm else graph.legs), 1))
    print(_opening(asked, graph, jobs), flush=True)
    carry: Callable[[Advance], Generator[Ended, None, None]]
    if slurm:
        carry = functools.partial(cluster.carry_out, graph, runs, slurm, jobs)
    else:
        carry = functools.partial(workers.carry_out, graph.legs, runs, jobs)
    seen = [told for each in asked if (told := seen_before(each))]
    if told := device.unused():
        print(f"toylab: {told}", file=sys.stderr)
    # Jobs of Slurm go on if the connection is lost (SIGHUP).
    with _terminable(signal.SIGTERM, *[signal.SIGHUP] * (not slurm)):
        code = _Running(asked, runs, graph, costs, carry).run()
    for told in seen:
        print(f"toylab: {told}", file=sys.stderr)
    return code


def seen_before(one: Asked) -> str:
    """What to say if own claims have changed since seeds of this run were judged; else nothing."""
    if one.out.parent.name != "own":
        return ""
    try:
        before, now = results.read(one.out), one.experiment.registered()[1]
    except StoreError:  # it is written anew
        return ""
    seeds = sorted({*before.get("seeds", ())} & {*one.experiment.sweep.seed_range})
    if not seeds or not before.get("registered") or not now or before["registered"] == now:
        return ""
    which = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
    return (
        f"claims.toml has changed since {which} {'were' if len(seeds) > 1 else 'was'} judged: "
        "choose fresh seeds (--first_seed=…) for a claim on unseen ones"
    )


def minutes(asked: Sequence[Asked], graph: Plan, jobs: int) -> list[float]:
    """About how many minutes each experiment takes for what the ones before it have not done."""
    each = [0.0] * len(asked)
    for leg in graph.legs.values():
        each[leg.rank[0]] += leg.cost / 60 / jobs
    known = [results.seconds_a_unit(a.out, RESULTS / a.experiment.sweep.name) for a in asked]
    return [m * unit for m, unit in zip(each, known, strict=True)]


def show_plan(asked: Sequence[Asked], runs: File, jobs: int) -> None:
    """Prints what each experiment would train that the ones before it have not, and minutes."""
    graph = plan([(each.experiment.sweep, each.setups) for each in asked], runs)
    each = minutes(asked, graph, jobs)
    for place, one in enumerate(asked):
        own = [leg for leg in graph.legs.values() if leg.rank[0] == place]
        train = sum(isinstance(leg, Train) for leg in own)
        print(f"{one.experiment.sweep.name:16} {train:4} to train  {each[place]:6.1f} min")
    print(f"in all about {sum(each):.0f} min")


def _opening(asked: Sequence[Asked], graph: Plan, jobs: int) -> str:
    training = sum(isinstance(leg, Train) for leg in graph.legs.values())
    todo = f"{training} models are to be trained"
    about = f"about {max(1, round(sum(minutes(asked, graph, jobs))))} min; jobs: {jobs}"
    if len(asked) > 1:
        return f"{len(asked)} experiments; {todo}; {about}"
    (one,) = asked
    sweep, where = one.experiment.sweep, os.path.relpath(one.out, user_path(""))
    arms = f"{len(sweep.arms)} arm{'s' * (len(sweep.arms) > 1)}"
    what = "figure, table and claims" if one.experiment.registered()[0] else "figure and table"
    return (
        f"{sweep.name}: {sweep.question}\n"
        f"{', '.join(dict.fromkeys(setup.corpus.title for setup in one.setups.values()))}; "
        f"{sweep.seeds} seeds, {arms}; {todo}; {about}\n"
        f"{what}, anew with every seed: {where}/"
    )


class _Running:
    def __init__(
        self,
        asked: Sequence[Asked],
        runs: File,
        graph: Plan,
        costs: Costs,
        carry: Callable[[Advance], Generator[Ended, None, None]],
    ) -> None:
        self.asked, self.runs, self.costs, self.carry = asked, runs, costs, carry
        self.legs, self.left = graph.legs, {key: set(names) for key, names in graph.needs.items()}
        self.failed: dict[str, str] = {}  # a line for each leg or drawing that failed
        self.refused = False  # whether some of it was bad input
        self.records: dict[int, Records] = {}  # by the place of the experiment
        self.judged: dict[int, list[Claim]] = {}
        self.artist, self.drawings = ThreadPoolExecutor(1), dict[int, Future]()
        self.seconds: collections.Counter[int] = collections.Counter()
        self.began, total = time.monotonic(), sum(leg.cost for leg in self.legs.values())
        self.bar = progress(total if sys.stderr.isatty() else 0)

    def run(self) -> int:
        """Does it all; returns the exit code."""
        code = 0
        try:
            try:
                for place in range(len(self.asked)):
                    self._draw(place)
                self._work()
            except KeyboardInterrupt as stop:
                code = stop.code if isinstance(stop, Terminated) else INTERRUPTED
            self.artist.shutdown()  # once all that is complete has been drawn
        except KeyboardInterrupt:  # who doesn't want to wait for that: what was drawn before stays
            os._exit(code or INTERRUPTED)
        self.bar.close()
        for place, one in enumerate(self.asked):
            if len(self.seeds(place)) == one.experiment.sweep.seeds:
                self._keep_cost(place, one)
        if len(self.asked) == 1:
            self._say(self.asked[0])
        if code:
            print("toylab: stopped; the same command goes on from here", file=sys.stderr)
        for line in self.failed.values():
            print(f"toylab: {line}", file=sys.stderr)
        return code or (2 if self.refused else int(bool(self.failed)))

    def seeds(self, place: int) -> list[int]:
        """The seeds of an experiment that are complete."""
        sweep = self.asked[place].experiment.sweep
        return [seed for seed in sweep.seed_range if not self.left[place, seed]]

    def _work(self) -> None:
        done = 0
        with contextlib.closing(self.carry(self.bar.update)) as running:
            for ended in running:
                leg = self.legs[ended.name]
                if ended.error:
                    self._fail(leg.title, ended.error)
                    continue
                self.costs.note(ended.result.times)
                self.seconds[leg.rank[0]] += ended.result.seconds
                done += leg.cost
                self.bar.update(max(done - self.bar.n, 0))
                self.bar.set_description_str(leg.title[:34])
                if self.bar.disable:
                    print(f"{leg.title} {leg.done}, {ended.result.seconds:.0f} s", file=sys.stderr)
                for (place, _), names in self.left.items():
                    if ended.name in names:
                        names.discard(ended.name)
                        if not names:
                            self._draw(place)

    def _draw(self, place: int) -> None:
        """Has an experiment drawn anew, unless that waits to be done or there is nothing yet."""
        before = self.drawings.get(place)
        if self.seeds(place) and (not before or before.running() or before.done()):
            self.drawings[place] = self.artist.submit(self._drawn, place)

    def _drawn(self, place: int) -> None:
        experiment, out = self.asked[place].experiment, self.asked[place].out
        sweep, seeds = experiment.sweep, self.seeds(place)
        try:
            records = gather(
                sweep, self.asked[place].setups, self.runs, seeds, self.records.get(place)
            )
            self.records[place] = records
            analysis = experiment.analyse(records)
            self.judged[place] = experiment.judge(analysis)
            results.write(out, analysis, self.judged[place], experiment, seeds)
            if out.parent.name == "own":
                said = {"experiment": str(experiment.folder), "flags": experiment.changed}
                write_json(out / SETTINGS, said)
        except Exception as error:
            return self._fail(f"{sweep.name}, results", self._explained(place, error))
        if len(self.asked) > 1 and len(seeds) == sweep.seeds:
            self._tell(f"{sweep.name}: {results.verdicts(self.judged[place])}", sys.stdout)

    def _explained(self, place: int, error: Exception) -> Exception:
        """An error in an analysis, with its line there; or with the file that may be to blame."""
        experiment, records = self.asked[place].experiment, self.records.get(place)
        if isinstance(error, (OSError, *EXPECTED)) or not records:
            return error
        line = experiments.line_of(error, experiment.folder) if experiment.folder else ""
        if odd := records.odd():
            why = os.path.basename(line) or type(error).__name__
            return StoreError(
                f"{odd}: unlike its kind; delete it and run again, unless it is {why}"
            )
        if not line:
            return error
        steps = sorted({row["step"] for row in records.rows})
        there = f"arms {', '.join(records.setups)}; steps {', '.join(map(str, steps))}"
        return UsageError(f"{line}: {experiments.told(error)}; there are {there}")

    def _fail(self, title: str, error: BaseException) -> None:
        self.refused |= isinstance(error, UsageError | ClaimsError)
        if isinstance(error, BrokenExecutor):
            told = "its worker was killed twice; if memory was short, run again with fewer --jobs"
        elif isinstance(error, OSError):
            told = shortened(files.told(error))
        elif isinstance(error, EXPECTED):
            told = shortened(str(error))
        else:
            told = f"{type(error).__name__}: {error} (see the traceback)"
            if title not in self.failed:
                self._tell("".join(traceback.format_exception(error)), sys.stderr)
        self.failed[title] = f"{title}: {told}"

    def _tell(self, text: str, stream: Any) -> None:
        tqdm.write(text, file=stream)
        stream.flush()

    def _keep_cost(self, place: int, one: Asked) -> None:
        """Keeps seconds on one core and units, if at least a quarter of all was done just now."""
        units = sum(leg.cost for leg in self.legs.values() if leg.rank[0] == place)
        nothing = plan([(one.experiment.sweep, one.setups)], self.runs / "nothing yet", self.costs)
        whole = sum(leg.cost for leg in nothing.legs.values())
        if 4 * units >= whole:
            cost = {"seconds": round(self.seconds[place]), "units": units, "whole": whole}
            write_json(one.out / "cost.json", cost)

    def _say(self, one: Asked) -> None:
        """The claims, and where the results are."""
        if not (seeds := self.seeds(0)):
            return
        for claim in self.judged.get(0, []):
            print(claim.sentence)
        sweep, where = one.experiment.sweep, os.path.relpath(one.out, user_path(""))
        of = f" of {len(seeds)} of {sweep.seeds} seeds" if len(seeds) < sweep.seeds else ""
        what = "figure, table and claims" if self.judged.get(0) else "figure and table"
        print(f"{time.monotonic() - self.began:.0f} s; {what}{of} are in {where}/")
        if one.name not in names.listed(self.runs):  # in a folder that may only be read
            return
        listed = names.read(self.runs, one.name)
        print("\n" + "\n".join(summary.of_arms(listed.arms)))
        if not (run := next((run for run in listed.runs() if run.done), None)):
            return
        if not one.experiment.folder and not of:  # a custom run
            from toylab.library import open_run

            print("\n".join(open_run(run.folders[-1]).example(listed.tag)))
        print(f"\nnext: {program()} chat {run.name}, or {program()} tensorboard {one.name}")
