"""Slurm, through submitit: one job trains and reads one seed of a sweep; the jobs are one array.

Where two jobs need the same pretrained model, one takes the lock of its run and trains it, and the
other waits. A separate job for pretraining would make every job wait in the queue twice. Only the
queue is asked what became of a job; accounting (`sacct`) isn't needed.
"""

import concurrent.futures
import contextlib
import copy
import dataclasses
import functools
import logging
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

import jax

from toylab.lab import schedule, workers
from toylab.lab.execute import Advance, quietly
from toylab.lab.flags import UsageError
from toylab.lab.plan import Leg, Plan
from toylab.lab.schedule import Ended
from toylab.lab.store import StoreError
from toylab.world.schema import unknown

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

DEFAULTS = {"time": "60", "mem": "4G", "cpus-per-task": "1"}  # minutes a go; then requeued
REQUEUES = 100  # of one job, for lack of time
NOTICE = 90  # seconds that a job is told before its time is up
POLL = 2.0  # seconds between two looks at the queue


@dataclasses.dataclass(frozen=True)
class Job:
    """The legs that one seed of a sweep needs, as a leg of its own; `progress` is a file."""

    legs: dict[str, Leg]
    name: str
    rank: tuple[int, ...]
    progress: File
    after: frozenset[str] = frozenset()

    @property
    def cost(self) -> int:
        return sum(leg.cost for leg in self.legs.values())


def carry_out(
    plan: Plan, root: File, options: dict[str, str], jobs: int, advance: Advance = quietly
) -> Generator[Ended, None, None]:
    """Carries out a plan in jobs, one for each sweep and seed, `jobs` of them at once.

    Yields how each leg ended, once its job has.
    """
    told: set[str] = set()
    settings = {name: getattr(jax.config, name) for name in workers.SETTINGS}
    if jax.default_backend() == "cpu":  # a run's name depends on it
        settings["jax_platforms"] = "cpu"
    with tempfile.TemporaryDirectory(dir=_folder(root)) as notes:
        batches = {
            f"{place}-{seed}": Job(
                legs={name: leg for name, leg in plan.legs.items() if name in needs},
                name=f"{place}-{seed}",
                rank=(place, seed),
                progress=File(notes) / f"{place}-{seed}",
            )
            for (place, seed), needs in plan.needs.items()
            if needs
        }
        seen = 0.0

        def wait(futures: Iterable[Future]) -> Iterable[Future]:
            nonlocal seen
            while True:
                done = concurrent.futures.wait(futures, POLL, "FIRST_COMPLETED").done
                before, seen = seen, sum(map(_noted, batches.values()))
                advance(seen - before)
                if done:
                    return done

        running = schedule.run(
            batches,
            functools.partial(_work, root, settings),
            lambda: Slurm(root, options, jobs),
            len(batches),
            wait,
        )
        with contextlib.closing(running):
            for job in running:
                if isinstance(job.error, UsageError):
                    raise job.error  # sbatch refuses them all
                first, *rest = batches[job.name].legs
                ended = [Ended(first, error=job.error, dropped=rest)] if job.error else job.result
                yield from (each for each in ended if each.name not in told)
                told |= {each.name for each in ended if not each.error}


def _work(root: File, settings: dict[str, Any], job: Job) -> list[Ended]:
    """Does the legs of a job, in this process, one after the other."""
    for name, value in settings.items():
        jax.config.update(name, value)
    if any(leg.name != name for name, leg in job.legs.items()):
        raise StoreError(
            f"{os.uname().nodename}: jax, its device or toylab's source isn't what it was where "
            "the job came from, so its runs have other names; see docs/clusters.md"
        )
    done = _noted(job)

    def advance(units: float) -> None:
        nonlocal done
        done += units
        job.progress.write_text(str(done))

    return list(workers.carry_out(job.legs, root, 1, advance))


def _noted(job: Job) -> float:
    """What a job says that it has advanced."""
    try:
        return float(job.progress.read_text())
    except (OSError, ValueError):  # not begun, or in the middle of being written
        return 0.0


def _folder(root: File) -> File:
    """Where jobs leave their logs, below the run folders."""
    folder = root.resolve() / ".slurm"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Requeued:
    """A call, as a job that Slurm starts again when its time is up or when it is preempted.

    It returns the call's value and exception. A restarted call finds only what it had saved.
    """

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any):
        self._call = pickle.dumps((function, args, kwargs))
        self._places = list(sys.path)  # an experiment may be anywhere
        self._told = False  # that it ends now

    def __call__(self) -> tuple[Any, Exception | None]:
        sys.path[:] = self._places
        function, args, kwargs = pickle.loads(self._call)
        try:
            ended: tuple[Any, Exception | None] = (function(*args, **kwargs), None)
        except Exception as error:
            ended = None, error
        if self._told:  # submitit raised SystemExit, which numpy, for one, makes a ValueError of
            sys.exit(1)
        return ended

    def checkpoint(self) -> "DelayedSubmission":
        """What submitit starts next time."""
        from submitit.helpers import DelayedSubmission

        again = copy.copy(self)
        self._told = True
        return DelayedSubmission(again)


def options(text: str) -> dict[str, str]:
    """The options in `slurm:NAME=VALUE,...`: sbatch's, by its names; `time` in minutes.

    Raises `UsageError` for another kind of cluster, a malformed option, or if there is no Slurm.
    """
    kind, _, rest = text.partition(":")
    if kind != "slurm":
        raise UsageError(f"--cluster: {unknown(kind, ['slurm'])}")
    chosen = dict(DEFAULTS)
    for option in filter(None, rest.split(",")):
        name, is_, value = option.lstrip("-").partition("=")
        if not is_ or not value or (name == "time" and not value.isdigit()):
            right = "time=60 (minutes)" if name == "time" else "NAME=VALUE, as sbatch has them"
            raise UsageError(f"--cluster: {option!r} should be {right}")
        chosen[name.replace("_", "-")] = value
    if not shutil.which("sbatch"):
        raise UsageError("--cluster=slurm: no sbatch here; start this where jobs are submitted")
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise UsageError("--cluster=slurm: needs submitit: pip install submitit") from None
    return chosen


class Slurm(concurrent.futures.Executor):
    """Hands calls to Slurm: those submitted within a second of each other as one array.

    At most `parallel` of an array run at once. Functions, arguments and results are pickled into a
    folder below `root`, which all nodes share. A call that sbatch refuses ends with a `UsageError`
    in its words, one whose job is killed with a `StoreError`.
    """

    def __init__(self, root: File, options: dict[str, str], parallel: int = 256):
        from submitit import SlurmExecutor

        logging.getLogger("submitit").setLevel(logging.ERROR)
        self.folder = File(tempfile.mkdtemp(dir=_folder(root)))
        self._executor = SlurmExecutor(self.folder, max_num_timeout=REQUEUES)
        minutes = int(options["time"])
        self._executor.update_parameters(
            job_name="toylab",
            time=minutes,
            signal_delay_s=min(NOTICE, 20 * minutes),
            array_parallelism=parallel,
            stderr_to_stdout=True,
            additional_parameters={k: v for k, v in options.items() if k != "time"},
        )
        self._waiting: list[tuple[Future, Requeued]] = []
        self._jobs: dict[Future, Any] = {}
        self._failed = False  # a job: its log is kept
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._watch = threading.Thread(target=self._watched, daemon=True)
        self._watch.start()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Hands over a call."""
        future: Future = Future()
        with self._lock:
            self._waiting.append((future, Requeued(function, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends when all jobs have; with `cancel_futures` cancels them, those that run as well."""
        if cancel_futures:
            self._ended.set()
            ids = sorted({job.job_id.split("_")[0] for job in self._jobs.values()})
            if ids:
                subprocess.run(["scancel", *ids], check=False)
            for future in [*self._jobs, *(future for future, _ in self._waiting)]:
                future.cancel()
        elif wait:
            concurrent.futures.wait([*self._jobs, *(future for future, _ in self._waiting)])
            self._ended.set()
        elif not self._jobs:
            self._ended.set()
        if self._ended.is_set():
            self._watch.join()
            if not self._failed:
                shutil.rmtree(self.folder, ignore_errors=True)

    def _watched(self) -> None:
        gone: set[str] = set()
        try:
            while not self._ended.wait(POLL):
                with self._lock:
                    new, self._waiting = self._waiting, []
                    if new:
                        self._start(new)
                if self._jobs:
                    gone = self._collect(gone)
        except Exception as error:
            for future in self._jobs:
                future.set_exception(error)
            raise

    def _start(self, new: list[tuple[Future, Requeued]]) -> None:
        try:
            jobs = self._executor.submit_array([call for _, call in new])
        except Exception as error:  # submitit's, with what sbatch said
            said = " ".join(str(error).split()) or "no reason given"
            for future, _ in new:
                future.set_exception(UsageError(f"--cluster=slurm: {said}"))
            return
        for (future, _), job in zip(new, jobs, strict=True):
            self._jobs[future] = job

    def _collect(self, gone: set[str]) -> set[str]:
        """Settles the futures of jobs that ended; returns those that left the queue just now."""
        queued = self.queued()
        left = set()
        for future, job in list(self._jobs.items()):
            os.listdir(self.folder)  # NFS: look again
            if job.paths.result_pickle.exists():
                self._settle(future, job)
            elif queued is not None and job.job_id not in queued:
                if job.job_id in gone:  # and its result had a while to arrive
                    self._failed, log = True, job.paths.stdout
                    future.set_exception(StoreError(f"job {job.job_id} was killed; see {log}"))
                    del self._jobs[future]
                left.add(job.job_id)
        return left

    def _settle(self, future: Future, job: Any) -> None:
        del self._jobs[future]
        try:
            value, error = job.result()
        except Exception as failed:  # before or after the call: submitit's, with a traceback
            self._failed = True
            future.set_exception(failed)
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(value)

    def job(self, future: Future) -> str:
        """The id by which Slurm knows the job of a call that has been handed over."""
        return self._jobs[future].job_id

    @staticmethod
    def queued() -> set[str] | None:
        """The jobs of this user that wait or run; None if Slurm doesn't answer."""
        asked = ["squeue", "--noheader", "--array", "--format=%i", "--user", str(os.getuid())]
        done = subprocess.run(asked, capture_output=True, text=True)
        return None if done.returncode else set(done.stdout.split())
