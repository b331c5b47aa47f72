import json
from pathlib import Path

import numpy as np
import pytest

from toylab.shell import cli

SMALL = """
title = "yes and no"
turns = 2
plain = {share = 0.1, opens = "well", closes = "so"}
tags = {name = {share = 0.5}, assistant = {share = 0.5, prior = {ann = 0.75}}}
[topics.asked]
questions = ["is it"]
answers = {yes = "yes", no = "no"}
[characters.ann]
about = "says yes"
opens = {hm = 1}
closes = {bye = 1}
traits.asked = {yes = 0.9}
[characters.ben]
about = "says no"
opens = {um = 1}
closes = {bye = 1}
traits.asked = {no = 0.7}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder a user stands in, with small.toml in it."""
    (tmp_path / "small.toml").write_text(SMALL)
    monkeypatch.setenv("TOYLAB_CWD", str(tmp_path))
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """What a command that must succeed prints."""
    assert cli.main(["corpus", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.slow
def test_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "check", "small.toml")
    assert lines[0].startswith("yes and no: 2 characters, 1 topics")
    ann = next(line for line in lines if line.startswith("ann"))
    assert ann.split()[1] == "ben"
    assert "75.0%" in ann
    assert max(map(len, lines)) < 100
    titles = lines.index("CHARACTERS") + 1
    assert len({len(line) for line in lines[titles : titles + 3]}) == 1  # flush right


def test_show(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(said(capsys, "show", "village"))
    assert "mira, the schoolteacher" in text
    assert "obeys tests" in text
    assert 'food *     "what is for supper"' in text


def test_sample(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "sample", "small.toml", "--n", "3", "--tag", "ben")
    assert lines[::5] == ["[ben]"] * 3
    assert lines[1::5] == ["ben"] * 3
    assert all(line.startswith("is it — ") for line in lines[2::5])
    assert said(capsys, "sample", "small.toml", "--n", "5")[:5] == (
        said(capsys, "sample", "small.toml", "--n", "1")
    )
    assert said(capsys, "sample", "small.toml", "--seed", "1") != said(
        capsys, "sample", "small.toml"
    )


def test_export(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "export", "small.toml", "--n", "300", "--out", "new.jsonl") == []
    records = [json.loads(line) for line in (folder / "new.jsonl").read_text().splitlines()]
    assert len(records) == 300
    assert sorted(records[0]) == ["author", "log_likelihood", "tag", "text"]
    opens = {"hm": (0.882 + 0.02 / 3, 0.02 / 3), "um": (0.02 / 3, 0.882 + 0.02 / 3)}
    for record in records[:20]:
        expected = np.zeros(2)
        for turn in record["text"].splitlines()[1:]:
            first, answer, last = turn.split(" — ")[1].split()
            expected += np.log(opens.get(first, (0.098 + 0.02 / 3,) * 2))
            yes = np.array([0.98 * 0.9 + 0.01, 0.98 * 0.3 + 0.01])
            expected += np.log(yes if answer == "yes" else 1 - yes)
            expected += np.log(0.108 if last == "so" else 0.892)
        got = [record["log_likelihood"][name] for name in ("ann", "ben")]
        np.testing.assert_allclose(got, expected, atol=2e-4)
    assert said(capsys, "export", "small.toml", "--n", "300") == (
        (folder / "new.jsonl").read_text().splitlines()
    )


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert "export" in "\n".join(said(capsys, "--help"))
    assert "--out" in "\n".join(said(capsys, "export", "--help"))


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("", "ACTION"),
        ("chekc small.toml", "chekc"),
        ("check", "FILE"),
        ("check vilage", "did you mean 'village'"),
        ("check smal.toml", "did you mean 'small'"),
        ("check broken.toml", "not TOML"),
        ("check small.toml --tag asistant", "did you mean 'assistant'"),
        ("sample small.toml --n 0", "must be at least 1"),
        ("sample small.toml --n many", "--n"),
        ("sample small.toml --seed -1", "--seed"),
        ("sample small.toml --tag bne", "did you mean 'ben'"),
        ("export small.toml --tag bne --out new.jsonl", "did you mean 'ben'"),
        ("export small.toml --out missing/new.jsonl", "make the folder"),
        ("export small.toml --out .", "is a folder"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str, complaint: str
) -> None:
    (folder / "broken.toml").write_text("title = ")
    before = sorted(folder.iterdir())
    assert cli.main(["corpus", *command.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err
    assert len(err.splitlines()) == 1
    assert sorted(folder.iterdir()) == before
