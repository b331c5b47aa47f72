"""Where files are, and what to type to run the program."""

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toylab.lab.flags import Flags

STOPPED = "stopped; run the same command to resume"
RUNS, RESULTS = Path("runs"), Path("results")  # defaults, below the folder of the process


def user_path(name: str) -> Path:
    """A path that a user gave, relative to where the command was typed."""
    return Path(os.environ.get("TOYLAB_CWD", ".")) / name


def folder(values: "Flags", flag: str = "runs") -> Path:
    """The folder that --runs or --results names, or the default."""
    return user_path(values.given[flag]) if flag in values.given else Path(flag)


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def program() -> str:
    """The command to type: launch.sh in a checkout, else the one that pip installed."""
    return "./launch.sh" if "TOYLAB_CWD" in os.environ else "toylab"


FIXES = {
    errno.ENOSPC: "make room, then run the same command to resume",
    errno.EDQUOT: "make room, then run the same command to resume",
    errno.ENOTDIR: "a file is where a folder should be; choose another (--runs, --results)",
    errno.EEXIST: "a file is where a folder should be; choose another (--runs, --results)",
    errno.EISDIR: "a folder is where a file should be; delete it and run again",
}


def told(error: BaseException) -> str | None:
    """The message for an expected error, with the fix; None for any other."""
    if isinstance(error, OSError):
        fix = FIXES.get(error.errno or 0, "check the path and its permissions (--runs, --results)")
        file = error.filename2 or error.filename or "writing"  # of two files, the one replaced
        return f"{file}: {error.strerror or error}; {fix}"
    if isinstance(error, MemoryError):
        return "memory is short; close other programs, or run with fewer --jobs"

    from toylab.lab.flags import UsageError
    from toylab.world.schema import CorpusError

    if isinstance(error, CorpusError | UsageError):
        return str(error)

    from toylab.lab.store import StoreError
    from toylab.report.claims import ClaimsError
    from toylab.stages import Diverged

    return str(error) if isinstance(error, Diverged | StoreError | ClaimsError) else None


def code_of(stop: KeyboardInterrupt) -> int:
    """The exit code after Ctrl-C, or after a signal that worked like it: 128 + its number."""
    return getattr(stop, "code", 130)
