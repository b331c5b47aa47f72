"""One experiment: its flags, and the sweep that they describe."""

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path as File
from typing import Any

from toylab.lab import cluster, config, execute, experiments, machine
from toylab.lab.flags import Flags, UsageError, switch
from toylab.lab.rehearsal import Unread, rehearse
from toylab.lab.store import load_json, reading
from toylab.lab.sweep import Sweep, quick
from toylab.report import results
from toylab.report.results import Experiment
from toylab.shell import running
from toylab.shell.files import RESULTS, RUNS, folder, user_path
from toylab.shell.running import SETTINGS, Asked
from toylab.stages import Setup
from toylab.world import derive
from toylab.world.schema import Corpus

HOW = (
    "quick",
    "plan",
    "runs",
    "results",
    "jobs",
    "cluster",
)  # flags that change no setting
More = Mapping[str, tuple[type, Any, str]]
NONE: More = {}
MOST = 1000  # jobs of an array that run at once, by default


def corpus(name: str, beside: File | None = None) -> Corpus:
    """A corpus by name or file. A file may be where the command was typed, or else in `beside`."""
    here = user_path("")
    if beside and not (here / name).is_file() and (beside / name).is_file():
        here = beside
    return derive.load(name, here)


def flags(sweep: Sweep, more: More = NONE) -> Flags:
    """The flags of an experiment: the common ones, `more`, and one for every field of its sweep."""
    values = Flags(
        f"./launch.sh {sweep.name} [FLAGS]: {sweep.question}\n\n",
        quick=(bool, False, "a few minutes on development seeds: tests the code, not claims"),
        plan=(bool, False, "prints what would be trained; trains nothing"),
        runs=(str, str(RUNS), "folder that holds the runs"),
        results=(str, str(RESULTS), "folder that holds the results"),
        **more,
    )
    values.define("jobs", int, None, "processes (default: one for each core)", (1, 10_000))
    slurm = "Slurm jobs: slurm, or slurm:partition=NAME,… (docs/clusters.md)"
    values.define("cluster", str, None, slurm)
    config.define_sweep(values, sweep)
    return values


def ask(experiment: Experiment, arguments: Sequence[str], more: More = NONE) -> tuple[Asked, Flags]:
    """The experiment as these flags describe it. Raises `UsageError` or `CorpusError`."""
    short, _ = switch(arguments, "quick")
    registered = quick(experiment.sweep) if short else experiment.sweep
    values = flags(registered, more)
    values.parse(arguments)
    sweep = config.apply(registered, values.given)
    if experiment.analyse is not results.plain:
        _check_stages(registered, sweep, values)
    setups = sweep.setups(functools.partial(corpus, beside=experiment.folder))
    try:
        sweep.check(setups)
    except ValueError as error:
        raise UsageError(f"--{error}") from None
    try:
        rehearse(sweep, setups, experiment.analyse)
    except Unread as error:
        where = experiments.line_of(error, experiment.folder) if experiment.folder else ""
        raise UsageError(f"{where or sweep.name}: {error}") from None
    changed = {**experiment.changed}  # a custom run's stages
    whole = dataclasses.replace(sweep, seeds=max(sweep.seeds, registered.seeds))
    if changed or whole != registered:  # running fewer seeds changes no setting
        changed |= {name: value for name, value in values.given.items() if name not in HOW}
    experiment = dataclasses.replace(experiment, sweep=sweep, changed=changed)
    fewer = sweep.seeds < registered.seeds
    return Asked(experiment, setups, _place(experiment, setups, values, fewer)), values


def _check_stages(registered: Sweep, sweep: Sweep, values: Flags) -> None:
    """Raises `UsageError` if flags leave out a stage that the experiment's analysis reads."""
    for name, arm in sweep.arms.items():
        if len(arm.stages) < len(registered.arms[name].stages):
            flag = next(
                flag for flag, v in values.given.items() if flag.endswith(".steps") and not v
            )
            raise UsageError(
                f"--{flag}=0: the analysis of {sweep.name} reads this stage of {name!r}; "
                "make it at least 1"
            )


def _place(experiment: Experiment, setups: Mapping[str, Setup], values: Flags, fewer: bool) -> File:
    """Where results go: into `own/` unless a shipped experiment runs as registered.

    Each choice of settings has a folder. Raises `UsageError` if another experiment has used it.
    """
    sweep, source = experiment.sweep, experiment.folder
    place = RUNS if sweep.quick and "results" not in values.given else folder(values, "results")
    place = place / "quick" if sweep.quick else place
    if source and source.parent == experiments.HOME and not (experiment.changed or fewer):
        return place / sweep.name
    said = " ".join(
        f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in experiment.changed.items()
    )
    name = re.sub(r"[^\w.=]+", "-", f"{sweep.name} {said}")[:48].strip("-")
    if said:
        what = [repr(sweep), str(source), *(each.corpus.digest() for each in setups.values())]
        name += "-" + hashlib.sha256("".join(what).encode()).hexdigest()[:6]
    place = place / "own" / name
    with reading(file := place / SETTINGS):
        whose = load_json(file)["experiment"] if file.exists() else str(source)
    if whose != str(source):
        raise UsageError(f"{place}: has the results of another {name}; choose --results=FOLDER")
    return place


def start(
    experiments: Sequence[Experiment], arguments: Sequence[str], more: More = NONE
) -> tuple[list[Asked], int]:
    """Runs experiments with the given flags; returns what was run, and the exit code.

    `more` defines flags that only these experiments have. With --plan, it only prints the plan.
    """
    each = [ask(experiment, arguments, more) for experiment in experiments]
    asked, values = [one for one, _ in each], each[0][1]
    runs, slurm = folder(values), values["cluster"]
    jobs = values["jobs"] or (MOST if slurm else machine.default_jobs())
    if values["plan"]:
        running.show_plan(asked, runs, jobs)
        return [], 0
    execute.keep_compiled(RUNS)
    return asked, running.run(asked, runs, jobs, cluster.options(slurm) if slurm else None)
