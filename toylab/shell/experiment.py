"""Runs one experiment: flags, plan, training and reading, results."""

import dataclasses
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path as File

from toylab.lab import config, device, execute
from toylab.lab.costs import Costs
from toylab.lab.flags import Flags, UsageError
from toylab.lab.plan import Leg, plan
from toylab.lab.records import Records
from toylab.lab.store import write_json
from toylab.lab.sweep import Sweep, quick
from toylab.report import results
from toylab.report.results import Experiment
from toylab.shell.files import INTERRUPTED, RESULTS, RUNS, program, user_path
from toylab.stages import Setup
from toylab.world import derive
from toylab.world.schema import Corpus


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
    config.define_sweep(values, sweep)
    return values


def start(experiment: Experiment, arguments: Sequence[str]) -> int:
    """Runs an experiment with the given flags."""
    shortened = "--quick" in arguments
    sweep = quick(experiment.sweep) if shortened else experiment.sweep
    values = flags(sweep)
    values.parse(arguments)
    sweep = config.apply(sweep, values.given)
    runs = user_path(values["runs"]) if "runs" in values.given else RUNS
    out = RUNS / "quick" if shortened else RESULTS
    out = (user_path(values["results"]) if "results" in values.given else out) / sweep.name
    setups = sweep.setups(corpus)
    try:
        sweep.check(setups)
    except ValueError as error:
        raise UsageError(f"--{error}") from None
    legs = plan(sweep, setups, runs)
    if values["plan"]:
        print(results.describe(legs, results.seconds_a_unit(out)))
        return 0
    execute.keep_compiled(RUNS)
    return _run(dataclasses.replace(experiment, sweep=sweep), setups, legs, runs, out)


def _run(
    experiment: Experiment, setups: Mapping[str, Setup], legs: list[Leg], runs: File, out: File
) -> int:
    sweep, costs = experiment.sweep, Costs(runs)
    units = sum(leg.units for leg in legs)
    minutes = units * results.seconds_a_unit(out) / 60
    print(
        f"{sweep.name}: {sweep.question}\n"
        f"{', '.join(dict.fromkeys(setup.corpus.title for setup in setups.values()))}; "
        f"{sweep.seeds} seeds, {len(sweep.arms)} arms; "
        f"{sum(leg.train > 0 for leg in legs)} of {len(legs)} models are to be trained; "
        f"about {max(1, round(minutes))} min",
        flush=True,
    )
    if told := device.unused():
        print(f"toylab: {told}", file=sys.stderr)
    began = time.monotonic()
    records: Records | None = None
    try:
        for finished in execute.run_sweep(sweep, setups, runs):
            records = finished
    except KeyboardInterrupt:
        if records is None:
            raise
        print(f"\ntoylab: stopped; this is of the {len(records.seeds())} seeds finished so far")
    assert records is not None
    analysis = experiment.analyse(records)
    judged = experiment.judge(analysis)
    results.write(out, analysis, judged, quick=sweep.quick)
    seconds = time.monotonic() - began
    complete = len(records.seeds()) == sweep.seeds
    whole = sum(leg.units for leg in plan(sweep, setups, runs / "nothing yet", costs))
    if complete and 4 * units >= whole:
        cost = {"seconds": round(seconds), "units": units, "whole": whole}
        write_json(out / "cost.json", cost)
    for claim in judged:
        print(claim.sentence)
    print(
        f"{seconds:.0f} s; figure, table and claims are in {os.path.relpath(out, user_path(''))}/"
    )
    print(f"the curves: {program()} tensorboard")
    return 0 if complete else INTERRUPTED
