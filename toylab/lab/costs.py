"""Measured costs in training steps, the unit of plans and of the progress bar."""

import json
import math
from collections.abc import Iterable
from pathlib import Path as File

from toylab.lab.store import write_json

UNKNOWN = 30  # assumed cost of a reading, in training steps, until it is measured
STEP = "training step"
Times = list[tuple[str, float]]  # (STEP or the name of a measure, seconds that it took)


def _times(file: File) -> dict[str, float]:
    """The costs in a file; none if it is missing or damaged, since they are only estimates."""
    try:
        found = json.loads(file.read_bytes()).items()
        return {name: float(took) for name, took in found if 0 < float(took) < math.inf}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}


class Costs:
    """Seconds per training step and per reading of each kind, kept in `costs.json` below a root.

    The file is read once, at construction. Times noted later count in the next plan.
    """

    def __init__(self, root: File):
        self._file = root / "costs.json"
        self._known = _times(self._file)
        self._seen = dict(self._known)

    def of(self, name: str, unknown: int = UNKNOWN) -> int:
        """The cost of a reading, in training steps."""
        step, reading = self._known.get(STEP), self._known.get(name)
        return max(round(reading / step), 1) if step and reading else unknown

    def note(self, times: Iterable[tuple[str, float]]) -> None:
        """Averages these with the stored ones, so compiling, timed once, soon has little weight."""
        for name, seconds in times:
            self._seen[name] = (self._seen.get(name, seconds) + seconds) / 2
        write_json(self._file, self._seen)
