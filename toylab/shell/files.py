"""Where files are, and what to type to run the program."""

import os
from pathlib import Path

INTERRUPTED = 130  # the exit code after Ctrl-C, as shells have it
RUNS, RESULTS = Path("runs"), Path("results")  # below the working folder, like everything written


def user_path(name: str) -> Path:
    """A path that a user gave, relative to where the command was typed."""
    return Path(os.environ.get("TOYLAB_CWD", ".")) / name


def program() -> str:
    """The command to type: launch.sh in a checkout, else the one that pip installed."""
    return "./launch.sh" if "TOYLAB_CWD" in os.environ else "toylab"
