"""Run folders: atomic files, one trainer at a time, a saved state to resume from.

A run's folder holds `config.json`, `corpus.json`, `metrics.jsonl`, `state.safetensors` (all that a
run resumes from), `snapshots/STEP.safetensors` (parameters to measure), their `readings/`, and
`model.safetensors` once the run is finished. A pretrained model's folder also has `references/`.
"""

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path as File
from typing import Any, BinaryIO

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from toylab.lab.paths import Recipe, model_of
from toylab.stages import Params, Setup, State, begin
from toylab.world.schema import Corpus, shortened, thaw

PARTIAL = ".partial"  # how the names of unfinished files end
DAY = 24 * 3600.0
DAMAGE = (  # what reading a damaged file may raise
    *(safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError, IndexError),
    *(ImportError, EOFError, RecursionError, OverflowError),
)

METRICS = "metrics.jsonl"


class StoreError(RuntimeError):
    """A run folder that can't be used: one line with the file and the fix."""


@contextlib.contextmanager
def replacing(file: File) -> Iterator[BinaryIO]:
    """Opens a file to write. Readers find all of it or none, even after a power cut."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")
    try:
        with part.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def write_atomic(file: File, content: bytes) -> None:
    """Writes a file so that readers find all of it or none, even after a power cut."""
    with replacing(file) as stream:
        stream.write(content)


def sweep_partial(root: File) -> None:
    """Removes files below a root that were never finished and are over a day old."""
    for folder, _, names in os.walk(root):
        for name in names:
            if name.startswith(".") and name.endswith(PARTIAL):
                with contextlib.suppress(OSError):
                    if os.stat(file := os.path.join(folder, name)).st_mtime < time.time() - DAY:
                        os.unlink(file)


def write_json(file: File, content: Any) -> None:
    """Writes JSON atomically; the same content gives the same bytes."""
    write_atomic(file, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def save_arrays(file: File, tree: Any) -> None:
    """Writes a pytree of arrays."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    arrays = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
    write_atomic(file, safetensors.numpy.save(arrays))


@contextlib.contextmanager
def reading(file: File, fix: str = "delete this file and run again") -> Iterator[None]:
    """Turns any error from reading `file` inside the block into a `StoreError` that names it."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        place, told = error.filename or file, f"can't be read: {error.strerror or error}"
        if os.path.isdir(place):
            told = "a folder is where a file should be; delete it and run again"
        elif isinstance(error, FileNotFoundError):
            told = "is missing; run again"
        raise StoreError(f"{place}: {told}") from None
    except DAMAGE as error:
        problem = shortened(str(error).partition("\n")[0], 80) or type(error).__name__
        raise StoreError(f"{file}: damaged ({problem}); {fix}") from None


def load_arrays(file: File, like: Any) -> Any:
    """What `save_arrays` wrote, in the structure of `like`, whose shapes and types it must have.

    Raises `StoreError` if it can't be read.
    """
    with reading(file):
        arrays = safetensors.numpy.load(file.read_bytes())
        paths, treedef = jax.tree_util.tree_flatten_with_path(like)
        leaves = []
        for path, leaf in paths:
            array = arrays[jax.tree_util.keystr(path)]
            if array.shape != leaf.shape or array.dtype != leaf.dtype:
                raise ValueError(f"{jax.tree_util.keystr(path)} has shape {array.shape}")
            leaves.append(jnp.asarray(array))
    return jax.tree_util.tree_unflatten(treedef, leaves)


def writable(folder: File) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def must_be_writable(folder: File) -> None:
    """Makes a folder's parents. Raises `OSError` if the folder can't be made or written into."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = folder if folder.exists() else folder.parent
    if not writable(place):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))


@contextlib.contextmanager
def locked(folder: File, what: str) -> Iterator[None]:
    """Waits for a lock on a part of a folder, and holds it until the block or the process ends.

    Raises `StoreError` where the file system has no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f".{what}.lock", "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:
            raise StoreError(
                f"{folder}: its file system refuses a lock ({error.strerror}); "
                "mount it with locks, or put the runs elsewhere (--runs=FOLDER)"
            ) from None
        yield


class Run:
    """The folder of a recipe. One process trains, while others may read its snapshots."""

    def __init__(self, root: File, path: Recipe):
        self.path, self.folder = path, root / path.name

    @contextlib.contextmanager
    def locked(self, what: str = "training") -> Iterator[None]:
        """Holds the lock on training, or on another part, and calls `describe`."""
        with locked(self.folder, what):
            self.describe()
            yield

    def describe(self) -> None:
        """Writes corpus and config, unless they are on disk."""
        try:
            setup_of(self.folder)
        except StoreError:
            write_json(self.folder / "corpus.json", dataclasses.asdict(self.path.setup.corpus))
            first = {"pretrained": self.path.first.name}
            write_json(self.folder / "config.json", self.path.config() | first)

    def snapshot_file(self, step: int) -> File:
        if step == self.path.last:
            return self.folder / "model.safetensors"
        return self.folder / "snapshots" / f"{step:06d}.safetensors"

    def has(self, step: int) -> bool:
        return self.snapshot_file(step).exists()

    def params(self, step: int) -> Params:
        return load_arrays(self.snapshot_file(step), _blank(self.path.setup))

    def state_step(self) -> int:
        """The step from which the run would resume; 0 if it has not begun or can't be resumed."""
        file = self.folder / "state.safetensors"
        if not file.exists():
            return 0
        with contextlib.suppress(*DAMAGE), safetensors.safe_open(file, "numpy") as tensors:
            return int(tensors.get_tensor(".step"))
        return 0

    def state(self) -> State:
        setup, stage = self.path.setup, self.path.stage
        like = jax.eval_shape(lambda params: begin(setup, stage, params), _blank(setup))
        return load_arrays(self.folder / "state.safetensors", like)

    def save(self, state: State) -> None:
        """Saves the parameters at this step, and the state unless a later one is saved."""
        step = int(state.step)
        if step >= self.state_step():  # saved first: a lost snapshot can be restored from it
            save_arrays(self.folder / "state.safetensors", state)
        save_arrays(self.snapshot_file(step), state.params)

    def put(self, row: Mapping[str, Any], reading: str = "") -> None:
        """Adds a row of metrics, with the time; adding it again changes nothing.

        A step has at most one row from training and one for each `reading` (its digest).
        """
        new = {**row} | ({"reading": reading} if reading else {})
        with locked(self.folder, "metrics"):
            rows = {_place(each): each for each in metrics(self.folder)}
            place, old = _place(new), rows.get(_place(new), {})
            if {**new, "time": old.get("time")} != old:
                rows[place] = new | {"time": time.time()}
                text = "".join(json.dumps(rows[each]) + "\n" for each in sorted(rows))
                write_atomic(self.folder / METRICS, text.encode())


def metrics(folder: File) -> list[dict[str, Any]]:
    """The rows of metrics in a run's folder. Raises `StoreError` if one can't be read."""
    file, rows = folder / METRICS, []
    if not file.exists():
        return []
    with reading(file):
        lines = file.read_text("utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        with reading(file, f"delete line {number} of it"):
            rows.append(row := json.loads(line))
            if not all(isinstance(each, int | float | str) for each in row.values()):
                raise ValueError(f"line {number} holds more than numbers and text")
            _place(row)[0] + row["time"]  # raises unless both are numbers
    return rows


def _place(row: Mapping[str, Any]) -> tuple[int, str]:
    return row["step"], str(row.get("reading", ""))


def reading_file(folder: File, step: int, digest: str) -> File:
    return folder / "readings" / f"{step:06d}-{digest}.json"


def setup_of(folder: File) -> Setup:
    """The corpus and model of the run in a folder."""
    file = folder / "config.json"
    config = load_json(file)
    with reading(folder / "corpus.json"):
        if not isinstance(corpus := thaw(load_json(folder / "corpus.json")), Corpus):
            raise ValueError("no corpus")
    with reading(file):
        return Setup(corpus, model_of(config["model"]))


def _blank(setup: Setup) -> Params:
    return jax.eval_shape(lambda: setup.init(0))


def final_params(folder: File, setup: Setup) -> Params:
    return load_arrays(folder / "model.safetensors", _blank(setup))


def params_of(folder: File, setup: Setup, step: int) -> Params:
    """The parameters of a run at a step, which may be its last."""
    file = folder / "snapshots" / f"{step:06d}.safetensors"
    if not file.exists():
        return final_params(folder, setup)
    return load_arrays(file, _blank(setup))


def load_json(file: File) -> Any:
    """Reads JSON. Raises `StoreError` if the file is missing or damaged."""
    with reading(file):
        return json.loads(file.read_text("utf-8"))
