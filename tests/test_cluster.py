"""Slurm: options, and (slow) jobs on a Slurm of one node: requeued, killed, the same bytes."""

import os
import pickle
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_experiments import folder as folder
from toylab.lab import cluster
from toylab.lab.flags import UsageError
from toylab.lab.paths import Recipe
from toylab.lab.plan import Train
from toylab.lab.store import StoreError
from toylab.stages import Pretrain, Setup

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slrum", "--cluster: unknown 'slrum'; did you mean 'slurm'?"),
        ("slurm:partition", "'partition' should be NAME=VALUE, as for sbatch"),
        ("slurm:time=1:00", "'time=1:00' should be time=60 (minutes)"),
        ("slurm:time=5", "sbatch not found; run this where jobs are submitted"),
    ],
)
def test_a_cluster_that_cannot_be_is_one_line(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError) as told:
        cluster.options(text)
    assert said in str(told.value)
    assert "\n" not in str(told.value)


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    """A Slurm of one node, on loopback."""
    if not (shutil.which("sbatch") and shutil.which("munged", path="/usr/sbin:/sbin")):
        told = "no Slurm here (apt install slurm-wlm munge): its tests are skipped"
        warnings.warn(told, stacklevel=2)
        pytest.skip("no Slurm here")
    pytest.importorskip("submitit")
    command = [str(ROOT / ".ci" / "slurm"), "sh", "-c", "echo $SLURM_CONF; exec cat"]
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as started,
        pytest.MonkeyPatch.context() as patched,
    ):
        assert started.stdin
        assert started.stdout
        patched.setenv("SLURM_CONF", started.stdout.readline().strip())
        patched.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
        patched.setattr(cluster, "POLL", 0.5)
        yield
        started.stdin.close()  # ends cat, and Slurm with it


def array(
    root: Path, *calls: tuple[Any, ...], options: str = "slurm:time=5"
) -> Generator[dict[int, tuple[Any, Exception | None]], None, None]:
    """These calls as jobs."""
    jobs = [cluster.Requeued(*each) for each in calls]
    return cluster.array(root, cluster.options(options), jobs, len(jobs))


def second_start(file: str) -> int:
    """Notes that it started. The first start waits to be killed, and ends with another error."""
    with open(file, "a") as notes:
        notes.write("started\n")
    starts = len(Path(file).read_text().splitlines())
    try:
        time.sleep(0 if starts > 1 else 600)
    except SystemExit:
        raise ValueError("as numpy does") from None
    return starts


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_values_and_errors_come_back_and_a_job_that_was_told_to_end_starts_again(
    tmp_path: Path,
) -> None:
    file = tmp_path / "starts"
    calls = [(divmod, 7, 2), (divmod, 7, 0), (os._exit, 1), (second_start, str(file))]
    ended, told = {}, False
    for done in array(tmp_path, *calls):
        ended |= done
        if file.exists() and not told:
            (job,) = [each for each in cluster.queued() or () if each.endswith("_3")]
            subprocess.run(["scancel", "--signal=USR2", job], check=True)
            told = True
    assert ended[0] == ((3, 1), None)
    assert isinstance(ended[1][1], ZeroDivisionError)
    assert isinstance(ended[2][1], StoreError)
    assert ended[3] == (2, None)


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_what_sbatch_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="invalid partition specified: nowhere"):
        list(array(tmp_path, (divmod, 7, 2), options="slurm:partition=nowhere"))


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_cancelled_jobs_leave_the_queue(tmp_path: Path) -> None:
    running = array(tmp_path, (second_start, str(tmp_path / "starts")))
    while not (tmp_path / "starts").exists():
        next(running)
    running.close()
    wait_for(lambda: not cluster.queued())


def test_a_job_that_would_name_its_runs_otherwise_does_nothing(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe is sent with its name on the submitting machine."""
    path = Recipe(setup, 0, (Pretrain(steps=1),))
    leg = Train(path=path, title="", rank=(0,), after=frozenset(), cost=1, points=(1,))
    sent = pickle.loads(pickle.dumps({leg.name: leg}))
    monkeypatch.setenv("XLA_FLAGS", "--other")
    with pytest.raises(StoreError, match="differs from where the job was submitted"):
        cluster._work(tmp_path, {}, sent, tmp_path / "note")


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_an_experiment_with_a_job_told_to_end_leaves_the_bytes_of_one_process(
    folder: Path, tmp_path: Path
) -> None:
    for name in ("claims.toml", "analysis.py"):
        shutil.copy(ROOT / "toylab" / "shell" / "template" / name, folder)
    command = [sys.executable, "-m", "toylab", "run-experiment", str(folder)]
    command += ["--seeds=2", "--pretrain.steps=1600"]
    on, here = tmp_path / "on", tmp_path / "here"
    with subprocess.Popen(
        [*command, "--cluster=slurm:time=5", f"--runs={on}", f"--results={on}"]
    ) as waiting:
        wait_for(lambda: any(on.glob("*/pretrain-seed100-*/state.safetensors")))
        job = sorted(cluster.queued() or ())[0]
        subprocess.run(["scancel", "--signal=USR2", job], check=True)
    assert waiting.returncode == 0
    said = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True).stdout
    assert "Restarts=1" in said
    subprocess.run([*command, "--jobs=1", f"--runs={here}", f"--results={here}"], check=True)
    for file in ("table.csv", "claims.json"):
        one, other = (next(place.glob(f"own/gentle*/{file}")) for place in (on, here))
        assert one.read_bytes() == other.read_bytes(), file
    models = [sorted(place.glob("*/*/model.safetensors")) for place in (on, here)]
    assert len(models[0]) == 6
    assert [a.read_bytes() == b.read_bytes() for a, b in zip(*models, strict=True)] == 6 * [True]


def wait_for(true: Callable[[], bool]) -> None:
    """Waits until a condition is met, four minutes at most."""
    for _ in range(960):
        if true():
            return
        time.sleep(0.25)
    raise AssertionError(f"{true} in vain")
