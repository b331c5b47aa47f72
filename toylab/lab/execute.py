"""Trains what a sweep asks for and is not on disk yet, and reads every snapshot it watches."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path as File
from typing import Any

import jax
from tqdm import tqdm

from toylab import bayes, sampling
from toylab.lab.paths import Path, source_digest
from toylab.lab.store import Run, load_json, write_json
from toylab.lab.sweep import Records, Sweep
from toylab.measures import atoms, climb, families, ladder, policy, reading, traits
from toylab.measures.excess import excess
from toylab.stages import EVALUATE, MEASURE, Lab, Params, Stage, begin, segments, train_key

LOG_EVERY = 50
SNAPSHOT_EVERY = 400
# What a reading and a model's base cost, in training steps of the default batch (benchmarks/).
READING_STEPS, BASE_STEPS = 30, 120


def snapshot_points(stage: Stage, wanted: Sequence[int]) -> set[int]:
    """The steps at which a run can be resumed or measured."""
    regular = range(SNAPSHOT_EVERY, int(stage.steps) + 1, SNAPSHOT_EVERY)
    return {*wanted, *regular, int(stage.steps)}


def log_points(stage: Stage, wanted: Iterable[int]) -> list[int]:
    """The steps at which a stage stops to log: regular ones, and those wanted."""
    regular = range(LOG_EVERY, int(stage.steps) + 1, LOG_EVERY)
    return sorted({*regular, *wanted} - {0})


class Execution:
    """Trains and reads paths under one root of run folders; `bar` moves by training steps."""

    def __init__(self, root: File, bar: tqdm):
        self.root, self.bar = root, bar

    def train(self, run: Run, wanted: Sequence[int]) -> Iterator[tuple[int, Params]]:
        """Yields the parameters at every wanted step, from disk or by training up to it.

        The caller has the run's lock. Snapshots are on disk before they are yielded.
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
        reference = self._start(path) if stage.refers else None
        state = run.state() if first else begin(stage, reference or self._start(path))
        run.forget_after(first)
        key = train_key(path.seed, len(path.stages) - 1)
        keep = snapshot_points(stage, wanted)
        points = [p for p in log_points(stage, keep) if p <= missing[-1]]
        before = first
        for now, metrics in segments(path.lab, stage, state, key, points, reference):
            step = int(now.step)
            row = {"step": step} | {f"train/{k}": float(v) for k, v in metrics.items()}
            if path.parent is None:
                measured = self._excess(path, now.params, step)
                row |= {f"excess/{k}": v for k, v in measured.items()}
            run.append(row)  # before the state: what a crash leaves past the state is dropped
            if step in keep:
                run.save(now)
            self.bar.update(step - before)
            before = step
            if step in missing:
                yield step, now.params

    def _start(self, path: Path) -> Params:
        parent = path.parent
        if parent is None:
            return path.lab.init(path.seed)
        return self.final(parent)

    def final(self, path: Path) -> Params:
        """The parameters at the end of a path, trained if need be."""
        last = int(path.stage.steps)
        run = Run(self.root, path)
        with run.locked():
            return dict(self.train(run, [last]))[last]

    def _excess(self, path: Path, params: Params, step: int) -> dict[str, float]:
        key = jax.random.fold_in(jax.random.key(path.seed), EVALUATE)
        measured = excess(path.lab.network, path.lab.world, params, jax.random.fold_in(key, step))
        return {name: float(value) for name, value in measured.items()}

    def read(
        self,
        path: Path,
        base: reading.Base,
        settings: reading.Settings,
        wanted: Sequence[int],
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the reading of every wanted step of a path, from disk or by measuring."""
        run, digest = Run(self.root, path), settings_digest(settings)
        with run.locked():
            missing = [s for s in wanted if not run.readings(s, digest).exists()]
            for step in wanted:
                if step not in missing:
                    yield step, load_json(run.readings(step, digest))
            for step, params in self.train(run, missing):
                policy = reading.policy_of(path.lab, params)
                key = measure_key(path.seed, step)
                found = reading.read(path.lab, base, policy, key, settings)
                write_json(run.readings(step, digest), found)
                run.append({"step": step} | scalars(path.lab, found))
                self.bar.update(READING_STEPS)
                yield step, found

    def base(self, path: Path, settings: reading.Settings) -> tuple[reading.Base, dict[str, Any]]:
        """The base of a pretrained path, and what a record keeps of it."""
        params = self.final(path)
        policy = reading.policy_of(path.lab, params)
        base = reading.prepare(path.lab, policy, measure_key(path.seed, -1), settings)
        self.bar.update(BASE_STEPS)
        kept = {"nuisances": {k: list(v) for k, v in base.nuisances.items()}}
        return base, kept | {"excess": self._excess(path, params, int(path.stage.steps))}


def measure_key(seed: int, step: int) -> jax.Array:
    """The key of the readings at a step. Shared by all arms, so that their noise is, too."""
    key = jax.random.fold_in(jax.random.key(seed), MEASURE)
    return jax.random.fold_in(key, step + 1)


def settings_digest(settings: reading.Settings) -> str:
    """What a reading's file is found by: its settings, and the source that computes it."""
    modules = (bayes, sampling, families, policy, atoms, ladder, climb, traits, reading)
    source = source_digest(tuple(sorted(str(module.__file__) for module in modules)))
    text = json.dumps(dataclasses.asdict(settings), sort_keys=True) + source
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def scalars(lab: Lab, found: Mapping[str, Any]) -> dict[str, float]:
    """A reading as TensorBoard shows it: rungs, weights and powers, traits, on the learned cast."""
    cast = found["learned"]
    row = {
        "ladder/total": cast["F0"],
        "ladder/selection": cast["F0"] - cast["F1"],
        "ladder/exaggeration": cast["F1"] - cast["F2"],
        "ladder/left": cast["F2"],
        "ladder/outside_grammar": found["outside"],
    }
    row |= {f"weights/{k}": w for k, w in zip(lab.corpus.names, cast["weights"], strict=True)}
    row |= {f"powers/{p:g}": w for p, w in zip(atoms.POWERS, cast["powers"], strict=True)}
    start = 0
    for topic in lab.corpus.topics:
        for i, answer in enumerate(topic.answer_names):
            row[f"traits/{topic.name}/{answer}"] = found["items"][start + i]
        start += len(topic.answers)
    return row


@dataclasses.dataclass(frozen=True)
class Leg:
    """A line of the plan: a path, and what of it remains to be done, in training steps."""

    path: Path
    arm: str
    train: int
    read: int

    @property
    def units(self) -> int:
        return self.train + self.read * READING_STEPS


def plan(sweep: Sweep, lab: Lab, root: File) -> list[Leg]:
    """What a sweep would train and read; paths that several arms share stand in it once."""
    digest, legs, seen = settings_digest(sweep.reading), [], set()
    for seed in range(sweep.first_seed, sweep.first_seed + sweep.seeds):
        pretrained = sweep.pretrained(lab, seed)
        jobs: list[tuple[str, Path, Sequence[int]]]
        jobs = [("", pretrained, [int(sweep.pretrain.steps)])]
        for arm in sweep.arms:
            path = sweep.path(lab, seed, arm)
            jobs += [(arm, prefix, [int(prefix.stage.steps)]) for prefix in path.prefixes()]
            jobs[-1] = (arm, path, sweep.arms[arm].points())
        for arm, path, points in jobs:
            if path.digest() in seen:
                continue
            seen.add(path.digest())
            run = Run(root, path)
            done = run.has(int(path.stage.steps)) and all(run.has(point) for point in points)
            unread = [p for p in points if not run.readings(p, digest).exists()]
            read = len(unread) if path.parent is None or arm else 0
            steps = 0 if done else int(path.stage.steps) - run.state_step()
            legs.append(Leg(path, arm, steps, read))
    return legs


def run_sweep(sweep: Sweep, lab: Lab, root: File) -> Iterator[Records]:
    """Runs a sweep, seed by seed; yields the records of the seeds finished so far."""
    sweep.check(lab.corpus)
    seeds = range(sweep.first_seed, sweep.first_seed + sweep.seeds)
    total = sum(leg.units for leg in plan(sweep, lab, root)) + BASE_STEPS * len(seeds)
    rows: list[dict[str, Any]] = []
    bases: dict[int, dict[str, Any]] = {}
    shape = "{desc:<34} {percentage:3.0f}% |{bar}| {elapsed} done, {remaining} left"
    with tqdm(total=total, bar_format=shape, smoothing=0.05, mininterval=0.5) as bar:
        execution = Execution(root, bar)
        for number, seed in enumerate(seeds, 1):
            where = f"seed {seed} ({number} of {len(seeds)})"
            bar.set_description_str(f"{where}: pretrain")
            pretrained = sweep.pretrained(lab, seed)
            base, kept = execution.base(pretrained, sweep.reading)
            last = int(sweep.pretrain.steps)
            ((_, floor),) = execution.read(pretrained, base, sweep.reading, [last])
            for name, arm in sweep.arms.items():
                bar.set_description_str(f"{where}: {name}")
                rows.append({"arm": name, "seed": seed, "step": 0, "reading": floor})
                path = sweep.path(lab, seed, name)
                for step, found in execution.read(path, base, sweep.reading, arm.points()):
                    rows.append({"arm": name, "seed": seed, "step": step, "reading": found})
            bases[seed] = kept
            yield Records(sweep=sweep, lab=lab, rows=list(rows), bases=dict(bases))
