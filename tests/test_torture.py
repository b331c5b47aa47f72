"""Torture counts what works, and prints how to repeat what breaks."""

from pathlib import Path

import pytest

from tests import torture
from tests.torture.lab import Lab


@pytest.mark.parametrize(("part", "cases"), [("corpora", 60), ("flags", 30)])
def test_nonsense_is_refused_in_a_line(
    part: str, cases: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert torture.main([f"--only={part}", f"--cases={cases}", "--minutes=5"]) == 0
    counts = [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert sum(counts) == cases
    assert len(counts) == 2  # some are sound


def test_what_breaks_is_told_with_the_line_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("F7")

    monkeypatch.setattr(torture, "load", broken)
    assert torture.main(["--only=corpora", "--case=7", "--cases=1"]) == 1
    told = capsys.readouterr()
    assert told.err == "toylab: torture: --only=corpora --case=7 --cases=1: KeyError: 'F7'\n"
    assert "BROKEN" in told.out


def test_a_folder_in_place_of_a_file_is_a_difference(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "state.safetensors").write_bytes(b"what was left")
    (tmp_path / "damaged" / "state.safetensors").mkdir(parents=True)
    assert lab.compared(Path("damaged")) == "other bytes in state.safetensors"
