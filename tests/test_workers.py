"""Worker processes: any number gives the same bytes, and none is left after a kill or stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from toylab.lab import machine

ROOT = Path(__file__).parent.parent
SLOW = pytest.mark.slow
LINUX = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")
SWEEP = """
import toylab as tl
SIZES = {"author": "mira", "batch": 8}
SWEEP = tl.Sweep(
    name="some",
    question="?",
    corpus="village",
    model=tl.ModelConfig(width=16, layers=1, heads=2),
    pretrain=tl.Pretrain(steps=10, batch=8),
    arms={
        "one": tl.Arm(title="one", stages=(tl.Sft(steps=4, **SIZES),), read_at=(2,)),
        "other": tl.Arm(title="other", stages=(tl.Sft(steps=6, **SIZES),), read_at=()),
    },
    reading=tl.LadderFit(fit=32, score=16),
    seeds=2,
    first_seed=0,
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment, where processes also work."""
    place = tmp_path_factory.mktemp("work")
    (place / "some").mkdir()
    (place / "some" / "sweep.py").write_text(SWEEP)
    return place


def start(folder: Path, name: str, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "toylab", "run-experiment", str(folder / "some"), *flags]
    return subprocess.Popen(
        [*command, f"--runs={folder / name / 'runs'}", f"--results={folder / name}"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def results(folder: Path, name: str) -> dict[str, bytes]:
    files = (folder / name / "own" / "some").iterdir()
    return {file.name: file.read_bytes() for file in files if file.name != "cost.json"}


@pytest.fixture(scope="module")
def inline(folder: Path) -> dict[str, bytes]:
    """What one process, without workers, leaves."""
    process = start(folder, "jobs 1", "--jobs=1")
    assert process.communicate()[1].count("\n") == 16  # one line per leg
    assert process.returncode == 0
    return results(folder, "jobs 1")


def until(true: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def children(parent: int, called: bytes = b"spawn_main") -> list[int]:
    """The workers of a process, or its children with another name."""
    found = []
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            if called in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


def alive(process: int) -> bool:
    state = Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


@SLOW
@pytest.mark.parametrize("jobs", [2, 3])
def test_any_number_of_workers_leaves_the_same_bytes(
    jobs: int, folder: Path, inline: dict[str, bytes]
) -> None:
    process = start(folder, f"jobs {jobs}", f"--jobs={jobs}")
    told = process.communicate()[1]
    assert process.returncode == 0, told
    assert results(folder, f"jobs {jobs}") == inline


@SLOW
@LINUX
def test_what_a_killed_worker_had_in_hand_is_done_by_another(
    folder: Path, inline: dict[str, bytes]
) -> None:
    process = start(folder, "killed", "--jobs=2")
    assert process.stderr
    process.stderr.readline()  # a leg is done, so another is in hand
    os.kill(children(process.pid)[0], signal.SIGKILL)
    told = process.communicate()[1]
    assert process.returncode == 0, told
    assert "toylab:" not in told
    assert results(folder, "killed") == inline


@SLOW
@LINUX
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGHUP, 129), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
)
def test_who_stops_the_program_stops_its_workers(number: int, code: int, folder: Path) -> None:
    name = f"stopped {number}"
    short = start(folder, name, "--jobs=1", "--seeds=1")
    told = short.communicate()[1]
    assert short.returncode == 0, told
    before = results(folder, name)
    process = start(folder, name, "--jobs=2", "--seeds=2", "--other.sft.steps=200000")
    # Both workers are busy for minutes once the second seed's post-training has begun.
    until(lambda: len(list(folder.glob(f"{name}/runs/*/*seed1-*/metrics.jsonl"))) == 2)
    own = children(process.pid)
    assert len(own) == 2
    if number in (signal.SIGINT, signal.SIGHUP):  # which a terminal sends to all of them
        for each in (*own, *children(process.pid, b"resource_tracker")):
            os.kill(each, number)
        time.sleep(2)
    process.send_signal(number)
    try:
        until(lambda: not any(map(alive, own)), 20)  # a second where nothing else runs
        told = process.communicate(timeout=20)[1]
    finally:
        for each in filter(alive, own):
            os.kill(each, signal.SIGKILL)
    assert process.returncode == code, told
    assert "Traceback" not in told
    assert results(folder, name) == before
    if code > 0:
        assert told.endswith("toylab: stopped; run the same command to resume\n")


def test_there_are_no_more_workers_than_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores", lambda: list(range(16)))
    for gigabytes, jobs in ((0.5, 1), (3.9, 3), (100, 16)):
        monkeypatch.setattr(machine, "memory", lambda _, g=gigabytes: int(g * 2**30))
        assert machine.default_jobs() == jobs
    monkeypatch.setattr(machine, "memory", lambda _: None)
    assert machine.default_jobs() == 16
