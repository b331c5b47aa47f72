"""Names of runs, such as `selection/ordinary/seed100`: experiment, arm and seed.

Experiments share run folders. The list of an experiment, `names/NAME.json` in the runs folder, has
the folders of each of its runs, from pretraining to the last stage.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path as File
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from toylab.lab.sweep import Sweep
    from toylab.stages import Setup

FOLDER = "names"


class Named(NamedTuple):
    """A run's name, the folders and steps of its stages, and the digests of its measures."""

    name: str
    folders: tuple[File, ...]
    steps: tuple[int, ...]
    readings: tuple[str, ...]

    @property
    def done(self) -> bool:
        return (self.folders[-1] / "model.safetensors").exists()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listed:
    """An experiment's list: the folder `out` of results, the tag that was read, the runs by arm.

    `began` is when the experiment was last started, in seconds since 1970.
    """

    name: str
    out: File
    began: float
    tag: str
    arms: Mapping[str, tuple[Named, ...]]

    def runs(self) -> Iterator[Named]:
        for each in self.arms.values():
            yield from each


def write(root: File, name: str, sweep: "Sweep", setups: Mapping[str, "Setup"], out: File) -> None:
    """Writes the list of an experiment, and the config of any of its runs that has lost it."""
    from toylab.lab.readings import measure_digest
    from toylab.lab.store import Run, write_json

    arms = []
    for arm, setup in setups.items():
        paths = {str(seed): sweep.path(setup, seed, arm) for seed in sweep.seed_range}
        runs = [Run(root, prefix) for path in paths.values() for prefix in path.prefixes()]
        for run in runs:
            if run.folder.exists():
                run.describe()  # in case its config was lost
        each = {
            "arm": arm,
            "readings": [measure_digest(each, sweep.reading) for each in sweep.measures(arm)],
            "steps": [int(stage.steps) for stage in next(iter(paths.values())).stages],
            "seeds": {seed: [p.name for p in path.prefixes()] for seed, path in paths.items()},
        }
        arms.append(each)
    said = {"out": str(out.resolve()), "tag": sweep.reading.tag, "arms": arms}
    write_json(root / FOLDER / f"{name}.json", said)


def listed(root: File) -> list[str]:
    """The experiments that have a list, latest first."""
    files = sorted((root / FOLDER).glob("*.json"), key=lambda file: -file.stat().st_mtime)
    return [file.stem for file in files]


def read(root: File, name: str) -> Listed:
    """The list of an experiment. Raises `StoreError` if it can't be read."""
    file = root / FOLDER / f"{name}.json"
    try:
        said, began = json.loads(file.read_text()), file.stat().st_mtime
        arms = {
            found["arm"]: tuple(
                Named(
                    f"{name}/{found['arm']}/seed{seed}",
                    tuple(root / each for each in folders),
                    tuple(found["steps"]),
                    tuple(found["readings"]),
                )
                for seed, folders in found["seeds"].items()
            )
            for found in said["arms"]
        }
        return Listed(name=name, out=File(said["out"]), began=began, tag=said["tag"], arms=arms)
    except Exception:
        from toylab.lab.store import reading  # here, so that listing doesn't import jax

        with reading(file, "delete this file and run the experiment again"):
            raise


def everything(root: File) -> dict[str, Named]:
    """Every run that has a name, those of the latest experiment first."""
    return {run.name: run for name in listed(root) for run in read(root, name).runs()}
