"""`python -m toylab`: what `launch.sh` runs. Imports only what a command needs."""

import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from toylab import __version__
from toylab.shell.files import STOPPED, code_of, program, told
from toylab.world.schema import shortened

DEFAULT = "selection"
FEWER = "--seeds=5"  # without arguments: half the time. Claims need all seeds
USAGE = """toylab: persona selection against new-goal formation, measured

run   ./launch.sh                 five seeds of the default experiment, selection
      ./launch.sh list            the experiments, one line each, with measured cost
      ./launch.sh NAME            runs one: trains what is missing, writes
                                  figure, table and claims to results/NAME
      ./launch.sh run --corpus=FILE --stages=pretrain,sft:mira    your own stages
see   ./launch.sh tensorboard     watches training in a browser
      ./launch.sh chat [RUN]      questions a model, and shows after each word who
                                  is probably speaking
      ./launch.sh runs            what has been run, by name
      ./launch.sh measure RUN     the whole ladder; also: sample, compare
      ./launch.sh report          all findings as one HTML file
make  ./launch.sh new NAME        an experiment of your own
      ./launch.sh corpus show village    a cast in words (check, sample, export)

  --quick     a few minutes at most, on scratch seeds: tests code, not claims
  --plan      what would be trained and reused, minutes and disk; trains nothing
  --help      after a command: its flags. Without one, --help-all: all commands
"""
MORE = """
      ./launch.sh run-experiment PATH    a folder with a sweep.py, anywhere
      ./launch.sh all             every experiment, then the report
      ./launch.sh figures         redraws figures from their tables
      ./launch.sh render          writes claims and corpus keys into the documents
      ./launch.sh bench           speed, as ratios measured side by side
      ./launch.sh completion      completion of all this in bash or zsh
      ./launch.sh test, lint, docs    the tests, the style, the pages as a site
      ./launch.sh torture         tries kills, damage, races and nonsense input
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
    "runs": ("finished", "show"),
    "chat": ("chat", "main"),
    "sample": ("chat", "sample"),
    "compare": ("finished", "compare"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit code. Bad input prints one line and returns 2."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [DEFAULT, FEWER]
    return carried_out(lambda: _run(command, rest))


def carried_out(work: Callable[[], int]) -> int:
    """Does what a command asks for; returns the exit code. Expected errors are one line."""
    os.environ["MPLBACKEND"] = "agg"  # whatever a notebook or a desktop has set
    try:
        code = _or_helps(work)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as stop:
        print(f"\ntoylab: {STOPPED}", file=sys.stderr)
        return code_of(stop)
    except BrokenPipeError:  # the reader, such as `| head`, has closed the pipe
        _forget_output()
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename:
            _forget_output()  # it may be on the full disk
        line, code = told(error), 2 if isinstance(error, ValueError) else 1
        if isinstance(error, ModuleNotFoundError) and error.name:
            line = f"the package {error.name} is missing; delete .venv and start again"
        if line is None and isinstance(error, AssertionError | RuntimeError):
            from toylab.lab.machine import device_missing

            line, code = device_missing(), 2
        if not line:
            raise
        print(f"toylab: {shortened(_here(line))}", file=sys.stderr)
        return code


def _or_helps(work: Callable[[], int]) -> int:
    from toylab.lab.flags import Help

    try:
        return work()
    except Help as asked:
        print(_here(str(asked)), end="")
        return 0


def _run(command: str, rest: list[str]) -> int:
    if command in ("--version", "-version", "version"):
        print(f"toylab {__version__}")
        return 0
    if command in ("--help", "-help", "-h", "help", "--help-all"):
        print(_here(USAGE + MORE * (command == "--help-all")), end="")
        return 0
    if command.startswith("-"):
        command, rest = DEFAULT, [command, *rest]
    rest = ["--help" if argument == "-h" else argument for argument in rest]
    words = (*COMMANDS, "completion", "test", "lint", "docs", "torture")
    if command == "completion":
        from toylab.shell import completion

        return completion.main(rest, words)
    if command not in COMMANDS:
        from toylab.shell import described

        return described.main([command, *rest], words)
    room, function = COMMANDS[command]
    return getattr(importlib.import_module(f"toylab.shell.{room}"), function)(rest)


def _forget_output() -> None:
    """Discards unwritten standard output, which Python would otherwise write when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _here(text: str) -> str:
    return text.replace("./launch.sh", program())
