"""Readings on disk: which are due, which are missing, and the records made from them."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as File
from typing import Any

from toylab.lab import digest, store
from toylab.lab.costs import Times
from toylab.lab.execute import Advance, excess, quietly
from toylab.lab.records import Records
from toylab.lab.store import Run, load_json, reading_file, write_json
from toylab.lab.sweep import Sweep
from toylab.ladder import reading
from toylab.ladder.measure import Measure, Reference, Snapshot, measure_key
from toylab.ladder.reading import LadderFit
from toylab.measures import calibration
from toylab.policy.policy import ModelPolicy
from toylab.stages import Setup

REFERENCE = "reference"  # its name in `costs.json`


def due(measures: Sequence[Measure], step: int, last: int) -> list[Measure]:
    """The measures to read at a step: at the last step all, before it those without `at_end`."""
    return [each for each in measures if step == last or not each.at_end]


def unread(run: Run, measures: Sequence[Measure], step: int) -> list[Measure]:
    """The measures that are due but have no reading. `measures[0]` is the sweep's ladder."""
    return [
        each
        for each in due(measures, step, run.path.last)
        if not reading_file(run.folder, step, measure_digest(each, measures[0])).exists()
    ]


@functools.cache
def measure_digest(asked: Measure, settings: LadderFit) -> str:
    """A hash of a measure's fields and source; it is part of the name of a reading's file.

    It also covers `settings`, with which the pretrained model's reference was prepared.
    """
    configs = [dataclasses.asdict(each) for each in (asked, settings)]
    text = asked.name + json.dumps(configs, sort_keys=True) + digest.digest(asked, settings)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def base_file(folder: File, settings: LadderFit) -> File:
    """The file with a pretrained model's temperature, slip rate and excess loss.

    It is written after the model's reference.
    """
    excess_source = digest.digest_of(frozenset([calibration.__name__]))
    text = measure_digest(settings, settings) + excess_source
    return folder / "references" / f"{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"


def reference(
    folder: File, setup: Setup, seed: int, policy: ModelPolicy, settings: LadderFit, step: int
) -> tuple[Reference, Times]:
    """A pretrained model's reference, from its run's folder, or prepared and saved there.

    `step` is the run's last step. In a read-only folder nothing is saved.
    """
    file, times = base_file(folder, settings), Times()
    arrays = file.with_suffix(".casts.safetensors")

    def kept() -> bool:
        return file.exists() and arrays.exists()

    if not kept() and not store.writable(folder):
        return reading.prepare(setup, policy, measure_key(seed, -1), settings), times
    with contextlib.nullcontext() if kept() else store.locked(folder, REFERENCE):
        if not kept():
            began = time.perf_counter()
            made = reading.prepare(setup, policy, measure_key(seed, -1), settings)
            store.save_arrays(arrays, (made.casts, made.log_prior))
            above = excess(setup, seed, policy.params, step)
            write_json(file, {"nuisances": made.nuisances, "excess": above})
            times.append((REFERENCE, time.perf_counter() - began))
    exact, priors = setup.world.cast, setup.world.log_prior
    like = {"exact": exact, "learned": exact}, priors[0]  # only its shapes matter
    casts, log_prior = store.load_arrays(arrays, like)
    with store.reading(file):
        nuisances = {name: tuple(pair) for name, pair in load(file)["nuisances"].items()}
    return Reference(casts, nuisances, log_prior), times


def pretrained(
    root: File, run: Run, settings: LadderFit
) -> tuple[ModelPolicy, tuple[Reference, Times]]:
    """The pretrained model from which a run started, and its reference."""
    path = run.path.first
    first, last = Run(root, path), path.last
    policy = ModelPolicy(first.params(last), path.setup.network)
    return policy, reference(first.folder, path.setup, path.seed, policy, settings, last)


def read(
    root: File,
    run: Run,
    step: int,
    measures: Sequence[Measure],
    settings: LadderFit,
    advance: Advance = quietly,
) -> Times:
    """Reads a snapshot, which must be on disk, with the measures that have not read it yet.

    After each reading, `advance` is called with 1 / len(measures).
    """
    path, (start, (base, times)) = run.path, pretrained(root, run, settings)
    now = ModelPolicy(run.params(step), path.setup.network)
    snapshot = Snapshot(path.setup, base, now, start)
    with run.locked(f"{step:06d}"):
        for each in measures:
            name = measure_digest(each, settings)
            if (file := reading_file(run.folder, step, name)).exists():
                continue
            began = time.perf_counter()
            found = each(snapshot, measure_key(path.seed, step))
            times.append((each.name, time.perf_counter() - began))
            # The row comes before the reading: a run killed in between writes the same row again.
            run.put({"step": step} | each.scalars(path.setup, found), name)
            write_json(file, found)
            advance(1 / len(measures))
    return times


def load(file: File, asked: Measure | None = None, setup: Setup | None = None) -> dict[str, Any]:
    """A measure's reading, or a reference's file. Raises `StoreError` if it is damaged.

    Missing parts are noticed only in the ladder's readings.
    """
    found = load_json(file)
    with store.reading(file):
        if not (isinstance(found, dict) and found):
            raise ValueError("no reading in it")
        if setup and isinstance(asked, LadderFit):
            asked.scalars(setup, found)
    return found


def gather(
    sweep: Sweep,
    setups: Mapping[str, Setup],
    root: File,
    seeds: Iterable[int],
    before: Records | None = None,
) -> Records:
    """The records of these seeds of a sweep, from disk, seed by seed and arm by arm.

    The results of `Records.once` are taken over from `before`, the records of fewer seeds. Raises
    `StoreError` if a reading is missing or damaged.
    """
    rows, bases, files = [], {}, dict[tuple[str, File], Any]()

    def found(run: Run, arm: str, step: int) -> dict[str, Any]:
        measures, row = sweep.measures(arm), {}
        for each in due(measures, step, run.path.last):
            file = reading_file(run.folder, step, measure_digest(each, measures[0]))
            row[each.name] = files[arm, file] = load(file, each, run.path.setup)
        return row

    for seed in seeds:
        for arm, setup in setups.items():
            path, which = sweep.path(setup, seed, arm), {"arm": arm, "seed": seed}
            run, first = Run(root, path), Run(root, path.first)
            if path.parent:
                rows.append(which | {"step": 0} | found(first, arm, first.path.last))
            for step in sweep.points(path, arm):
                rows.append(which | {"step": step} | found(run, arm, step))
            base = base_file(first.folder, sweep.reading)
            bases[arm, seed] = files[arm, base] = load(base)
    known = before.known if before else {}
    return Records(sweep=sweep, setups=setups, rows=rows, bases=bases, known=known, files=files)
