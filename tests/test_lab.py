"""Recipes, run folders, execution: nothing is trained twice or lost, and bytes are reproduced."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

from tests.checks import SMALL
from toylab.lab import costs, execute, readings, store, workers
from toylab.lab.paths import Recipe
from toylab.lab.plan import Leg, Read, Refer, Train, plan
from toylab.lab.records import Records
from toylab.lab.store import Run, StoreError, write_atomic
from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import LadderFit
from toylab.measures.coherence import Coherence
from toylab.policy.transformer import ModelConfig
from toylab.report.claims import Registered, judge, t_interval
from toylab.stages import Pretrain, Setup, Sft

ROOT = Path(__file__).parent.parent
PRETRAIN = Pretrain(steps=10, batch=4)  # as in `test_running`: compiled once


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    sft = Sft(author="ada", steps=6, batch=4)
    return Sweep(
        name="test",
        question="?",
        corpus="tiny",
        model=SMALL,
        pretrain=PRETRAIN,
        arms={
            "all": Arm(title="", stages=(sft,), read_at=(2,)),
            "door": Arm(title="", stages=(dataclasses.replace(sft, topics=("door",)),), read_at=()),
        },
        reading=LadderFit(fit=16, score=8),
        seeds=1,
        first_seed=1000,
    )


@pytest.fixture(scope="module")
def ran(
    sweep: Sweep, setup: Setup, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Records]:
    """A sweep that has been run once, and where."""
    root = tmp_path_factory.mktemp("runs")
    return root, workers.complete(sweep, setups(sweep, setup), root)


def setups(sweep: Sweep, setup: Setup) -> dict[str, Setup]:
    return dict.fromkeys(sweep.arms, setup)


def legs(sweep: Sweep, setup: Setup, root: Path) -> list[Leg]:
    return [*plan([(sweep, setups(sweep, setup))], root).legs.values()]


def test_the_same_path_has_the_same_digest_and_any_change_another(setup: Setup) -> None:
    path = Recipe(setup, 0, (PRETRAIN, Sft(author="ada")))
    assert path.digest() == Recipe(setup, 0, (PRETRAIN, Sft(author="ada"))).digest()
    others = [
        Recipe(setup, 1, path.stages),
        Recipe(setup, 0, (PRETRAIN, Sft(author="bob"))),
        Recipe(setup, 0, (dataclasses.replace(PRETRAIN, steps=31), Sft(author="ada"))),
        Recipe(Setup(setup.corpus, ModelConfig()), 0, path.stages),
        Recipe(Setup(dataclasses.replace(setup.corpus, slip=0.03), SMALL), 0, path.stages),
    ]
    assert len({path.digest(), *(other.digest() for other in others)}) == 6


def test_two_measures_of_one_name_are_refused(sweep: Sweep, setup: Setup) -> None:
    """Both would have the same key in a record."""
    twice = dataclasses.replace(sweep, watch=(LadderFit(tag="someone"),))
    with pytest.raises(ValueError, match="two measures are called 'reading'"):
        twice.check(setups(twice, setup))


def test_a_second_pass_trains_and_reads_nothing(
    sweep: Sweep, setup: Setup, ran: tuple[Path, Records], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, first = ran
    assert legs(sweep, setup, root) == []

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("trained or read again")

    monkeypatch.setattr(execute, "segments", forbidden)
    monkeypatch.setattr(readings.reading, "read", forbidden)
    monkeypatch.setattr(readings.reading, "prepare", forbidden)
    second = workers.complete(sweep, setups(sweep, setup), root)
    assert second.rows == first.rows
    assert second.bases == first.bases


def test_an_emptied_cache_gives_the_same_readings_to_the_bit(
    sweep: Sweep, setup: Setup, ran: tuple[Path, Records], tmp_path: Path
) -> None:
    second = workers.complete(sweep, setups(sweep, setup), tmp_path)
    _, first = ran
    assert json.dumps(first.rows) == json.dumps(second.rows)


def test_arms_share_their_pretrained_model(sweep: Sweep, setup: Setup, tmp_path: Path) -> None:
    found = legs(sweep, setup, tmp_path)
    assert [leg.cost for leg in found if isinstance(leg, Train)] == [10, 6, 6]
    assert sum(isinstance(leg, Refer) for leg in found) == 1
    # Pretraining is read once for the floor; arm `all` at 2 and 6, arm `door` at its end.
    read = [(len(leg.path.stages), leg.step) for leg in found if isinstance(leg, Read)]
    assert read == [(1, 10), (2, 2), (2, 6), (2, 6)]


def test_a_snapshot_on_the_way_is_what_a_run_that_stopped_there_has(
    setup: Setup, tmp_path: Path
) -> None:
    path = Recipe(setup, 7, (PRETRAIN,))
    whole, stopped = Run(tmp_path / "a", path), Run(tmp_path / "b", path)
    execute.train(whole, [4, 10])
    execute.train(stopped, [4])
    assert stopped.state_step() == 4
    execute.train(stopped, [10])
    for step in (4, 10):
        assert whole.snapshot_file(step).read_bytes() == stopped.snapshot_file(step).read_bytes()


KILLED = """
import sys
import tomllib
from pathlib import Path
from tests.checks import SMALL
from tests.tiny import TEXT
from toylab.lab import execute, paths, store
from toylab.stages import Pretrain, Setup
from toylab.world.parse import parse
setup = Setup(parse(tomllib.loads(TEXT), "tiny.toml"), SMALL)
execute.SNAPSHOT_EVERY, execute.LOG_EVERY = 20, 5
path = paths.Recipe(setup, 3, (Pretrain(steps=2000, batch=4),))
root = Path(sys.argv[1])
run = store.Run(root, path)
print(run.folder, flush=True)
execute.final(run)
"""

ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "JAX_PLATFORMS": "cpu",
    "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir or "",
}


def test_a_killed_run_resumes_without_gaps_or_doubles_and_ends_bit_identical(
    tmp_path: Path, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(root)]
    environment = os.environ | ENVIRONMENT
    victim = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert victim.stdout is not None
    folder = Path(victim.stdout.readline().strip())
    deadline = time.monotonic() + 120
    while len(list(folder.glob("snapshots/*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    monkeypatch.setattr(execute, "SNAPSHOT_EVERY", 20)
    monkeypatch.setattr(execute, "LOG_EVERY", 5)
    path = Recipe(setup, 3, (Pretrain(steps=2000, batch=4),))
    killed, whole = Run(root, path), Run(tmp_path / "whole", path)
    stopped_at = killed.state_step()
    assert 20 <= stopped_at < 2000
    goal = stopped_at + 40
    for run in (killed, whole):
        execute.train(run, [goal])
    assert killed.snapshot_file(goal).read_bytes() == whole.snapshot_file(goal).read_bytes()
    steps = [row["step"] for row in store.metrics(killed.folder)]
    assert steps == list(range(5, goal + 1, 5))
    losses = [row["train/loss"] for row in store.metrics(killed.folder)]
    assert losses == [row["train/loss"] for row in store.metrics(whole.folder)]


def test_a_run_killed_between_state_and_snapshot_ends_with_the_same_files(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, left = Recipe(setup, 7, (PRETRAIN,)), 8  # the second snapshot, after its state

    def killed(file: Path, content: bytes) -> None:
        nonlocal left
        if not (left := left - 1):
            raise KeyboardInterrupt
        write_atomic(file, content)

    def files(run: Run) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in run.folder.rglob("*.safetensors")}

    whole, run = Run(tmp_path / "whole", path), Run(tmp_path, path)
    execute.train(whole, [4, 10])
    monkeypatch.setattr(store, "write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        execute.train(run, [4, 10])
    assert len(files(run)) == 2
    execute.train(run, [4, 10])
    assert files(run) == files(whole)


@pytest.mark.slow
def test_one_path_trained_by_two_processes_is_trained_once(tmp_path: Path) -> None:
    code = KILLED.replace("steps=2000", "steps=60")
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = os.environ | ENVIRONMENT
    quiet = subprocess.DEVNULL
    both = [subprocess.Popen(command, stdout=quiet, env=environment) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    (metrics,) = tmp_path.glob("*/*/metrics.jsonl")
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == list(range(5, 61, 5))


def test_a_damaged_snapshot_is_one_line_with_file_and_fix(setup: Setup, tmp_path: Path) -> None:
    run = Run(tmp_path, Recipe(setup, 7, (PRETRAIN,)))
    execute.train(run, [10])
    run.snapshot_file(10).write_bytes(b"nonsense")
    with pytest.raises(StoreError, match=r"model\.safetensors: damaged .*; delete this file"):
        run.params(10)
    run.snapshot_file(10).unlink()
    execute.train(run, [10])
    assert run.params(10).keys() == setup.init(7).keys()


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "table.csv"
    write_atomic(file, b"old")

    def broken(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="no space"):
        write_atomic(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_every_reading_leaves_a_row_of_metrics(
    sweep: Sweep, setup: Setup, ran: tuple[Path, Records]
) -> None:
    run = Run(ran[0], sweep.path(setup, 1000, "all"))
    rows = [row for row in store.metrics(run.folder) if "ladder/left" in row]
    assert [row["step"] for row in rows] == [2, 6]
    assert {f"weights/{name}" for name in setup.corpus.names} <= set(rows[0])
    assert rows[0]["ladder/total"] == pytest.approx(
        sum(rows[0][f"ladder/{rung}"] for rung in ("selection", "exaggeration", "left"))
    )


# Five values 1..5: mean 3, standard error sqrt(2.5 / 5) = 0.70711, t(4, .975) = 2.77645.
def test_the_t_interval_is_that_of_student() -> None:
    assert t_interval([1, 2, 3, 4, 5]) == pytest.approx((3, 3 - 1.96324, 3 + 1.96324), abs=1e-4)


@pytest.mark.parametrize(
    ("threshold", "above", "verdict"),
    [
        (1.0, True, "supported"),
        (3.0, True, "undecided"),
        (5.0, True, "refuted"),
        (5.0, False, "supported"),
        (1.0, False, "refuted"),
    ],
)
def test_a_verdict_needs_the_whole_interval(threshold: float, above: bool, verdict: str) -> None:
    said = ("name", "claim", "refutes", "source", "contradicted_by", "statistic", "column")
    registered = Registered(**dict.fromkeys(said, ""), threshold=threshold, above=above)
    assert judge(registered, [1, 2, 3, 4, 5]).verdict == verdict


def test_readings_keep_the_invariants_of_the_ladder(ran: tuple[Path, Records]) -> None:
    frame = pd.DataFrame([r["reading"][c] for r in ran[1].rows for c in ("exact", "learned")])
    assert (frame.F0 - frame.F1 >= -0.5).all()  # 16 documents to fit on: only roughly
    assert (frame.gap1 <= 1e-3).all()
    assert (frame.gap2 <= 1e-3).all()
    assert np.allclose([sum(w) for w in frame.weights], 1, atol=1e-4)


@pytest.mark.parametrize("order", [1, -1])
def test_what_only_one_arm_watches_is_in_the_plan_once(
    order: int, sweep: Sweep, setup: Setup, tmp_path: Path
) -> None:
    """The pretrained model is trained once, and read once more for the arm that sees more."""
    name, arm = next(iter(sweep.arms.items()))
    extra = Coherence(size=8)
    arms = {name: arm, "watched": dataclasses.replace(arm, watch=(extra,))}
    wide = dataclasses.replace(sweep, arms=dict([*arms.items()][::order]), seeds=1)
    plain = dataclasses.replace(sweep, arms={name: arm}, seeds=1)
    found, without = (legs(each, setup, tmp_path) for each in (wide, plain))
    assert len(found) == len(without)
    more = sum(leg.cost for leg in found) - sum(leg.cost for leg in without)
    # Before training, and wherever the arm is read.
    assert more == costs.UNKNOWN * (1 + len(sweep.points(without[-1].path, name)))


def test_readings_are_counted_in_training_steps_once_both_were_timed(tmp_path: Path) -> None:
    """.5 s a step, and a reading of 9 s (with compiling), then 5 s: 14 steps in the next plan."""
    measure, first = Coherence(), costs.Costs(tmp_path)
    first.note([(costs.STEP, 0.5), (measure.name, 9.0), (measure.name, 5.0)])
    assert first.of(measure.name) == costs.UNKNOWN  # this plan is made
    assert costs.Costs(tmp_path).of(measure.name) == 14
