"""Experiments as one graph: results as seeds finish, what a failure costs, how a run is stopped."""

import dataclasses
import json
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.checks import SMALL
from toylab.lab import execute, readings
from toylab.lab.plan import plan
from toylab.lab.store import Run
from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import LadderFit
from toylab.report import results
from toylab.report.results import Experiment
from toylab.shell import running
from toylab.shell.running import Asked
from toylab.stages import Diverged, Pretrain, Setup, Sft

SFT = Sft(author="ada", steps=6, batch=4)
SWEEP = Sweep(
    name="first",
    question="?",
    corpus="tiny",
    model=SMALL,
    pretrain=Pretrain(steps=10, batch=4),
    arms={"ada": Arm(title="", stages=(SFT,), read_at=(2,))},
    reading=LadderFit(fit=16, score=8),
    seeds=2,
    first_seed=0,
)
# Shares the pretrained and fine-tuned models. It also reads the latter at another step.
SECOND = dataclasses.replace(
    SWEEP,
    name="second",
    arms={
        "ada": dataclasses.replace(SWEEP.arms["ada"], read_at=(4,)),
        "bob": Arm(title="", stages=(dataclasses.replace(SFT, author="bob"),), read_at=()),
    },
)


def asked(sweep: Sweep, setup: Setup, out: Path) -> Asked:
    setups = dict.fromkeys(sweep.arms, setup)
    return Asked(Experiment(sweep=sweep, analyse=results.plain), setups, out / sweep.name)


def run(setup: Setup, place: Path, *sweeps: Sweep, jobs: int = 1) -> int:
    each = [asked(sweep, setup, place / "results") for sweep in sweeps]
    return running.run(each, place / "runs", jobs)


def written(folder: Path) -> dict[str, bytes]:
    """The files that are byte-identical for the same records."""
    files = sorted(each for each in folder.rglob("*") if each.suffix in (".csv", ".json", ".png"))
    return {str(f.relative_to(folder)): f.read_bytes() for f in files if f.name != "cost.json"}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "time"} for line in lines]


def fine_tuned(setup: Setup, place: Path, seed: int = 0) -> Run:
    return Run(place / "runs", SWEEP.path(setup, seed, "ada"))


@pytest.fixture(scope="module")
def whole(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sweeps, run as one graph."""
    place = tmp_path_factory.mktemp("whole")
    assert run(setup, place, SWEEP, SECOND) == 0
    return place


def test_what_sweeps_share_is_done_once(setup: Setup, tmp_path: Path) -> None:
    both = [(sweep, dict.fromkeys(sweep.arms, setup)) for sweep in (SWEEP, SECOND)]
    names = [set(plan([each], tmp_path).legs) for each in both]
    graph = plan(both, tmp_path)
    assert set(graph.legs) == names[0] | names[1]
    assert len(names[0] & names[1]) == 2 * 5  # by seed: two runs, a reference, two readings
    assert graph.needs[1, 0] == {name for name in names[1] if "seed0" in name}


def test_sweeps_together_leave_what_each_alone_leaves(
    setup: Setup, whole: Path, tmp_path: Path
) -> None:
    for sweep in (SECOND, SWEEP):
        assert run(setup, tmp_path, sweep) == 0
    assert written(whole / "results") == written(tmp_path / "results")


def test_results_come_with_every_seed(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[set[int]] = []
    kept = results.write

    def write(folder: Path, analysis: results.Analysis, *rest: Any, **named: Any) -> None:
        drawn.append(set(analysis.table.seed))
        kept(folder, analysis, *rest, **named)

    monkeypatch.setattr(results, "write", write)
    assert run(setup, tmp_path, SWEEP) == 0
    assert drawn[-1] == {0, 1}
    assert drawn[0] in ({0}, {0, 1})  # both, if the second was done before the first was drawn


def test_a_leg_that_diverges_costs_its_seed_of_its_experiment_and_is_one_line(
    setup: Setup,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = execute.train

    def train(run: Run, *rest: Any) -> Any:
        stage = run.path.stage
        if isinstance(stage, Sft) and stage.author == "bob" and run.path.seed == 0:
            raise Diverged("sft diverged; lower its learning rate")
        return kept(run, *rest)

    monkeypatch.setattr(execute, "train", train)
    assert run(setup, tmp_path, SECOND, SWEEP) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == "toylab: second seed 0: bob: sft diverged; lower its learning rate"
    assert sum(line.startswith("toylab: ") for line in told) == 1
    assert set(pd.read_csv(tmp_path / "results" / "second" / "table.csv").seed) == {1}
    first = Path("results") / "first"
    assert written(tmp_path / first) == written(whole / first)


def test_an_analysis_that_fails_is_one_line_and_costs_no_other_experiment(
    setup: Setup, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(records: object) -> results.Analysis:
        raise KeyError("F7")

    each = [asked(sweep, setup, tmp_path) for sweep in (SWEEP, SECOND)]
    each[0] = dataclasses.replace(
        each[0], experiment=dataclasses.replace(each[0].experiment, analyse=broken)
    )
    assert running.run(each, tmp_path / "runs", 1) == 1
    assert "toylab: first, results: KeyError: 'F7'" in capsys.readouterr().err
    assert (tmp_path / "second" / "table.csv").exists()


@pytest.fixture
def heard() -> Iterator[None]:
    """Signals work as in a terminal, even if the tests run in the background or under `nohup`."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_stops_it_keeps_the_seeds_that_are_complete(
    number: int,
    code: int,
    setup: Setup,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = execute.train

    def train(run: Run, *rest: Any) -> Any:
        if run.path.seed == 1 and run.path.parent:  # post-training; seeds are pretrained ahead
            signal.raise_signal(number)
        return kept(run, *rest)

    monkeypatch.setattr(execute, "train", train)
    before = signal.getsignal(signal.SIGTERM)
    assert run(setup, tmp_path, SWEEP) == code
    assert signal.getsignal(signal.SIGTERM) == before
    assert set(pd.read_csv(tmp_path / "results" / "first" / "table.csv").seed) == {0}
    told = capsys.readouterr()
    assert "of 1 of 2 seeds" in told.out
    assert told.err.endswith("toylab: stopped; run the same command to resume\n")
    monkeypatch.setattr(execute, "train", kept)
    assert run(setup, tmp_path, SWEEP) == 0
    assert set(pd.read_csv(tmp_path / "results" / "first" / "table.csv").seed) == {0, 1}


@pytest.mark.parametrize(
    ("stop", "code"), [(KeyboardInterrupt(), 130), (running.Terminated(15), 143)]
)
def test_who_stops_its_last_drawing_is_told_and_gets_the_code(
    stop: BaseException,
    code: int,
    setup: Setup,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(*_: object) -> None:
        raise stop

    monkeypatch.setattr(running.ThreadPoolExecutor, "shutdown", stopped)
    monkeypatch.setattr(running.os, "_exit", sys.exit)
    with pytest.raises(SystemExit) as ended:
        run(setup, tmp_path, SWEEP)
    assert ended.value.code == code
    assert capsys.readouterr().err.endswith("stopped; run the same command to resume\n")


@pytest.mark.usefixtures("heard")
def test_a_terminal_that_is_lost_stops_it_unless_nohup_is_asked() -> None:
    for number, code in ((signal.SIGHUP, 129), (signal.SIGTERM, 143)):
        before = signal.getsignal(number)
        with (
            pytest.raises(running.Terminated) as stopped,
            running._terminable(signal.SIGTERM, signal.SIGHUP),
        ):
            signal.raise_signal(number)
        assert stopped.value.code == code
        assert signal.getsignal(number) == before
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with running._terminable(signal.SIGHUP):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_rows_are_in_order_and_a_second_experiment_deletes_none(
    setup: Setup, tmp_path: Path
) -> None:
    run(setup, tmp_path, SWEEP)
    folder = fine_tuned(setup, tmp_path).folder
    before = rows_of(folder)
    assert [(row["step"], "reading" in row) for row in before] == [
        (2, False), (2, True), (6, False), (6, True),
    ]  # fmt: skip
    run(setup, tmp_path, SECOND)
    after = rows_of(folder)
    assert [row for row in after if row in before] == before
    assert [row["step"] for row in after] == [2, 2, 4, 4, 6, 6]


def test_who_is_killed_before_a_reading_is_kept_says_its_row_once(
    setup: Setup, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    run(setup, tmp_path, SWEEP, SECOND)
    one = fine_tuned(setup, tmp_path)
    for file in (one.folder / "readings").iterdir():
        file.unlink()
    (one.folder / "metrics.jsonl").unlink()
    monkeypatch.setattr(readings, "write_json", killed)
    assert run(setup, tmp_path, SWEEP) == 130
    assert len(rows_of(one.folder)) == 1
    monkeypatch.undo()
    assert run(setup, tmp_path, SWEEP, SECOND) == 0
    expected = fine_tuned(setup, whole).folder
    assert rows_of(one.folder) == [row for row in rows_of(expected) if "reading" in row]


@pytest.mark.parametrize(
    ("place", "content", "said"),
    [
        ("pretrain-seed0*/references/*.safetensors", None, "a folder is where a file should be"),
        ("pretrain-sft-ada*-seed0*/.metrics.lock", None, "Is a directory; a folder is where"),
        ("pretrain-sft-ada*-seed0*/readings/000002*.json", b'{"step": 3}', "damaged ('learned')"),
    ],
)
def test_what_is_damaged_is_one_line_with_the_file_and_once_deleted_mends(
    place: str,
    content: bytes | None,
    said: str,
    setup: Setup,
    whole: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    file = next((tmp_path / "runs").glob(f"*/{place}"))
    if content is None:  # a folder is in its place, and reading again needs the file
        file.unlink()
        file.mkdir()
        for each in fine_tuned(setup, tmp_path).folder.glob("readings/*"):
            each.unlink()
    else:
        file.write_bytes(content)
    assert run(setup, tmp_path, SWEEP) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("toylab: ")]
    assert told[-1].partition(f"{file}: ")[2].startswith(said), told
    assert "delete" in told[-1]
    file.unlink() if content else file.rmdir()
    assert run(setup, tmp_path, SWEEP) == 0
    assert written(tmp_path / "results" / "first") == written(whole / "results" / "first")


def test_an_analysis_that_fails_names_its_line_or_the_file_that_is_unlike_the_others(
    setup: Setup, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "analysis.py"
    file.write_text("def analyse(records):\n    [*records.bases.values()][0]['nuisances']['F7']\n")
    found: dict[str, Any] = {}
    exec(compile(file.read_text(), file, "exec"), found)
    one = asked(SWEEP, setup, tmp_path / "results")
    mine = dataclasses.replace(one.experiment, analyse=found["analyse"], folder=tmp_path)
    one = dataclasses.replace(one, experiment=mine)
    assert running.run([one], tmp_path / "runs", 1) == 2
    said = f"toylab: first, results: {file}:2: KeyError: 'F7'; there are arms ada; steps 0, 2, 6\n"
    assert said in (told := capsys.readouterr().err)
    assert "Traceback" not in told
    base = next((tmp_path / "runs").glob("*/pretrain-seed1*/references/*.json"))
    base.write_text('{"excess": 1}')
    assert running.run([one], tmp_path / "runs", 1) == 1
    said = f"{base}: unlike similar files; delete it and run again, unless analysis.py:2 is wrong\n"
    assert said in capsys.readouterr().err


def test_a_corpus_or_a_reference_that_was_lost_comes_back(
    setup: Setup, whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    folder = fine_tuned(setup, tmp_path).folder
    (reference,) = (tmp_path / "runs").glob("*/pretrain-seed0*/references/*.safetensors")
    corpus = folder / "corpus.json"
    before = corpus.read_bytes()
    shutil.rmtree(folder / "readings")
    reference.unlink()
    corpus.write_text("[]")
    assert run(setup, tmp_path, SWEEP) == 0
    assert corpus.read_bytes() == before
    assert reference.exists()
