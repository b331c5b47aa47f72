"""An experiment is any folder with a sweep.py, and is treated like the shipped ones."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from toylab.lab import experiments
from toylab.lab.flags import UsageError
from toylab.shell import cli

ROOT = Path(__file__).parent.parent
STAGE = """
import dataclasses
from toylab import Sft
from gentle.rate import RATE
@dataclasses.dataclass(frozen=True, kw_only=True)
class GentleSft(Sft):
    learning_rate: float = RATE
"""
SWEEP = """
import toylab as tl
from gentle.stage import GentleSft
SIZES = {"author": "mira", "steps": 4, "batch": 8}
SWEEP = tl.Sweep(
    name="gentle",
    question="Does a lower rate select less?",
    corpus="village",
    model=tl.ModelConfig(width=16, layers=1, heads=2),
    pretrain=tl.Pretrain(steps=10, batch=8),
    arms={
        "usual": tl.Arm(title="usual", stages=(tl.Sft(**SIZES),), read_at=(2,)),
        "gentle": tl.Arm(title="gentle", stages=(GentleSft(**SIZES),), read_at=()),
    },
    reading=tl.LadderFit(fit=32, score=16),
    seeds=1,
)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment with a stage of its own; the working folder is another one."""
    made = tmp_path / "elsewhere" / "gentle"
    made.mkdir(parents=True)
    for name, text in (("stage", STAGE), ("sweep", SWEEP), ("rate", "RATE = 1e-4\n")):
        (made / f"{name}.py").write_text(text)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [each for each in sys.modules if each.partition(".")[0] == "gentle"]:
        monkeypatch.delitem(sys.modules, name)
    return made


@pytest.mark.slow
def test_without_an_analysis_it_leaves_the_ladder_of_every_arm(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run-experiment", "../elsewhere/gentle", "--jobs=1"]) == 0
    said = capsys.readouterr().out
    assert said.count("figure and table") == 2
    assert "claims" not in said
    results = Path("results", "own", "gentle")
    table = pd.read_csv(results / "table.csv")
    assert set(table.arm) == {"usual", "gentle"}
    assert sorted(set(table[table.arm == "usual"].step)) == [0, 2, 4]
    assert {"cast", "F0", "F1", "F2", "outside"} <= set(table.columns)
    assert "F3" not in table
    assert json.loads((results / "claims.json").read_text())["claims"] == []
    assert (results / "figure.png").stat().st_size > 0
    assert sorted(path.name for path in Path().iterdir()) == ["results", "runs"]
    assert not list(folder.glob("*results*"))


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("sweep", 'name="gentle"', 'name="harsh"', "SWEEP.name is 'harsh'; name it 'gentle'"),
        ("sweep", "seeds=1", "seeds=0", "ValueError: seeds: 0 must be at least 1"),
        ("sweep", "SWEEP = tl", "SWEPT = tl", "defines no SWEEP"),
        ("sweep", "arms={", "arms=[", "sweep.py:14: SyntaxError: closing parenthesis"),
        ("stage", "gentle.rate", "gentle.pace", "No module named 'gentle.pace'"),
        ("sweep", "village", "vilage", "did you mean 'village'?"),
        ("sweep", '"mira"', '"mirra"', "did you mean 'mira'?"),
    ],
)
def test_a_mistake_in_it_is_one_line_and_code_2(
    folder: Path,
    file: str,
    old: str,
    new: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = folder / f"{file}.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert cli.main([str(folder)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ('record.found["probe"]', "'probe' is not read from 'usual' at step 0; read there: "),
        ('record.found["reading"]["F0"]', ""),
        ('record.found.get("probe")', ""),
        ('sum(record.found["reading"]["items"]) + {}["a"]', ""),  # real numbers might not fail
    ],
)
def test_a_measure_that_nothing_reads_is_told_before_anything_is_trained(
    folder: Path, asked: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ("def read(record):", f"    return {{'a': {asked}}}", "def tabulate(records):")
    rest = ("    return records.table(COLUMNS, read)", "COLUMNS, draw = {'a': ''}, print", "")
    text = "\n".join((*lines, *rest))
    (folder / "analysis.py").write_text(text)
    code = cli.main([str(folder), "--plan"])
    error = capsys.readouterr().err
    assert (code, error.count("\n")) == ((2, 1) if said else (0, 0))
    assert (f"{folder / 'analysis.py'}:2: {said}" if said else "") in error


def test_an_analysis_that_draws_nothing_is_refused_before_anything_is_trained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "analysis.py").write_text("COLUMNS = {'a': ''}\ntabulate = print\n")
    assert cli.main([str(folder), "--plan"]) == 2
    assert f"{folder / 'analysis.py'}: has no draw; see" in capsys.readouterr().err


def test_claims_without_values_are_refused_before_anything_is_trained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "claims.toml").write_text("[less]\nclaim = 3\n")
    assert cli.main([str(folder), "--plan"]) == 2
    assert "less: give a number as either above or below" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('column = "lense"', "claims.toml: less.column: unknown 'lense'"),
        (
            'column = "F1"\nminus = {arm = "gentel"}',
            "less.minus.arm: unknown 'gentel'; did you mean",
        ),
    ],
)
def test_claims_on_what_there_is_not_are_refused_before_anything_is_trained(
    folder: Path, said: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ("claim", "refutes", "source", "contradicted_by", "statistic")
    lines = [*(f'{each} = "x"' for each in texts), "above = 0.0", said]
    (folder / "claims.toml").write_text("\n".join(["[less]", *lines]))
    assert cli.main([str(folder), "--plan"]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_folder_that_is_called_like_another_module_is_refused(folder: Path) -> None:
    renamed = folder.rename(folder.with_name("json"))
    with pytest.raises(UsageError, match="another module is called 'json'"):
        experiments.sweep_of(renamed)


@pytest.mark.parametrize("name", ["../elsewhere", "../nowhere/gentle"])
def test_a_folder_without_a_sweep_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"not a folder with a sweep\.py"):
        experiments.locate(name)


@pytest.mark.parametrize("below", ["", "sub/"])
def test_a_folder_of_ones_own_that_is_misspelt_is_told_the_nearest(
    tmp_path: Path, below: str
) -> None:
    (tmp_path / "a" / "sub" / "rates").mkdir(parents=True)
    (tmp_path / "a" / "sub" / "rates" / "sweep.py").touch()
    here = tmp_path / "a" / ("" if below else "sub")
    with pytest.raises(UsageError, match=f"did you mean '{below}rates'"):
        experiments.locate(f"{below}ratse", here)


def test_listing_sweeps_imports_no_analysis() -> None:
    code = (
        "import sys; from toylab.shell import cli; cli.main(['list']);"
        "assert not [name for name in sys.modules if name.endswith('.analysis')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
