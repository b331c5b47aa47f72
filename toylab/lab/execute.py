"""Trains runs. Reuses what is on disk, and resumes what was interrupted."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path as File
from typing import Any

import jax
from tqdm import tqdm

from toylab.lab import compiled
from toylab.lab.costs import STEP, Times
from toylab.lab.store import Run
from toylab.measures import calibration
from toylab.stages import EVALUATE, Params, Setup, begin, segments, train_key

LOG_EVERY = 50
SNAPSHOT_EVERY = 400
Advance = Callable[[float], Any]  # called with progress, in training steps or their equivalent


def progress(total: int, title: str = "", leave: bool = True) -> tqdm:
    """A progress bar that counts training steps; hidden if `total` is 0."""
    shape = "{desc:<34} {percentage:3.0f}% |{bar}| {elapsed} done, {remaining} left"
    settings = {"bar_format": shape, "smoothing": 0.05, "mininterval": 0.5}
    return tqdm(total=total, desc=title, disable=not total, leave=leave, **settings)


def quietly(_: float) -> None:
    """Shows no progress."""


def keep_compiled(root: File) -> None:
    """Makes jax keep compiled code below `root`, or in the cache folder that jax already has."""
    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str((root / ".compiled").resolve()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    place = File(jax.config.jax_compilation_cache_dir)  # type: ignore[attr-defined]
    if place.is_dir() and not os.access(place, os.W_OK):  # read only: jax would warn often
        jax.config.update("jax_persistent_cache_min_compile_time_secs", float("inf"))
        jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
    elif place.is_dir():
        compiled.mend(place)


def to_train(run: Run, wanted: Iterable[int]) -> tuple[int, int]:
    """The steps to train from and to; (0, 0) if all wanted snapshots are there."""
    at = run.state_step()
    missing = [step for step in wanted if step != at and not run.has(step)]
    if not missing:
        return 0, 0
    return (at if at < min(missing) else 0), max(missing)


def train(run: Run, wanted: Iterable[int], advance: Advance = quietly) -> Times:
    """Trains until the parameters at every wanted step are on disk; returns seconds per step."""
    path, stage, times = run.path, run.path.stage, Times()
    with run.locked():
        if (at := run.state_step()) and not run.has(at):
            run.save(run.state())  # its snapshot was lost, or never written
        first, last = to_train(run, wanted)
        if not last:
            return times
        start = _start(run, advance) if stage.needs_reference or not first else None
        state = run.state() if first or not start else begin(path.setup, stage, start)
        key = train_key(path.seed, len(path.stages) - 1)
        regular = range(SNAPSHOT_EVERY, path.last + 1, SNAPSHOT_EVERY)
        keep = {*wanted, *regular, path.last}  # where it can be resumed or measured
        points = sorted(
            {*range(LOG_EVERY, last + 1, LOG_EVERY), *(p for p in keep if 0 < p <= last)}
        )
        before, began = first, time.perf_counter()
        for now, metrics in segments(path.setup, stage, state, key, points, start):
            step = int(now.step)
            times.append((STEP, (time.perf_counter() - began) / (step - before)))
            row = {"step": step} | {f"train/{k}": float(v) for k, v in metrics.items()}
            if path.parent is None:
                measured = excess(path.setup, path.seed, now.params, step)
                row |= {f"excess/{k}": v for k, v in measured.items()}
            run.put(row)  # before the state: a resumed run rewrites these rows
            if step in keep:
                run.save(now)
            advance(step - before)
            before, began = step, time.perf_counter()
    return times


def _start(run: Run, advance: Advance) -> Params:
    if parent := run.path.parent:
        return final(Run(run.folder.parent.parent, parent), advance)
    return run.path.setup.init(run.path.seed)


def final(run: Run, advance: Advance = quietly) -> Params:
    """The parameters at the end of a run, from disk or by training."""
    train(run, [run.path.last], advance)
    return run.params(run.path.last)


def excess(setup: Setup, seed: int, params: Params, step: int) -> dict[str, float]:
    """The excess loss of these parameters, as a run with this seed logs it at a step."""
    key = jax.random.fold_in(jax.random.key(seed), EVALUATE)
    measured = calibration.excess(setup.network, setup.world, params, jax.random.fold_in(key, step))
    return {name: float(value) for name, value in measured.items()}
