"""`python -m toylab`: what `launch.sh` runs. Imports only what a command needs."""

import importlib
import os
import sys
from collections.abc import Sequence

from toylab import __version__
from toylab.shell.files import program

DEFAULT = "selection"
USAGE = """toylab: persona selection against new-goal formation, measured

  ./launch.sh                       the default experiment, selection, from nothing
  ./launch.sh EXPERIMENT [FLAGS]    trains what is missing, measures it, leaves figure and claims
  ./launch.sh EXPERIMENT --help     every flag of an experiment
  ./launch.sh new NAME              makes the folder of an experiment of your own
  ./launch.sh run-experiment PATH   an experiment of your own: a folder with a sweep.py, anywhere
  ./launch.sh list                  the experiments, one line each, with measured cost
  ./launch.sh run --corpus=FILE --stages=pretrain,sft:mira,rl:code=cheats    a custom run
  ./launch.sh measure RUN           puts any finished run on the whole ladder
  ./launch.sh corpus check|show|sample|export FILE
  ./launch.sh all [FLAGS]           every experiment, then the report (--long: other casts, sizes)
  ./launch.sh report                findings, figures and claims as one HTML file
  ./launch.sh render                writes claims and corpus keys into README and docs/
  ./launch.sh bench                 speed, as ratios measured side by side
  ./launch.sh tensorboard           watches the runs in a browser
  ./launch.sh test                  the tests

  --quick   a minute or a few on two scratch seeds: checks plumbing, not science
  --plan    says what would be trained, what is reused, minutes and disk; trains nothing
"""
COMMANDS = {
    "run-experiment": ("described", "main"),
    "new": ("new", "main"),
    "list": ("described", "show"),
    "run": ("own", "run"),
    "measure": ("own", "measure"),
    "corpus": ("corpus", "main"),
    "all": ("everything", "main"),
    "report": ("report", "main"),
    "render": ("report", "render_documents"),
    "bench": ("bench", "main"),
    "tensorboard": ("tensorboard", "main"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit code. Bad input prints one line and returns 2."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [DEFAULT]
    if command in ("--version", "-version", "version"):
        print(f"toylab {__version__}")
        return 0
    if command in ("--help", "-help", "-h", "help", "--help-all"):
        print(_here(USAGE), end="")
        return 0
    try:
        return _run(command, rest)
    except KeyboardInterrupt:
        print("\ntoylab: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `| head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(command: str, rest: list[str]) -> int:
    from toylab.lab.flags import Help, UsageError
    from toylab.world.schema import CorpusError

    if command.startswith("-"):
        command, rest = DEFAULT, [command, *rest]
    rest = ["--help" if argument == "-h" else argument for argument in rest]
    try:
        if command not in COMMANDS:
            from toylab.shell import described

            return described.main([command, *rest], (*COMMANDS, "test", "lint"))
        room, function = COMMANDS[command]
        return getattr(importlib.import_module(f"toylab.shell.{room}"), function)(rest)
    except Help as asked:
        print(_here(str(asked)), end="")
        return 0
    except (CorpusError, UsageError) as error:
        return _failed(str(error), 2)
    except (ArithmeticError, AssertionError, RuntimeError, ValueError) as error:
        return _explained(error)


def _explained(error: Exception) -> int:
    """Says what went wrong once all was imported; raises an error that is none of ours."""
    from toylab.lab.device import missing
    from toylab.lab.store import StoreError
    from toylab.report.claims import ClaimsError
    from toylab.stages import Diverged

    if isinstance(error, (Diverged, StoreError)):
        return _failed(str(error), 1)
    if isinstance(error, ClaimsError):
        return _failed(str(error), 2)
    if isinstance(error, (AssertionError, RuntimeError)) and (told := missing()):
        return _failed(told, 2)
    raise error


def _failed(told: str, code: int) -> int:
    print(f"toylab: {_here(told)}", file=sys.stderr)
    return code


def _here(text: str) -> str:
    return text.replace("./launch.sh", program())
