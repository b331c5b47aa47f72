"""`python -m toylab`: what `launch.sh` runs. Imports only what a command needs."""

import errno
import importlib
import os
import sys
from collections.abc import Sequence

from toylab import __version__
from toylab.shell.files import program
from toylab.world.schema import CorpusError, shortened

DEFAULT = "selection"
FEWER = "--seeds=5"  # without arguments: five minutes, not ten; the claims are for all of its seeds
USAGE = """toylab: persona selection against new-goal formation, measured

  ./launch.sh                       five seeds of the default experiment, selection
  ./launch.sh EXPERIMENT [FLAGS]    trains what is missing, measures it, leaves figure and claims
  ./launch.sh EXPERIMENT --help     every flag of an experiment
  ./launch.sh new NAME              makes the folder of an experiment of your own
  ./launch.sh run-experiment PATH   an experiment of your own: a folder with a sweep.py, anywhere
  ./launch.sh list                  the experiments, one line each, with measured cost
  ./launch.sh run --corpus=FILE --stages=pretrain,sft:mira,rl:code=cheats    a custom run
  ./launch.sh runs                  what has been run, by name
  ./launch.sh measure RUN           puts any finished run on the whole ladder
  ./launch.sh chat [RUN]            asks it, and says after each word who would say that
  ./launch.sh sample RUN            documents that it writes
  ./launch.sh compare RUN RUN       two runs side by side
  ./launch.sh corpus check|show|sample|export FILE
  ./launch.sh all [FLAGS]           every experiment, then the report (--long: other casts, sizes)
  ./launch.sh report                findings, figures and claims as one HTML file
  ./launch.sh figures               draws figures anew from their tables
  ./launch.sh render                writes claims and corpus keys into README and docs/
  ./launch.sh bench                 speed, as ratios measured side by side
  ./launch.sh tensorboard           watches the runs in a browser
  ./launch.sh test                  the tests
  ./launch.sh torture               kills, damages, races and nonsense, with counts of what held

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
    "figures": ("report", "redraw"),
    "render": ("report", "render_documents"),
    "bench": ("bench", "main"),
    "tensorboard": ("tensorboard", "main"),
    "torture": ("torture", "main"),
    "runs": ("finished", "show"),
    "chat": ("chat", "main"),
    "sample": ("chat", "sample"),
    "compare": ("finished", "compare"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit code. Bad input prints one line and returns 2."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [DEFAULT, FEWER]
    os.environ["MPLBACKEND"] = "agg"  # whatever a notebook or a desktop has set
    try:
        code = _run(command, rest)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("\ntoylab: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `| head`, has closed the pipe
        _forget_output()
        return 0
    except Exception as error:
        if (expected := _expected(error)) is None:
            raise
        told, code = expected
        print(f"toylab: {shortened(_here(told))}", file=sys.stderr)
        return code


def _run(command: str, rest: list[str]) -> int:
    from toylab.lab.flags import Help

    if command in ("--version", "-version", "version"):
        print(f"toylab {__version__}")
        return 0
    if command in ("--help", "-help", "-h", "help", "--help-all"):
        print(_here(USAGE), end="")
        return 0
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


def _expected(error: Exception) -> tuple[str, int] | None:
    """What to say of an error that can be expected, and the exit code: 2 for bad input.

    The only place where errors end; None for one that is none of ours.
    """
    from toylab.lab.flags import UsageError

    if isinstance(error, CorpusError | UsageError):
        return str(error), 2
    if isinstance(error, OSError):
        return _system(error), 1
    if isinstance(error, MemoryError):
        return "memory is short; close other programs, or run with fewer --jobs", 1
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"the package {error.name} is missing; delete .venv and start again", 1

    from toylab.lab.device import missing
    from toylab.lab.store import StoreError
    from toylab.report.claims import ClaimsError
    from toylab.stages import Diverged

    if isinstance(error, Diverged | StoreError | ClaimsError):
        return str(error), 2 if isinstance(error, ClaimsError) else 1
    if isinstance(error, AssertionError | RuntimeError) and (told := missing()):
        return told, 2
    return None


FIXES = {
    errno.ENOSPC: "make room; the same command then goes on from here",
    errno.EDQUOT: "make room; the same command then goes on from here",
    errno.ENOTDIR: "a file is where a folder should be; choose another (--runs, --results)",
    errno.EEXIST: "a file is where a folder should be; choose another (--runs, --results)",
}


def _system(error: OSError) -> str:
    """What the system said, of which file, and what may help."""
    if error.errno == errno.ENOSPC and not error.filename:
        _forget_output()  # which may be what can't be written
    fix = FIXES.get(error.errno or 0, "check the path and its permissions (--runs, --results)")
    return f"{error.filename or 'writing'}: {error.strerror or error}; {fix}"


def _forget_output() -> None:
    """Drops what is still to be written to standard output, which Python would try at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _here(text: str) -> str:
    return text.replace("./launch.sh", program())
