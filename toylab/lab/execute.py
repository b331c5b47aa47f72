"""Trains those runs of a sweep that are not on disk yet, and reads every snapshot it asks for."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path as File
from typing import Any, NamedTuple

import jax
from tqdm import tqdm

from toylab.lab.costs import STEP, Costs
from toylab.lab.paths import Recipe
from toylab.lab.plan import due, measure_digest, plan, unread
from toylab.lab.records import Records
from toylab.lab.store import Run, load_json, write_json
from toylab.lab.sweep import Sweep
from toylab.ladder import reading
from toylab.ladder.measure import Measure, Reference, Snapshot, measure_key
from toylab.ladder.reading import LadderFit
from toylab.measures.calibration import excess
from toylab.policy.policy import ModelPolicy
from toylab.stages import EVALUATE, Params, Setup, Stage, begin, segments, train_key

LOG_EVERY = 50
SNAPSHOT_EVERY = 400
BASE_STEPS = 120  # cost of a pretrained model's reference, in training steps of the default batch


def snapshot_points(stage: Stage, wanted: Sequence[int]) -> set[int]:
    """The steps at which a run can be resumed or measured."""
    regular = range(SNAPSHOT_EVERY, int(stage.steps) + 1, SNAPSHOT_EVERY)
    return {*wanted, *regular, int(stage.steps)}


def log_points(stage: Stage, wanted: Iterable[int]) -> list[int]:
    """The steps at which a stage stops to log: regular ones, and those in `wanted`."""
    regular = range(LOG_EVERY, int(stage.steps) + 1, LOG_EVERY)
    return sorted({*regular, *wanted} - {0})


def keep_compiled(root: File) -> None:
    """Makes jax keep compiled code below `root`, unless its cache already has a place."""
    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str((root / ".compiled").resolve()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    place = File(jax.config.jax_compilation_cache_dir)  # type: ignore[attr-defined]
    if place.is_dir() and not os.access(place, os.W_OK):  # read only: no warning a function
        jax.config.update("jax_persistent_cache_min_compile_time_secs", float("inf"))
        jax.config.update("jax_persistent_cache_enable_xla_caches", "none")


def progress(total: int, title: str = "") -> tqdm:
    """A bar that counts training steps; hidden if there are none."""
    shape = "{desc:<34} {percentage:3.0f}% |{bar}| {elapsed} done, {remaining} left"
    settings = {"bar_format": shape, "smoothing": 0.05, "mininterval": 0.5}
    return tqdm(total=total, desc=title, disable=not total, **settings)


class Pretrained(NamedTuple):
    """A pretrained model: its policy, its reference for readings, and what a record keeps."""

    policy: ModelPolicy
    base: Reference
    kept: dict[str, Any]


class Execution:
    """Trains and reads recipes under one root of run folders; `bar` counts training steps."""

    def __init__(self, root: File, bar: tqdm):
        self.root, self.bar, self.costs = root, bar, Costs(root)

    def train(self, run: Run, wanted: Sequence[int]) -> Iterator[tuple[int, Params]]:
        """Yields the parameters at every wanted step, from disk or by training up to it.

        The caller holds the run's lock. Snapshots are on disk before they are yielded.
        """
        path, stage = run.path, run.path.stage
        if run.state_step() in wanted and not run.has(run.state_step()):
            run.save(run.state())  # the snapshot was lost
        missing = [step for step in wanted if not run.has(step)]
        for step in wanted:
            if run.has(step):
                yield step, run.params(step)
        if not missing:
            return
        first = run.state_step() if run.state_step() <= missing[0] else 0
        reference = self._start(path) if stage.needs_reference else None
        state = run.state() if first else begin(path.setup, stage, reference or self._start(path))
        run.forget_after(first)
        key = train_key(path.seed, len(path.stages) - 1)
        keep = snapshot_points(stage, wanted)
        points = [p for p in log_points(stage, keep) if p <= missing[-1]]
        before, began = first, time.perf_counter()
        for now, metrics in segments(path.setup, stage, state, key, points, reference):
            step = int(now.step)
            self.costs.note(STEP, (time.perf_counter() - began) / (step - before))
            row = {"step": step} | {f"train/{k}": float(v) for k, v in metrics.items()}
            if path.parent is None:
                measured = self._excess(path, now.params, step)
                row |= {f"excess/{k}": v for k, v in measured.items()}
            run.append(row)  # before the state is saved: a resumed run drops rows past the state
            if step in keep:
                run.save(now)
            self.bar.update(step - before)
            before = step
            if step in missing:
                yield step, now.params
            began = time.perf_counter()

    def _start(self, path: Recipe) -> Params:
        parent = path.parent
        if parent is None:
            return path.setup.init(path.seed)
        return self.final(parent)

    def final(self, path: Recipe) -> Params:
        """The parameters at the end of a recipe, from disk or by training."""
        last = int(path.stage.steps)
        run = Run(self.root, path)
        with run.locked():
            return dict(self.train(run, [last]))[last]

    def _excess(self, path: Recipe, params: Params, step: int) -> dict[str, float]:
        key = jax.random.fold_in(jax.random.key(path.seed), EVALUATE)
        measured = excess(
            path.setup.network, path.setup.world, params, jax.random.fold_in(key, step)
        )
        return {name: float(value) for name, value in measured.items()}

    def read(
        self, path: Recipe, base: Pretrained, measures: Sequence[Measure], wanted: Sequence[int]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the readings due at every wanted step, from disk or by measuring."""
        run, last = Run(self.root, path), int(path.stage.steps)
        with run.locked():
            missing = [step for step in wanted if unread(run, measures, step, last)]
            for step in wanted:
                if step not in missing:
                    yield step, self._kept(run, measures, step, last)
            for step, params in self.train(run, missing):
                snapshot = Snapshot(
                    path.setup, base.base, ModelPolicy(params, path.setup.network), base.policy
                )
                key = measure_key(path.seed, step)
                row: dict[str, float] = {"step": step}
                for each in unread(run, measures, step, last):
                    began = time.perf_counter()
                    found = each(snapshot, key)
                    self.costs.note(each.name, time.perf_counter() - began)
                    write_json(run.readings(step, measure_digest(each, measures[0])), found)
                    row |= each.scalars(path.setup, found)
                    self.bar.update(self.costs.of(each))
                run.append(row)
                yield step, self._kept(run, measures, step, last)

    def _kept(self, run: Run, measures: Sequence[Measure], step: int, last: int) -> dict[str, Any]:
        return {
            each.name: load_json(run.readings(step, measure_digest(each, measures[0])))
            for each in due(measures, step, last)
        }

    def pretrained(self, path: Recipe, settings: LadderFit) -> Pretrained:
        """The model at the end of a pretraining recipe, from disk or by training."""
        params = self.final(path)
        policy = ModelPolicy(params, path.setup.network)
        base = reading.prepare(path.setup, policy, measure_key(path.seed, -1), settings)
        self.bar.update(BASE_STEPS)
        above = self._excess(path, params, int(path.stage.steps))
        kept = {"nuisances": {k: list(v) for k, v in base.nuisances.items()}, "excess": above}
        return Pretrained(policy, base, kept)


def run_sweep(sweep: Sweep, setups: Mapping[str, Setup], root: File) -> Iterator[Records]:
    """Runs a sweep seed by seed; yields the records of the seeds finished so far."""
    sweep.check(setups)
    seeds = range(sweep.first_seed, sweep.first_seed + sweep.seeds)
    legs = plan(sweep, setups, root)
    total = sum(leg.units for leg in legs) + BASE_STEPS * sum(not leg.path.parent for leg in legs)
    rows: list[dict[str, Any]] = []
    bases: dict[tuple[str, int], dict[str, Any]] = {}
    with progress(total) as bar:
        execution = Execution(root, bar)
        for number, seed in enumerate(seeds, 1):
            finished: dict[tuple[str, int], dict[str, Any]] = {}
            known: dict[str, Pretrained] = {}
            for arm, setup in setups.items():
                path = sweep.path(setup, seed, arm)
                first = next(path.prefixes())
                where = f"seed {seed} ({number} of {len(seeds)})"
                if first.digest() not in known:
                    bar.set_description_str(f"{where}: pretrain")
                    known[first.digest()] = execution.pretrained(first, sweep.reading)
                base = known[first.digest()]
                bar.set_description_str(f"{where}: {arm}")
                if path != first:
                    last = int(first.stage.steps)
                    ((_, floor),) = execution.read(first, base, sweep.measures(arm), [last])
                    rows.append({"arm": arm, "seed": seed, "step": 0} | floor)
                points = sweep.points(path, arm)
                for step, found in execution.read(path, base, sweep.measures(arm), points):
                    rows.append({"arm": arm, "seed": seed, "step": step} | found)
                finished[arm, seed] = base.kept
            bases |= finished
            yield Records(sweep=sweep, setups=setups, rows=list(rows), bases=dict(bases))
