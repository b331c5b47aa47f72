"""`./launch.sh new` makes a working experiment, the one in the tutorial."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests import pages
from tests.test_cast_page import SMALL
from toylab.lab import experiments
from toylab.lab.records import Records
from toylab.report import results
from toylab.shell import cli
from toylab.world import derive


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [each for each in sys.modules if each.partition(".")[0] == "rates"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def test_the_folder_is_the_one_in_the_tutorial(work: Path) -> None:
    assert cli.main(pages.commands("tutorial_question")[0]) == 0
    sweep, _, analysis, _ = pages.blocks("tutorial_question", "python")
    (claims,) = pages.blocks("tutorial_question", "toml")
    shown = {"sweep.py": sweep, "analysis.py": analysis, "claims.toml": claims}
    made = {file.name: file.read_text() for file in (work / "rates").iterdir()}
    assert made == shown
    assert experiments.sweep_of(work / "rates").name == "rates"


def test_its_figure_names_its_lines_and_its_axes(work: Path) -> None:
    assert cli.main(["new", "rates"]) == 0
    sweep = experiments.sweep_of(work / "rates")
    reading = {"learned": {"F0": 1.0, "F1": 0.2}, "outside": 0.0}
    runs = [(arm, 100) for arm in sweep.arms]
    rows = [
        {"arm": arm, "seed": seed, "step": step, "reading": reading}
        for arm, seed in runs
        for step in (0, 80)
    ]
    bases: dict[tuple[str, int], dict[str, Any]] = {run: {} for run in runs}
    records = Records(sweep=sweep, setups=sweep.setups(derive.load), rows=rows, bases=bases)
    (axes,) = results.find(work / "rates").analyse(records).figure.axes
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == [arm.title for arm in sweep.arms.values()]
    assert "" not in (axes.get_xlabel(), axes.get_ylabel(), axes.get_title("left"))


def test_the_small_sweep_in_the_tutorial_is_one() -> None:
    made: dict[str, Any] = {}
    exec(pages.blocks("tutorial_question", "python")[1], made)
    sweep = made["SWEEP"]
    sweep.check(sweep.setups(derive.load))


def test_it_leaves_its_figure_and_its_claim(work: Path) -> None:
    assert cli.main(["new", "rates"]) == 0
    assert cli.main(["run-experiment", "rates", "--seeds=2", *SMALL]) == 0
    (place,) = Path("results", "own").glob("rates-seeds=2-*")  # the settings were changed
    content = json.loads((place / "claims.json").read_text())
    (claim,) = content["claims"]
    assert (claim["name"], claim["seeds"], claim["above"]) == ("less", 2, False)
    assert content["seeds"] == [100, 101]
    table = pd.read_csv(place / "table.csv")
    assert list(table.columns) == ["arm", "seed", "step", "share", "outside"]
    assert table.share.between(-1, 1).all()


def test_the_stage_in_the_tutorial_is_one(work: Path) -> None:
    assert cli.main(["new", "rates"]) == 0
    stage = pages.blocks("tutorial_question", "python")[3]
    Path("rates", "stage.py").write_text(stage)
    sweep = Path("rates", "sweep.py")
    text = sweep.read_text().replace(
        "import toylab as tl\n", "import toylab as tl\nfrom rates.stage import GentleSft\n"
    )
    sweep.write_text(text.replace("tl.Sft", "GentleSft"))
    stages = experiments.sweep_of(work / "rates").arms["usual"].stages
    assert stages[0].learning_rate == 3e-5


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("there", "already exists"),
        ("my-question", "make the name one word"),
        ("selection", "choose another name"),
        ("json", "choose another name"),
        ("class", "make the name one word"),
        ("missing/unheard", "can't be made"),
    ],
)
def test_a_name_that_is_taken_or_cannot_be_one_is_refused(
    work: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (work / "there").mkdir()
    assert cli.main(["new", name]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert [file.name for file in work.rglob("*")] == ["there"]
