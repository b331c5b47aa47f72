"""What readings cost, as measured: in training steps, by which plans and the progress bar count."""

from pathlib import Path as File

from toylab.lab.store import load_json, write_json
from toylab.ladder.measure import Measure

UNKNOWN = 30  # training steps of the default batch, about what a reading takes
STEP = "training step"


class Costs:
    """Seconds that a training step and a reading of each kind took, in a file below a root.

    What the file had at first is what counts; what is noted since is for the next plan.
    """

    def __init__(self, root: File):
        self._file = root / "costs.json"
        self._known: dict[str, float] = load_json(self._file) if self._file.exists() else {}
        self._seen = dict(self._known)

    def of(self, measure: Measure) -> int:
        """What a reading costs, in training steps."""
        step, reading = self._known.get(STEP), self._known.get(measure.name)
        return max(round(reading / step), 1) if step and reading else UNKNOWN

    def note(self, name: str, seconds: float) -> None:
        """Keeps a time, half of it the latest, so that one with compiling is soon forgotten."""
        self._seen[name] = (self._seen.get(name, seconds) + seconds) / 2
        write_json(self._file, self._seen)
