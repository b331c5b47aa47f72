"""launch.sh installs beside the packages in use: a failure, such as no network, loses nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A fake interpreter. Its venv copies it, and its pip does nothing, or fails.
PYTHON = """#!/bin/sh
case "$1 $2" in
  "-m venv")
    mkdir -p "$5/bin"
    cp "$0" "$5/bin/python"
    echo "#!$PWD/$5/bin/python" >"$5/bin/tool" ;;
  "-m pip") [ "$3" != install ] || exit "$FAILS" ;;
  "-m toylab") echo "ran $0" ;;
  *) exec "{python}" "$@" ;;
esac
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A checkout whose packages are of an older lock."""
    for name in ("launch.sh", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "of before").touch()
    (tmp_path / "python").write_text(PYTHON.format(python=sys.executable))
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def launch(place: Path, fails: int) -> subprocess.CompletedProcess[str]:
    told = {"PYTHON": str(place / "python"), "FAILS": str(fails)}
    return subprocess.run(
        [place / "launch.sh", "list"], env=os.environ | told, capture_output=True, text=True
    )


def test_packages_in_use_stay_where_new_ones_cannot_be_installed(place: Path) -> None:
    done = launch(place, 1)
    assert done.returncode == 1
    assert "could not install the packages" in done.stderr.splitlines()[-1]
    assert (place / ".venv" / "of before").exists()
    assert not (place / ".venv.new").exists()


def test_new_packages_take_the_place_of_those_in_use(place: Path) -> None:
    done = launch(place, 0)
    assert done.stdout == f"ran {place}/.venv/bin/python\n", done.stderr
    assert (place / ".venv" / "bin" / "tool").read_text() == f"#!{place}/.venv/bin/python\n"
    assert not (place / ".venv" / "of before").exists()
    assert not [*place.glob(".venv.[no]*")]
    (place / ".venv.old").mkdir()  # left by an exchange that was killed
    assert "installing" not in launch(place, 1).stderr
    assert not (place / ".venv.old").exists()


def test_an_exchange_that_was_cut_short_is_done(place: Path) -> None:
    assert launch(place, 0).returncode == 0
    (place / ".venv").rename(place / ".venv.new")
    done = launch(place, 1)
    assert done.stdout == f"ran {place}/.venv/bin/python\n", done.stderr
