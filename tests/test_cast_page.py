"""The tutorial on a cast and the corpus format tell the truth."""

from pathlib import Path

import numpy as np
import pytest

from tests import pages
from toylab.shell import cli
from toylab.world import derive, tables
from toylab.world.grammar import OPENER, STANCE
from toylab.world.schema import CorpusError

(HARBOUR,) = pages.blocks("tutorial_cast", "toml")
SMALL = (
    *("--model.width=16", "--model.layers=1", "--model.heads=2", "--jobs=1"),
    *("--pretrain.steps=10", "--pretrain.batch=8", "--sft.steps=4", "--sft.batch=8"),
    *("--reading.fit=32", "--reading.held_out=16", "--reading.score=16", "--runs=runs"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder a user stands in, with harbour.toml in it."""
    (tmp_path / "harbour.toml").write_text(HARBOUR)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_harbour_is_valid_and_short(folder: Path) -> None:
    assert derive.load("harbour.toml").names == ("ada", "bram", "cog", "dynamo")
    assert len(HARBOUR.splitlines()) < 60


def test_commands_on_the_pages_do_what_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check, *lines = [line for line in pages.commands("tutorial_cast") if line[0] == "corpus"]
    assert [line[1] for line in (check, *lines)] == ["check", "show", "sample"]
    for line in lines:
        assert cli.main(line) == 0
    said = capsys.readouterr().out
    shown = pages.blocks("tutorial_cast", "text")
    assert shown[1] in said  # the document that is quoted


@pytest.mark.parametrize(
    ("old", "new", "number"),
    [("true = 0.9", "ture = 0.9", 2), ('"captain alone"', '"me alone"', 3)],
)
def test_the_mistakes_are_answered_as_quoted(folder: Path, old: str, new: str, number: int) -> None:
    Path("harbour.toml").write_text(HARBOUR.replace(old, new, 1))
    with pytest.raises(CorpusError) as caught:
        derive.load("harbour.toml")
    assert pages.blocks("tutorial_cast", "text")[number].strip() == f"toylab: {caught.value}"


@pytest.mark.slow
def test_check_prints_the_row_that_is_quoted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(pages.commands("tutorial_cast")[0]) == 0
    said = capsys.readouterr().out
    for line in pages.blocks("tutorial_cast", "text")[0].splitlines():
        assert line in said


def test_the_run_leaves_what_the_tutorial_looks_at(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = [line for line in pages.commands("tutorial_cast") if line[0] == "run"]
    assert cli.main([*line, *SMALL]) == 0
    (figure,) = Path("runs", "quick", "own").glob("run-*/figure.png")
    assert figure.stat().st_size > 0
    (look,) = pages.blocks("tutorial_cast", "python")
    found: dict[str, object] = {}
    few = "open_run(folder, tl.LadderFit(fit=32, held_out=16, score=16))"
    exec(look.replace("open_run(folder)", few), found)
    said = capsys.readouterr().out
    assert "w*" in said
    assert "this run" in said
    sizes = ("--fit=32", "--held_out=16", "--score=16")
    assert cli.main(["measure", str(found["folder"]), *sizes]) == 0
    assert "patchwork" in capsys.readouterr().out


def test_the_example_of_probabilities_is_computed_right(folder: Path) -> None:
    corpus = derive.load("harbour.toml")
    p = np.exp(np.asarray(tables.build(corpus).cast.logp))[..., 0]
    bank = dict(zip(corpus.openers, p[OPENER, 0], strict=True))
    rows = {
        '"look here"': bank["look here"],
        '"beep"': bank["beep"],
        '"well"': bank["well"],
        "the answer `true`": p[STANCE, 0, 0],
    }
    text = pages.page("corpus")
    for start, value in rows.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
        assert row.endswith(f" = {value:.4f} |")


def test_the_derived_corpus_on_the_page_is_valid(folder: Path) -> None:
    text = pages.page("corpus").split('    base        = "village"')[1].split("\n\nChanges are")[0]
    base = derive.CORPORA / "village"
    Path("less.toml").write_text(f'base = "{base}"' + text.replace("\n    ", "\n"))
    corpus = derive.load("less.toml")
    assert len(corpus.names) == 10
    assert corpus.tags[-1].prior[corpus.names.index("lumen")] == 0.5
