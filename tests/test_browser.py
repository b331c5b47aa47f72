"""In a browser: TensorBoard's first page has the ladder; the report fits a phone and sorts.

Needs playwright and Debian's chromium; without them the file is skipped.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_board import two_seeds
from tests.test_report import CLAIM, leave
from toylab.lab import experiments
from toylab.report.board import Board
from toylab.shell import page, tensorboard

sync = pytest.importorskip("playwright.sync_api", reason="NO BROWSER HERE: no playwright")
CHROMIUM = shutil.which("chromium")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    leave(tmp_path / "selection")
    claims = [CLAIM | {"value": value} for value in (10.5, -2.0, 3.0)]
    (tmp_path / "selection" / "claims.json").write_text(json.dumps({"claims": claims}))
    text, _ = page.write(
        {experiments.HOME / name: tmp_path / name for name in experiments.shipped()}
    )
    (tmp_path / "report.html").write_text(text)
    return tmp_path / "report.html"


@pytest.fixture
def browser() -> Iterator[Any]:
    if not CHROMIUM:
        pytest.skip("NO BROWSER HERE: apt install chromium")
    with sync.sync_playwright() as play:
        shown = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield shown
        shown.close()


def test_the_report_on_a_phone(report: Path, browser: Any) -> None:
    phone = browser.new_page(viewport={"width": 390, "height": 844})
    asked: list[str] = []
    phone.on("request", lambda request: asked.append(request.url))
    phone.goto(report.as_uri())
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_claims_sort_by_their_numbers(report: Path, browser: Any) -> None:
    desk = browser.new_page()
    desk.goto(report.as_uri())
    column = "[...document.querySelectorAll('.claims tbody tr')].map(r => r.cells[2].textContent)"
    for expected in (["-2.00", "3.00", "10.50"], ["10.50", "3.00", "-2.00"]):
        desk.click(".claims thead th:nth-child(3)")
        assert [text.split()[0] for text in desk.evaluate(column)] == expected


def test_the_first_page_of_tensorboard_has_the_ladder_and_its_floor(
    tmp_path: Path, browser: Any
) -> None:
    Board(two_seeds(tmp_path), tmp_path / "board").refresh()
    address = tensorboard.serve(tmp_path / "board", {"host": "localhost", "port": 0})
    desk = browser.new_page()
    desk.goto(tensorboard.first_page(address))
    for said in ("ladder/total", "ladder/left", "first/floor", "first/ada/mean"):
        desk.get_by_text(said).first.wait_for(timeout=30_000)
    assert desk.get_by_text("first/ada/seed0").count() == 0
    assert desk.get_by_text("traits/").count() == 0
