"""The report stands alone, and `all` goes on."""

import html.parser
import itertools
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from toylab.shell import cli, everything, page

CLAIM = {
    "claim": "Water is *<wet>*.",
    "source": "none",
    "contradicted_by": "dry water",
    "statistic": "wetness",
    "value": -0.004,
    "low": None,
    "high": 0.75,
    "threshold": 0.2,
    "above": True,
    "seeds": 2,
    "unit": "seeds",
    "verdict": "undecided",
}


class Page(html.parser.HTMLParser):
    """Text, and whatever a page would fetch."""

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "selection"
    made.mkdir()
    (made / "claims.json").write_text(json.dumps([CLAIM]))
    (made / "columns.json").write_text('{"step": "training step"}')
    (made / "table.csv").write_text("step\n1\n")
    (made / "figure.png").write_bytes(b"\x89PNG")
    return tmp_path


def test_the_report_fetches_nothing_and_has_every_claim_and_experiment(folder: Path) -> None:
    written = page.write(folder)
    read = Page(written)
    assert "Water is <em>&lt;wet&gt;</em>." in written  # as a claim in Markdown would look
    assert read.pictures == 1
    assert [source[:22] for source in read.fetched] == ["data:image/png;base64,"]
    for said in ("Water is <wet>.", "0.00 [?, 0.75]", "undecided", "training step", "dry water"):
        assert said in read.text
    assert "-0.00" not in read.text
    for name in everything.order(long=True):
        assert name in read.text
        assert ("Not run yet: ./launch.sh treasure" in read.text) or name != "treasure"


@pytest.mark.parametrize("broken", ["{", "[{}]", "[3]", json.dumps([CLAIM | {"verdict": "yes"}])])
def test_broken_claims_are_one_line_with_the_fix(
    folder: Path, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "selection" / "claims.json").write_text(broken)
    assert cli.main(["report", f"--results={folder}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "run toylab selection again" in error
    assert not (folder / "report.html").exists()


def test_the_report_of_no_folder_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "--results=nowhere"]) == 2
    assert "run an experiment first" in capsys.readouterr().err


def test_all_leaves_the_long_ones_out_unless_it_is_told() -> None:
    short, whole = everything.order(long=False), everything.order(long=True)
    assert whole[: len(short)] == short
    assert {"goal_persistence", "scaling", "replication"} == set(whole) - set(short)
    assert all(everything._sweep(name).long for name in whole[len(short) :])


def test_all_begins_with_selection_and_keeps_casts_together() -> None:
    order = everything.order(long=False)
    assert order[0] == "selection"
    corpora = [everything._sweep(name).corpus for name in order]
    changes = sum(a != b for a, b in itertools.pairwise(corpora))
    assert changes == len(set(corpora)) - 1


@pytest.mark.parametrize(("code", "ran"), [(1, 3), (130, 2)])
def test_all_goes_on_after_a_failure_and_stops_when_interrupted(
    code: int,
    ran: int,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = []

    def run(name: str, arguments: list[str]) -> int:
        seen.append((name, *arguments))
        return code if name == "second" else 0

    monkeypatch.setattr(everything, "order", lambda *, long: ["selection", "second", "third"])
    monkeypatch.setattr(everything, "_run", run)
    given = [f"--results={folder}", "--seeds=2"]
    assert everything.main(given) == code
    assert seen == [(name, *given) for name in ("selection", "second", "third")[:ran]]
    told = capsys.readouterr()
    assert "selection: 1 undecided" in told.out
    assert "not finished: second" in told.err
    assert (folder / "report.html").exists()


def test_all_takes_its_experiment_with_it_when_it_is_terminated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, python, finished = (tmp_path / name for name in ("told", "python", "finished"))
    python.write_text(f"#!/bin/sh\ntouch {told}\nsleep 9 & wait\ntouch {finished}\n")
    python.chmod(0o755)
    monkeypatch.setattr(everything.sys, "executable", str(python))

    def terminate() -> None:
        while not told.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate, daemon=True).start()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        everything._run("selection", [])
    assert stopped.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    assert not finished.exists()
