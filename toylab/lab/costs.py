"""The costs of readings in training steps, the unit of plans and of the progress bar."""

import json
import math
from collections.abc import Iterable
from pathlib import Path as File

from toylab.lab.store import write_json

UNKNOWN = 30  # assumed cost of a reading, in training steps, until it is measured
STEP = "training step"
Times = list[tuple[str, float]]  # (STEP or the name of a measure, seconds that it took)


def _times(file: File) -> dict[str, float]:
    """Seconds by name; none if the file is missing or damaged."""
    try:
        found = json.loads(file.read_bytes()).items()
        return {name: float(took) for name, took in found if 0 < float(took) < math.inf}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}


class Costs:
    """Seconds per training step and per reading of each measure, kept in `costs.json` below a root.

    `note` doesn't change what `of` returns.
    """

    def __init__(self, root: File):
        self._file = root / "costs.json"
        self._known = _times(self._file)
        self._seen = dict(self._known)

    def of(self, name: str, unknown: int = UNKNOWN) -> int:
        """The cost of a reading in training steps; `unknown` if it is not measured yet."""
        step, reading = self._known.get(STEP), self._known.get(name)
        return max(round(reading / step), 1) if step and reading else unknown

    def note(self, times: Iterable[tuple[str, float]]) -> None:
        """Averages each time, in seconds, with the stored one, and stores the result."""
        for name, seconds in times:
            self._seen[name] = (self._seen.get(name, seconds) + seconds) / 2
        write_json(self._file, self._seen)
