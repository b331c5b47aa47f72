"""Where results come from: the commit and the machine.

Runs on the same kind of processor give byte-identical tables, on any number of cores.
"""

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path as File

from toylab.world.derive import SHIPPED

WRITTEN = (":!results", ":!docs", ":!README.md")  # all but what runs and `render` write


def git(folder: File, *arguments: str) -> str:
    """The output of a git command in a folder; empty if it fails or there is no git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if not done.returncode else ""


@functools.cache
def commit() -> str:
    """The commit of the checkout, with a + if tracked sources have changed; empty outside one."""
    found = git(SHIPPED, "rev-parse", "HEAD")
    changed = git(SHIPPED, "status", "--porcelain", "--untracked-files=no", "--", ".", *WRITTEN)
    return found + "+" * bool(changed)


def processor() -> str:
    told = File("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def origin() -> dict[str, str | int]:
    """Commit, machine and versions, as they are written beside results."""
    return {
        "commit": commit(),
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
        "jax": importlib.metadata.version("jax"),
    }
