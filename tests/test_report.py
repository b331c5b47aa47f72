"""The report is self-contained; the order of `all`."""

import html.parser
import itertools
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests import records
from toylab.lab import experiments
from toylab.shell import cli, everything, page

CLAIM = {
    "claim": "Water is *<wet>*.",
    "refutes": "that it is dry",
    "source": "none",
    "contradicted_by": "dry water",
    "statistic": "wetness",
    "value": -0.004,
    "low": None,
    "high": 0.75,
    "threshold": 0.2,
    "above": True,
    "seeds": 2,
    "unit": "seed",
    "verdict": "undecided",
    "keeps": 0.5,
}


class Page(html.parser.HTMLParser):
    """A page's text, and everything that it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.fetched, self.pictures = "", [], 0
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list) -> None:
        for name, value in attrs:
            if name == "src" or (name == "href" and tag != "a"):
                self.fetched.append(value)
            self.pictures += tag == "img" and name == "alt" and bool(value)


def leave(made: Path) -> None:
    """Leaves the results of an experiment."""
    made.mkdir()
    (made / "claims.json").write_text(json.dumps({"claims": [CLAIM]}))
    (made / "columns.json").write_text('{"step": "training step"}')
    (made / "table.csv").write_text("step\n1\n")
    plt.imsave(made / "figure.png", np.zeros((4, 6, 3)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    leave(tmp_path / "selection")
    return tmp_path


def test_the_report_fetches_nothing_and_has_every_claim_and_experiment(folder: Path) -> None:
    written, damaged = page.write(
        {experiments.HOME / name: folder / name for name in experiments.shipped()}
    )
    assert not damaged
    read = Page(written)
    assert "Water is <em>&lt;wet&gt;</em>." in written  # as a claim in Markdown would look
    assert read.pictures == 1
    assert [source[:23] for source in read.fetched] == ["data:image/webp;base64,"]
    assert (
        read.text.index("The answer") < read.text.index("Contents") < read.text.index("All claims")
    )
    for said in ("Water is <wet>.", "0.00 [?, 0.75]", "undecided", "training step", "dry water"):
        assert said in read.text
    assert "-0.00" not in read.text
    for name in everything.order(long=True):
        assert name in read.text
        assert ("Not run yet: ./launch.sh treasure" in read.text) or name != "treasure"


def test_named_experiments_of_ones_own_are_reported_from_their_own_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "reported"]) == 0
    (tmp_path / "results" / "own").mkdir(parents=True)
    leave(tmp_path / "results" / "own" / "reported")
    assert cli.main(["report", "reported", f"--results={tmp_path / 'results'}"]) == 0
    text = (tmp_path / "results" / "report.html").read_text()
    assert "dry water" in text
    assert "selection" not in text
    assert f"run-experiment {(tmp_path / 'reported').resolve()}" in text


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        '{"claims": [{}]}',
        '{"claims": [3]}',
        json.dumps({"claims": [CLAIM | {"verdict": "yes"}]}),
    ],
)
def test_broken_claims_are_one_line_with_the_fix_and_the_rest_is_reported(
    folder: Path, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "selection" / "claims.json").write_text(broken)
    assert cli.main(["report", f"--results={folder}"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "run toylab selection again" in error
    assert "Its results can't be read" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    "content", ['{"claims": 3}', '{"claims": [{"value": "x"}]}', "null", '"x"']
)
def test_claims_of_the_wrong_kind_are_one_line_for_figures_too(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "table.csv").write_text("x\n")
    (file := tmp_path / "tools" / "claims.json").write_text(content)
    assert cli.main(["figures", f"--results={tmp_path}"]) == 1
    assert capsys.readouterr().err.startswith(f"toylab: {file}: damaged (")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"seed\n1\n1,2,3\n"])
def test_a_damaged_table_is_one_line_and_the_others_are_drawn(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (
        ("exchange", records.load("exchange")["table"].encode()),
        ("tools", content),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "table.csv").write_bytes(text)
    assert cli.main(["figures", f"--results={tmp_path}"]) == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"toylab: {tmp_path}/tools/table.csv: damaged (")
    assert told.err.count("\n") == 1
    assert "tables: exchange\n" in told.out


def test_the_report_of_no_folder_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "--results=nowhere"]) == 2
    assert "run an experiment first" in capsys.readouterr().err


def test_figures_are_drawn_from_tables_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "exchange").mkdir()
    (tmp_path / "exchange" / "table.csv").write_text(records.load("exchange")["table"])
    for old in ("selection", "treasure"):  # which have no changes.csv, and hardly any column
        leave(tmp_path / old)
    assert cli.main(["figures", f"--results={tmp_path}"]) == 0
    drawn, *others = capsys.readouterr().out.splitlines()
    assert drawn == "drawn from their tables: exchange"
    for line, lacks in zip(others, ("changes.csv: is missing", "no column 'cast'"), strict=True):
        assert lacks in line
    assert (tmp_path / "exchange" / "figure.pdf").stat().st_size > 10_000
    assert cli.main(["figures", "exchagne"]) == 2


def test_all_leaves_the_long_ones_out_unless_it_is_told() -> None:
    short, whole = everything.order(long=False), everything.order(long=True)
    assert whole[: len(short)] == short
    assert {"goal_persistence", "scaling", "scaled", "replication"} == set(whole) - set(short)
    assert all(experiments.sweep_of(experiments.HOME / name).long for name in whole[len(short) :])


def test_all_begins_with_selection_and_keeps_casts_together() -> None:
    order = everything.order(long=False)
    assert order[0] == "selection"
    corpora = [experiments.sweep_of(experiments.HOME / name).corpus for name in order]
    changes = sum(a != b for a, b in itertools.pairwise(corpora))
    assert changes == len(set(corpora)) - 1
