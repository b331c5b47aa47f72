"""Where files are, and what to type to run the program."""

import errno
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


FIXES = {
    errno.ENOSPC: "make room; the same command then goes on from here",
    errno.EDQUOT: "make room; the same command then goes on from here",
    errno.ENOTDIR: "a file is where a folder should be; choose another (--runs, --results)",
    errno.EEXIST: "a file is where a folder should be; choose another (--runs, --results)",
    errno.EISDIR: "a folder is where a file should be; delete it and run again",
}


def told(error: OSError) -> str:
    """The system's message, the file it is about, and what may help."""
    fix = FIXES.get(error.errno or 0, "check the path and its permissions (--runs, --results)")
    file = error.filename2 or error.filename or "writing"  # of two, that which was to be replaced
    return f"{file}: {error.strerror or error}; {fix}"
