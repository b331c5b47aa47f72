"""Compiled code that was cut short on its way to disk: jax would warn at every start, for good."""

import contextlib
from pathlib import Path as File

from jax._src import compilation_cache  # what is public can't read an entry

CHECKED = ".checked"  # an empty file, as old as the last check


def mend(folder: File) -> None:
    """Removes the entries of a compilation cache that can't be unpacked; jax then writes them anew.

    Entries are looked at once, after they have changed.
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
            except Exception:  # of zlib or zstd, whichever jax has
                entry.unlink(missing_ok=True)
