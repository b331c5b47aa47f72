"""Where things are, and what the program is called here."""

import os
from pathlib import Path

RUNS, RESULTS = Path("runs"), Path("results")  # below the working folder, like all that is written


def user_path(name: str) -> Path:
    """A path as the user meant it: relative to where they typed the command."""
    return Path(os.environ.get("TOYLAB_CWD", ".")) / name


def program() -> str:
    """What to type: launch.sh in a checkout, else the command that pip installed."""
    return "./launch.sh" if "TOYLAB_CWD" in os.environ else "toylab"
