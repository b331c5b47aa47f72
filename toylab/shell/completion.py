"""`./launch.sh completion`: sets up a shell to complete toylab's commands, and completes them.

bash runs this same command for every completion, with the line in COMP_LINE.
"""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path as File

from toylab.lab import experiments, names
from toylab.lab.flags import Flags
from toylab.shell import described
from toylab.shell.files import RUNS, program
from toylab.world.derive import SHIPPED

HELP = """./launch.sh completion

Prints a line that makes bash complete commands, experiments, runs and flags. Add to ~/.bashrc:
  eval "$(./launch.sh completion)"
In zsh, this comes first: autoload -U bashcompinit && bashcompinit

"""
ACTIONS = ("check", "show", "sample", "export")


def main(arguments: Sequence[str], commands: Sequence[str] = ()) -> int:
    """Prints the line that sets up a shell, or, if the shell asks, the possible completions."""
    if line := os.environ.get("COMP_LINE"):
        place = int(os.environ.get("COMP_POINT", len(line)))
        print("\n".join(following(line[:place].split(" ")[1:], commands)))
        return 0
    Flags(HELP).parse(arguments)
    here = program()
    path = str(SHIPPED / "launch.sh") if here.startswith("./") else here
    print(f"complete -o default -C {shlex.quote(f'{path} completion')} {here} {File(here).name}")
    return 0


def following(words: Sequence[str], commands: Sequence[str]) -> list[str]:
    """The possible completions of the last word."""
    *before, last = words or [""]
    if not before:
        known = [*commands, *experiments.shipped()]
    elif before[0] in experiments.shipped():
        flags = described.describe(experiments.HOME / before[0]).flags["--quick" in before][1]
        known = [f"--{name}" for name in flags]
    elif before[0] in ("measure", "chat", "sample", "compare"):
        known = [name for name, run in names.everything(RUNS).items() if run.done]
    elif before[0] in ("tensorboard", "runs"):
        known = names.listed(RUNS)
    elif before[0] == "figures":
        known = experiments.shipped()
    elif before[0] == "corpus":
        corpora = sorted(file.stem for file in (SHIPPED / "corpora").glob("*.toml"))
        known = corpora if before[1:] else list(ACTIONS)
    else:
        known = []
    return [each for each in known if each.startswith(last)]
