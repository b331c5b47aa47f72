"""Runs one experiment: flags, plan, training and reading, results."""

import dataclasses
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path as File

import jax
from absl import flags

from toylab.lab import config, execute
from toylab.lab.records import Records
from toylab.lab.store import StoreError, write_json
from toylab.lab.sweep import Sweep, quick
from toylab.lab.usage import UsageError
from toylab.report import results
from toylab.report.results import Experiment
from toylab.shell.files import ROOT, user_path
from toylab.stages import Diverged, Setup
from toylab.world import derive

INTERRUPTED = 130


def main(name: str, arguments: Sequence[str]) -> int:
    """Runs `./launch.sh NAME ARGUMENTS`. Raises `UsageError` or `CorpusError` on bad input."""
    return start(results.find(name), arguments)


def start(experiment: Experiment, arguments: Sequence[str]) -> int:
    """Runs an experiment with the flags that were given."""
    shortened = "--quick" in arguments
    sweep = quick(experiment.sweep) if shortened else experiment.sweep
    values = _flags(sweep)
    rest = config.parse(values, arguments)
    if rest:
        raise UsageError(f"unexpected {rest[0]!r}; flags are written --name=value")
    if values.help:
        _help(sweep, values)
        return 0
    sweep = config.apply(sweep, values)
    runs = user_path(values.runs) if values.runs else ROOT / "runs"
    out = ROOT / "runs" / "quick" if shortened else ROOT / "results"
    out = (user_path(values.results) if values.results else out) / sweep.name
    setups = sweep.setups(
        lambda name: derive.load(derive.locate(name, user_path(""), ROOT / "corpora"))
    )
    try:
        sweep.check(setups)
    except ValueError as error:
        raise UsageError(f"--{error}") from None
    legs = execute.plan(sweep, setups, runs)
    if values.plan:
        print(results.describe(legs, results.seconds_a_unit(out)))
        return 0
    jax.config.update("jax_compilation_cache_dir", str(ROOT / "runs" / ".compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    return _run(dataclasses.replace(experiment, sweep=sweep), setups, legs, runs, out)


def _flags(sweep: Sweep) -> flags.FlagValues:
    values = flags.FlagValues()
    config.define(
        values, "quick", bool, False, "a minute or a few on scratch seeds: plumbing, not science"
    )
    config.define(values, "plan", bool, False, "says what would be trained; trains nothing")
    config.define(values, "help", bool, False, "says this")
    config.define(values, "runs", str, "runs", "folder of the run folders")
    config.define(values, "results", str, "results", "folder of the results")
    config.define_sweep(values, sweep)
    return values


def _help(sweep: Sweep, values: flags.FlagValues) -> None:
    print(f"./launch.sh {sweep.name} [FLAGS]: {sweep.question}\n")
    for name in sorted(values, key=lambda name: (name.count("."), name)):
        print(f"  --{name:30} {values[name].help}")


def _run(
    experiment: Experiment,
    setups: Mapping[str, Setup],
    legs: list[execute.Leg],
    runs: File,
    out: File,
) -> int:
    sweep = experiment.sweep
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
    began = time.monotonic()
    records: Records | None = None
    try:
        for finished in execute.run_sweep(sweep, setups, runs):
            records = finished
    except KeyboardInterrupt:
        if records is None:
            raise
        print(f"\ntoylab: stopped; this is of the {len(records.seeds())} seeds finished so far")
    except (Diverged, StoreError) as error:
        print(f"\ntoylab: {error}", file=sys.stderr)
        return 1
    assert records is not None
    analysis = experiment.analyse(records)
    judged = experiment.judge(analysis)
    results.write(out, analysis, judged, quick=sweep.quick)
    seconds = time.monotonic() - began
    complete = len(records.seeds()) == sweep.seeds
    whole = sum(leg.units for leg in execute.plan(sweep, setups, runs / "nothing yet"))
    if complete and 4 * units >= whole:
        cost = {"seconds": round(seconds), "units": units, "whole": whole}
        write_json(out / "cost.json", cost)
    for claim in judged:
        print(claim.sentence)
    print(
        f"{seconds:.0f} s; figure, table and claims are in {os.path.relpath(out, user_path(''))}/"
    )
    print("the curves: ./launch.sh tensorboard")
    return 0 if complete else INTERRUPTED
