"""One experiment: its flags, and what they ask for."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path as File

from toylab.lab import cluster, config, execute, workers
from toylab.lab.flags import Flags, UsageError
from toylab.lab.plan import plan
from toylab.lab.sweep import Sweep, quick
from toylab.report import results
from toylab.report.results import Experiment
from toylab.shell import running
from toylab.shell.files import RESULTS, RUNS, user_path
from toylab.shell.running import Asked
from toylab.world import derive
from toylab.world.schema import Corpus

MOST = 1000  # of an array's jobs that run at once, unless --jobs says so


def corpus(name: str) -> Corpus:
    """The corpus that a user names, by name or file."""
    return derive.load(name, user_path(""))


def flags(sweep: Sweep) -> Flags:
    """The flags of an experiment: those of all, and one for every field of its sweep."""
    values = Flags(
        f"./launch.sh {sweep.name} [FLAGS]: {sweep.question}\n\n",
        quick=(bool, False, "a few minutes on development seeds: checks plumbing, not science"),
        plan=(bool, False, "says what would be trained; trains nothing"),
        runs=(str, str(RUNS), "folder of the run folders"),
        results=(str, str(RESULTS), "folder of the results"),
    )
    values.define("jobs", int, None, "processes (default: one for each core)", low=1)
    slurm = "as jobs of Slurm: slurm, or slurm:partition=NAME,time=MINUTES,... (docs/clusters.md)"
    values.define("cluster", str, None, slurm)
    config.define_sweep(values, sweep)
    return values


def ask(experiment: Experiment, arguments: Sequence[str]) -> tuple[Asked, Flags]:
    """The experiment as these flags ask for it. Raises `UsageError` or `CorpusError`."""
    shortened = "--quick" in arguments
    sweep = quick(experiment.sweep) if shortened else experiment.sweep
    values = flags(sweep)
    values.parse(arguments)
    sweep = config.apply(sweep, values.given)
    out = RUNS / "quick" if shortened else RESULTS
    out = (user_path(values["results"]) if "results" in values.given else out) / sweep.name
    setups = sweep.setups(corpus)
    try:
        sweep.check(setups)
    except ValueError as error:
        raise UsageError(f"--{error}") from None
    return Asked(dataclasses.replace(experiment, sweep=sweep), setups, out), values


def start(experiment: Experiment, arguments: Sequence[str]) -> int:
    """Runs an experiment with the given flags."""
    asked, values = ask(experiment, arguments)
    if values["plan"]:
        graph = plan([(asked.experiment.sweep, asked.setups)], runs_of(values))
        (minutes,) = running.minutes([asked], graph, jobs_of(values))
        print(results.describe(asked.experiment.sweep, asked.setups, graph, minutes))
        return 0
    execute.keep_compiled(RUNS)
    return running.run([asked], runs_of(values), jobs_of(values), slurm_of(values))


def runs_of(values: Flags) -> File:
    """The folder of run folders."""
    return user_path(values["runs"]) if "runs" in values.given else RUNS


def jobs_of(values: Flags) -> int:
    """How many processes at once: on a cluster, as many as there are seeds."""
    most = MOST if values["cluster"] else workers.default_jobs()
    return values.given.get("jobs") or most


def slurm_of(values: Flags) -> dict[str, str] | None:
    """The options for Slurm, if it is to be used. Raises `UsageError`."""
    return cluster.options(values["cluster"]) if values["cluster"] else None
