"""Measured costs of readings in training steps, the unit of plans and of the progress bar."""

from pathlib import Path as File

from toylab.lab.store import load_json, write_json
from toylab.ladder.measure import Measure

UNKNOWN = 30  # training steps of the default batch: roughly the cost of a reading
STEP = "training step"


class Costs:
    """Seconds per training step and per reading of each kind, kept in a file below a root.

    Costs are those that the file had at first. Times noted since then count in the next plan.
    """

    def __init__(self, root: File):
        self._file = root / "costs.json"
        self._known: dict[str, float] = load_json(self._file) if self._file.exists() else {}
        self._seen = dict(self._known)

    def of(self, measure: Measure) -> int:
        """The cost of a reading, in training steps."""
        step, reading = self._known.get(STEP), self._known.get(measure.name)
        return max(round(reading / step), 1) if step and reading else UNKNOWN

    def note(self, name: str, seconds: float) -> None:
        """Averages this time with the stored one: a time with compiling in it soon fades."""
        self._seen[name] = (self._seen.get(name, seconds) + seconds) / 2
        write_json(self._file, self._seen)
