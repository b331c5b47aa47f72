"""Slurm, through submitit: a job array, in which each job trains and reads one seed of a sweep.

If two jobs need the same pretrained model, one of them trains it while the other waits.
"""

import contextlib
import copy
import dataclasses
import logging
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

import jax

from toylab.lab import workers
from toylab.lab.execute import Advance, quietly
from toylab.lab.flags import UsageError
from toylab.lab.plan import Leg, Plan
from toylab.lab.schedule import Ended
from toylab.lab.store import StoreError
from toylab.world.schema import unknown

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

DEFAULTS = {"time": "60", "mem": "4G", "cpus-per-task": "1"}  # time: minutes until requeued
REQUEUES = 100  # times that one job may run out of time
NOTICE = 90  # seconds of warning before a job's time is up
POLL = 2.0  # seconds between polls of the queue


def options(text: str) -> dict[str, str]:
    """Parses `slurm:NAME=VALUE,...`: options under sbatch's names, `time` in minutes.

    Raises `UsageError` for another kind of cluster, a malformed option, or if Slurm or submitit is
    missing.
    """
    kind, _, rest = text.partition(":")
    if kind != "slurm":
        raise UsageError(f"--cluster: {unknown(kind, ['slurm'])}")
    chosen = dict(DEFAULTS)
    for option in filter(None, rest.split(",")):
        name, _, value = option.lstrip("-").partition("=")
        if not value or (name == "time" and not value.isdigit()):
            right = "time=60 (minutes)" if name == "time" else "NAME=VALUE, as for sbatch"
            raise UsageError(f"--cluster: {option!r} should be {right}")
        chosen[name.replace("_", "-")] = value
    if not shutil.which("sbatch"):
        raise UsageError("--cluster=slurm: sbatch not found; run this where jobs are submitted")
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise UsageError("--cluster=slurm: needs submitit: pip install submitit") from None
    return chosen


def carry_out(
    plan: Plan, root: File, options: dict[str, str], jobs: int, advance: Advance = quietly
) -> Generator[Ended, None, None]:
    """Carries out a plan as Slurm jobs, one per sweep and seed, at most `jobs` at once.

    Once a job has ended, yields how each of its legs (tasks of the plan) ended.
    """
    needs = {f"{place}-{seed}": names for (place, seed), names in plan.needs.items() if names}
    if not needs:
        return
    settings = {name: getattr(jax.config, name) for name in workers.SETTINGS}
    if jax.default_backend() == "cpu":  # run names depend on the platform
        settings["jax_platforms"] = "cpu"
    batches = [
        {name: leg for name, leg in plan.legs.items() if name in names} for names in needs.values()
    ]
    told, seen = set[str](), 0.0
    with tempfile.TemporaryDirectory(dir=_folder(root)) as folder:
        notes = [File(folder) / name for name in needs]
        calls = [
            Requeued(_work, root, settings, legs, note)
            for legs, note in zip(batches, notes, strict=True)
        ]
        with contextlib.closing(array(root, options, calls, jobs)) as running:
            for done in running:
                before, seen = seen, sum(map(_noted, notes))
                advance(seen - before)
                for place, (ended, error) in done.items():
                    if error:
                        ended = [Ended(next(iter(batches[place])), error=error)]
                    yield from (each for each in ended if each.name not in told)
                    told |= {each.name for each in ended if not each.error}


def _work(
    root: File, settings: Mapping[str, Any], legs: Mapping[str, Leg], note: File
) -> list[Ended]:
    """Runs legs one by one in this process, and writes their progress to the file `note`."""
    for name, value in settings.items():
        jax.config.update(name, value)
    paths = [leg.path for leg in legs.values()]
    here = [dataclasses.replace(path).name for path in paths]  # not the names cached in pickles
    if here != [path.name for path in paths] or any(leg.name != n for n, leg in legs.items()):
        raise StoreError(
            f"{os.uname().nodename}: jax, its device or toylab's source differs from where the job "
            "was submitted, so its runs would have other names; see docs/clusters.md"
        )
    done = _noted(note)

    def advance(units: float) -> None:
        nonlocal done
        done += units
        note.write_text(str(done))

    return list(workers.carry_out(legs, root, 1, advance))


def _noted(note: File) -> float:
    try:
        return float(note.read_text())
    except (OSError, ValueError):  # not begun, or half written
        return 0.0


def _folder(root: File) -> File:
    folder = root.resolve() / ".slurm"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Requeued:
    """A function call to run as a job; after a timeout or preemption Slurm makes the call again.

    The job returns the call's value and exception.
    """

    def __init__(self, function: Callable[..., Any], *args: Any):
        self._call = pickle.dumps((function, args))
        self._places = list(sys.path)  # an experiment's folder may be anywhere
        self._told = False  # whether Slurm has told it to stop

    def __call__(self) -> tuple[Any, Exception | None]:
        sys.path[:] = self._places
        function, args = pickle.loads(self._call)
        try:
            ended: tuple[Any, Exception | None] = (function(*args), None)
        except Exception as error:
            ended = None, error
        if self._told:  # numpy may turn submitit's SystemExit into another error
            sys.exit(1)
        return ended

    def checkpoint(self) -> "DelayedSubmission":
        """Called when Slurm is about to stop the job: returns what submitit queues instead."""
        from submitit.helpers import DelayedSubmission

        again = copy.copy(self)
        self._told = True
        return DelayedSubmission(again)


def array(
    root: File, options: dict[str, str], calls: Sequence[Requeued], parallel: int
) -> Generator[dict[int, tuple[Any, Exception | None]], None, None]:
    """Submits calls to Slurm as one job array, of which at most `parallel` run at once.

    After each poll of the queue, yields (value, error) of the calls that have ended, by index. If a
    job was killed, the error is a `StoreError`. Arguments and results go through a folder below
    `root`, which all nodes must share. Closing the generator cancels the jobs. Raises `UsageError`
    if sbatch refuses the jobs.
    """
    from submitit import SlurmExecutor

    logging.getLogger("submitit").setLevel(logging.ERROR)
    folder, minutes = File(tempfile.mkdtemp(dir=_folder(root))), int(options["time"])
    executor = SlurmExecutor(folder, max_num_timeout=REQUEUES)
    executor.update_parameters(
        job_name="toylab",
        time=minutes,
        signal_delay_s=min(NOTICE, 20 * minutes),
        array_parallelism=parallel,
        stderr_to_stdout=True,
        additional_parameters={k: v for k, v in options.items() if k != "time"},
    )
    running, gone, failed = dict[int, Any](), set[int](), False
    try:
        try:
            running = dict(enumerate(executor.submit_array(calls)))
        except Exception as error:  # submitit's, with what sbatch said
            said = " ".join(str(error).split()) or "no reason given"
            raise UsageError(f"--cluster=slurm: {said}") from None
        while running:
            time.sleep(POLL)
            os.listdir(folder)  # makes NFS refresh the folder
            waiting = queued()
            done, left = dict[int, tuple[Any, Exception | None]](), set[int]()
            for place, job in running.items():
                if job.paths.result_pickle.exists():
                    try:
                        done[place] = job.result()
                    except Exception as error:  # raised by submitit outside the call
                        done[place], failed = (None, error), True
                elif waiting is not None and job.job_id not in waiting:
                    left.add(place)
                    if place in gone:  # at the poll before, too: its result should be here
                        said = f"job {job.job_id} was killed; see {job.paths.stdout}"
                        done[place], failed = (None, StoreError(said)), True
            gone = left
            running = {place: job for place, job in running.items() if place not in done}
            yield done
    finally:
        if running:
            ids = {job.job_id.split("_")[0] for job in running.values()}
            subprocess.run(["scancel", *ids], check=False)
        if not failed:  # after a failure the logs are kept
            shutil.rmtree(folder, ignore_errors=True)


def queued() -> set[str] | None:
    """This user's waiting and running jobs; None if Slurm doesn't answer."""
    asked = ["squeue", "--noheader", "--array", "--format=%i", "--user", str(os.getuid())]
    done = subprocess.run(asked, capture_output=True, text=True)
    return None if done.returncode else set(done.stdout.split())
