"""Slurm as an executor: what is handed to it together becomes one job array, through submitit.

Slurm is asked for nothing but what it queues: accounting (`sacct`) isn't needed.
"""

import concurrent.futures
import logging
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from toylab.lab.flags import UsageError
from toylab.lab.store import StoreError
from toylab.world.schema import unknown

if TYPE_CHECKING:
    from submitit import DelayedSubmission

DEFAULTS = {"time": "60", "mem": "4G", "cpus-per-task": "1"}  # minutes a go; then requeued
REQUEUES = 100  # of one job, for lack of time
NOTICE = 90  # seconds that a job is told before its time is up
POLL = 2.0  # seconds between two looks at the queue


class Requeued:
    """A call, as a job that Slurm starts again when its time is up or when it is preempted.

    It returns its value and its exception. What it had saved by then is all that it goes on from.
    """

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any):
        self._call = pickle.dumps((function, args, kwargs))
        self._places = list(sys.path)  # an experiment may be anywhere

    def __call__(self) -> tuple[Any, Exception | None]:
        sys.path[:] = self._places
        function, args, kwargs = pickle.loads(self._call)
        try:
            return function(*args, **kwargs), None
        except Exception as error:
            return None, error

    def checkpoint(self) -> "DelayedSubmission":
        """What submitit starts next time."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def options(text: str) -> dict[str, str]:
    """The options in `slurm:NAME=VALUE,...`: sbatch's, by its names; `time` in minutes.

    Raises `UsageError` for another cluster or a malformed option, and where Slurm isn't.
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

    Functions, arguments and results are pickled into a folder below `root`, which all nodes share.
    Raises `UsageError` with sbatch's words if it refuses a job.
    """

    def __init__(self, root: File, options: dict[str, str]):
        from submitit import SlurmExecutor

        logging.getLogger("submitit").setLevel(logging.ERROR)
        (root / ".slurm").mkdir(parents=True, exist_ok=True)
        self.folder = File(tempfile.mkdtemp(prefix="", dir=root / ".slurm"))
        self._executor = SlurmExecutor(self.folder, max_num_timeout=REQUEUES)
        minutes = int(options["time"])
        self._executor.update_parameters(
            job_name="toylab",
            time=minutes,
            signal_delay_s=min(NOTICE, 20 * minutes),
            setup=["export PJRT_NPROC=1"],  # one thread, whatever the node: the same bits
            stderr_to_stdout=True,
            additional_parameters={k: v for k, v in options.items() if k != "time"},
        )
        self._waiting: list[tuple[Future, Requeued]] = []
        self._jobs: dict[Future, Any] = {}
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
            if not any(self.folder.glob("*.pkl")):  # else a job failed: its log is there
                shutil.rmtree(self.folder)

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
                    log = job.paths.stdout
                    future.set_exception(StoreError(f"job {job.job_id} was killed; see {log}"))
                    del self._jobs[future]
                left.add(job.job_id)
        return left

    def _settle(self, future: Future, job: Any) -> None:
        del self._jobs[future]
        try:
            value, error = job.result()
        except Exception as failed:  # before or after the call: submitit's, with a traceback
            future.set_exception(failed)
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(value)
            for file in (job.paths.submitted_pickle, job.paths.result_pickle):
                file.unlink()

    def job(self, future: Future) -> str:
        """The id by which Slurm knows the job of a call that has been handed over."""
        return self._jobs[future].job_id

    @staticmethod
    def queued() -> set[str] | None:
        """The jobs of this user that wait or run; None if Slurm doesn't answer."""
        asked = ["squeue", "--noheader", "--array", "--format=%i", "--user", str(os.getuid())]
        done = subprocess.run(asked, capture_output=True, text=True)
        return None if done.returncode else set(done.stdout.split())
