"""Repairs jax's compilation cache, and drops compiled code before memory maps run out."""

import contextlib
import gc
from pathlib import Path as File

import jax
from jax._src import compilation_cache  # the public API can't read an entry

CHECKED = ".checked"  # an empty file; its mtime is the time of the last check
MAPS = 30_000  # memory maps of a process; Linux allows 65,530, and a compiled program takes three


def drop() -> None:
    """Drops all compiled code if the process has over `MAPS` memory maps; too many crash jax."""
    with contextlib.suppress(OSError):
        with open("/proc/self/maps", "rb") as lines:
            many = sum(1 for _ in lines) > MAPS
        if many:
            jax.clear_caches()
            gc.collect()


def mend(folder: File) -> None:
    """Removes entries of a compilation cache that can't be decompressed; jax makes them anew.

    Only entries written since the last call are checked.
    """
    stamp = folder / CHECKED
    since = stamp.stat().st_mtime_ns if stamp.exists() else 0
    with contextlib.suppress(OSError):
        entries = [each for each in folder.glob("*-cache") if each.stat().st_mtime_ns >= since]
        stamp.touch()
        for entry in entries:
            try:
                compilation_cache.decompress_executable(entry.read_bytes())
            except OSError:
                raise
            except Exception:  # zlib's or zstd's: jax uses either
                entry.unlink(missing_ok=True)
