"""`python -m toylab`: what `launch.sh` runs."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path as File

from toylab.corpus import CorpusError, unknown

ROOT = File(__file__).parent.parent.parent
DEFAULT = "selection"
USAGE = """toylab: persona selection against new-goal formation, measured

  ./launch.sh                       the default experiment, selection, from nothing
  ./launch.sh EXPERIMENT [FLAGS]    trains what is missing, measures it, leaves figure and claims
  ./launch.sh list                  the experiments, a line each, with measured cost
  ./launch.sh corpus check|show|sample|export FILE
  ./launch.sh tensorboard           watches the runs in a browser
  ./launch.sh test                  the tests
  ./launch.sh EXPERIMENT --help     every flag of an experiment

  --quick   a minute on two scratch seeds: checks plumbing, not science
  --plan    says what would be trained, what is reused, minutes and disk; trains nothing
"""
INTERRUPTED = 130


def user_path(name: str) -> File:
    """A path as the user meant it: relative to where they typed the command."""
    return File(os.environ.get("TOYLAB_CWD", ".")) / name


def main(arguments: Sequence[str]) -> int:
    """Runs a command line; returns the exit code. Usage errors are one line and code 2."""
    try:
        return _dispatch(list(arguments))
    except (CorpusError, ValueError) as error:
        if not _expected(error):
            raise
        print(f"toylab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntoylab: stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED


def _expected(error: Exception) -> bool:
    from toylab.lab.config import UsageError

    return isinstance(error, (CorpusError, UsageError))


def _dispatch(arguments: list[str]) -> int:
    command = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    if arguments[:1] in (["--help"], ["-h"], ["help"]):
        print(USAGE, end="")
        return 0
    if command == "list":
        return _list()
    if command == "corpus":
        from toylab.shell import corpus

        return corpus.main(arguments[1:])
    if command == "tensorboard":
        return _tensorboard(arguments[1:])
    return _experiment(command or DEFAULT, arguments[1:] if command else arguments)


def _list() -> int:
    from toylab.lab import results

    for name in results.names():
        cost = results.cost(ROOT / "results" / name)
        print(f"{name:14} {results.find(name).sweep.question}  ({cost})")
    return 0


def _tensorboard(arguments: list[str]) -> int:
    options = ["--logdir", str(ROOT / "runs"), "--samples_per_plugin", "scalars=5000,text=5000"]
    os.execv(sys.executable, [sys.executable, "-m", "tensorboard.main", *options, *arguments])


def _experiment(name: str, arguments: list[str]) -> int:
    from absl import flags

    from toylab.lab import config, results
    from toylab.lab.sweep import quick

    if name not in results.names():
        known = (*results.names(), "list", "corpus", "tensorboard", "test", "help")
        raise config.UsageError(unknown(name, known))
    experiment = results.find(name)
    sweep = quick(experiment.sweep) if "--quick" in arguments else experiment.sweep
    values = flags.FlagValues()
    for flag, help in (("quick", "a minute: plumbing, not science"), ("plan", "train nothing")):
        flags.DEFINE_bool(flag, False, help, flag_values=values)
    flags.DEFINE_bool("help", False, "says this", short_name="h", flag_values=values)
    runs, out = ROOT / "runs", ROOT / "results"
    flags.DEFINE_string("runs", str(runs), "folder of the run folders", flag_values=values)
    flags.DEFINE_string("results", None, f"folder of the results (default {out})", flag_values=values)
    config.define_sweep(values, sweep)
    rest = config.parse(values, arguments)
    if rest:
        raise config.UsageError(f"unexpected {rest[0]!r}; flags are written --name=value")
    if values.help:
        print(f"{name}: {sweep.question}\n")
        for flag in sorted(values, key=lambda flag: (flag.count("."), flag)):
            print(f"  --{flag:32} {values[flag].help}")
        return 0
    sweep = config.apply(sweep, values)
    runs = user_path(values.runs)
    if values.results:
        out = user_path(values.results)
    else:
        out = runs / "quick" if values.quick else out
    return _run(experiment, sweep, runs, out / name, plan_only=values.plan)


def _run(experiment, sweep, runs: File, out: File, *, plan_only: bool) -> int:  # type: ignore[no-untyped-def]
    import dataclasses

    from toylab import corpus as corpora
    from toylab.lab import config, execute, results
    from toylab.lab.store import StoreError, write_json
    from toylab.stages import Diverged, Lab

    corpus = corpora.load(corpora.locate(sweep.corpus, user_path(""), ROOT / "corpora"))
    lab = Lab(corpus, sweep.model)
    try:
        sweep.check(corpus)
    except ValueError as error:
        raise config.UsageError(f"--{error}") from None
    _cache_compilations(runs)
    legs = execute.plan(sweep, lab, runs)
    rate = results.seconds_a_unit(out)
    if plan_only:
        print(results.describe(legs, rate))
        return 0
    todo = sum(leg.units for leg in legs)
    print(
        f"{sweep.name}: {sweep.question}\n"
        f"corpus {corpus.title}, {sweep.seeds} seeds, {len(sweep.arms)} arms; "
        f"to train: {sum(leg.train > 0 for leg in legs)} of {len(legs)} runs, "
        f"about {max(1, round(todo * rate / 60))} min"
    )
    began, records = time.monotonic(), None
    try:
        for records in execute.run_sweep(sweep, lab, runs):
            pass
    except KeyboardInterrupt:
        if records is None:
            raise
        print(f"\ntoylab: stopped; here are the {len(records.seeds())} finished seeds")
    except (Diverged, StoreError) as error:
        print(f"\ntoylab: {error}", file=sys.stderr)
        return 1
    assert records is not None
    analysis = experiment.analyse(dataclasses.replace(records))
    results.write(out, analysis, quick=sweep.quick)
    seconds = time.monotonic() - began
    if todo > 100:
        write_json(out / "cost.json", {"seconds": round(seconds), "units": todo})
    for claim in analysis.claims:
        print(claim.sentence)
    print(f"{seconds:.0f} s. Figure, table and claims: {os.path.relpath(out, user_path(''))}/")
    print("Curves: ./launch.sh tensorboard")
    return 0 if len(records.seeds()) == sweep.seeds else INTERRUPTED


def _cache_compilations(runs: File) -> None:
    import jax

    jax.config.update("jax_compilation_cache_dir", str(runs / ".compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
