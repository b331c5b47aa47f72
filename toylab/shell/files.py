"""Where things are."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def user_path(name: str) -> Path:
    """A path as the user meant it: relative to where they typed the command."""
    return Path(os.environ.get("TOYLAB_CWD", ".")) / name
