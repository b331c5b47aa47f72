"""The command line: bad input is one line with the fix, code 2, and nothing is written."""

from pathlib import Path

import pytest

from toylab.lab import experiments
from toylab.shell import cli


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["selektion"], "unknown 'selektion'; did you mean 'selection'?"),
        (["selection", "--sed=3"], "--sed: unknown 'sed'; did you mean 'seeds'?"),
        (["selection", "--seeds=many"], "seeds"),
        (["selection", "--jobs=0"], "--jobs: 0 must be at least 1"),
        (["selection", "--jobs=x"], "jobs"),
        (["selection", "--seeds=0"], "--seeds: 0 must be at least 1"),
        (["selection", "--sft.batch=0"], "--sft.batch: 0 must be at least 1"),
        (["selection", "--sft.learning_rate=-1"], "--sft.learning_rate: -1.0 must be at least 0"),
        (["selection", "--model.heads=3"], "width 64 must be a multiple of heads 3"),
        (["selection", "--narrow.sft.topics=cod"], "unknown 'cod'; did you mean 'code'?"),
        (["selection", "--sft.author=mirra"], "unknown 'mirra'; did you mean 'mira'?"),
        (["selection", "--corpus=nowhere.toml"], "nowhere.toml: no such file"),
        (["selection", "--reading.tag=asistant"], "unknown 'asistant'; did you mean 'assistant'?"),
        (["selection", "extra"], "unexpected 'extra'"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("toylab: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_lists_every_field_of_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["selection", "--help"]) == 0
    text = capsys.readouterr().out
    for flag in ("--seeds", "--pretrain.steps", "--sft.documents", "--narrow-16.sft.documents"):
        assert flag in text


def test_list_has_a_line_for_every_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == experiments.shipped()


def test_a_custom_run_is_planned_with_the_flags_of_its_stages(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = ["--corpus=village", "--stages=pretrain,sft:mira,rl:code=cheats", "--sft.steps=7"]
    assert cli.main(["run", *line, "--rl.steps=9", "--plan", f"--runs={tmp_path}"]) == 0
    assert "pretrain" in capsys.readouterr().out


def test_plan_trains_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["selection", "--plan", "--seeds=2", f"--runs={tmp_path}"]) == 0
    text = capsys.readouterr().out
    assert text.count("seed0-") == text.count("seed1-") == 5
    assert "in all about" in text
    assert list(tmp_path.iterdir()) == []
