"""`python -m toylab`: what `launch.sh` runs. Imports what a command needs and no more."""

import os
import sys
from collections.abc import Sequence

from toylab.lab.usage import UsageError
from toylab.shell.files import ROOT
from toylab.world.schema import CorpusError, unknown

DEFAULT = "selection"
USAGE = """toylab: persona selection against new-goal formation, measured

  ./launch.sh                       the default experiment, selection, from nothing
  ./launch.sh EXPERIMENT [FLAGS]    trains what is missing, measures it, leaves figure and claims
  ./launch.sh EXPERIMENT --help     every flag of an experiment
  ./launch.sh list                  the experiments, a line each, with measured cost
  ./launch.sh run --corpus=FILE --stages=pretrain,sft:mira,rl:code=cheats    a path of one's own
  ./launch.sh measure RUN           puts any finished run on the whole ladder
  ./launch.sh corpus check|show|sample|export FILE
  ./launch.sh all [FLAGS]           every experiment, then the report (--long: other casts, sizes)
  ./launch.sh report                findings, figures and claims as one HTML file
  ./launch.sh bench                 speed, as ratios measured side by side
  ./launch.sh tensorboard           watches the runs in a browser
  ./launch.sh test                  the tests

  --quick   a minute or a few on two scratch seeds: checks plumbing, not science
  --plan    says what would be trained, what is reused, minutes and disk; trains nothing
"""
COMMANDS = (
    "list", "run", "measure", "corpus", "all", "report", "bench", "tensorboard", "help",
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Runs a command line; returns the exit code. Bad input is one line, and code 2."""
    try:
        return _dispatch(list(arguments))
    except (CorpusError, UsageError) as error:
        print(f"toylab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntoylab: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] in (["--help"], ["-h"], ["help"]):
        print(USAGE, end="")
        return 0
    named = bool(arguments) and not arguments[0].startswith("-")
    command, rest = (arguments[0], arguments[1:]) if named else (DEFAULT, arguments)
    if command == "tensorboard":
        options = ["--logdir", str(ROOT / "runs"), "--samples_per_plugin", "scalars=5000,text=5000"]
        os.execv(sys.executable, [sys.executable, "-m", "tensorboard.main", *options, *rest])
    if command in ("run", "measure"):
        from toylab.shell import own

        return getattr(own, command)(rest)
    if command == "corpus":
        from toylab.shell import corpus

        return corpus.main(rest)
    if command == "bench":
        from toylab.shell import bench

        return bench.main(rest)
    if command == "report":
        from toylab.shell import report

        return report.main(rest)
    if command == "all":
        from toylab.shell import everything

        return everything.main(rest)
    known = sorted(file.parent.name for file in (ROOT / "experiments").glob("*/sweep.py"))
    if command not in (*known, *COMMANDS):
        raise UsageError(unknown(command, (*known, *COMMANDS, "test")))
    if command == "list":
        from toylab.report import results

        for name in known:
            sweep, cost = results.find(name).sweep, results.cost(ROOT / "results" / name)
            only = "; in `all` only with --long" if sweep.long else ""
            print(f"{name:14} {sweep.question}  ({cost}{only})")
        return 0
    from toylab.shell import experiment

    return experiment.main(command, rest)
