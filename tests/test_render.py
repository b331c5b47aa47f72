"""Documents quote the claims that ship, and the keys of a corpus file, and leave none out."""

import re
from pathlib import Path

import pytest

from toylab.report import reference, render
from toylab.shell import cli, report
from toylab.world.parse import KEYS
from toylab.world.schema import Character, Direction, Side, Tag, Topic
from toylab.world.toml import keys

ROOT = Path(__file__).parent.parent
KNOWN = render.shipped(ROOT / "results")
CLAIM = {"value": 0.123, "low": -0.001, "high": 0.25, "threshold": 0.1, "above": False}


@pytest.mark.parametrize("document", render.DOCUMENTS)
def test_rendering_changes_nothing(document: str) -> None:
    text = (ROOT / document).read_text()
    assert render.render(text, KNOWN) == text


def test_every_claim_stands_in_the_findings() -> None:
    assert render.missing((ROOT / "docs" / "findings.md").read_text(), KNOWN) == []


def test_every_number_in_a_table_of_claims_is_rendered() -> None:
    for document in render.DOCUMENTS:
        rows = [row for row in (ROOT / document).read_text().splitlines() if ", claimed " in row]
        assert len(rows) > 10
        assert all(render.ROW.search(row) for row in rows)


PAGE = (ROOT / reference.DOCUMENT).read_text()


def test_the_corpus_page_says_what_the_types_say() -> None:
    assert reference.render(PAGE) == PAGE


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("The file", KEYS),
        ("`[plain]`", ("share", "opens", "closes")),
        ("`[tags.NAME]`", keys(Tag)),
        ("`[directions.NAME]`", (*keys(Direction), "obeys")),
        ("`[topics.NAME]`", keys(Topic)),
        ("`[characters.NAME]`", {*keys(Character)} - {"obeys"}),
        ("`[coin.NAME]`", keys(Side)),
    ],
)
def test_the_corpus_page_has_a_row_for_every_key(heading: str, known: tuple[str, ...]) -> None:
    section = PAGE.split(f"\n### {heading}\n")[1].split("\n#")[0]
    assert {*re.findall(r"^\| `(\w+)`", section, re.M)} == {*known}


def test_a_changed_type_changes_its_row_and_an_unknown_key_is_refused() -> None:
    row = "| `weight` <!--Topic.weight--> | any number | 7 | how often |"
    new = "| `weight` <!--Topic.weight--> | a number from 0.0001 to 10,000 | 1.0 | how often |"
    assert reference.render(row) == new
    with pytest.raises(ValueError, match=r"did you mean 'Topic.weight'"):
        reference.render(row.replace("Topic.weight", "Topic.wieght"))


def test_a_row_gets_number_and_verdict_of_its_claim() -> None:
    known = {"trial": {"one": CLAIM | {"verdict": "undecided"}}}
    row = "| a sentence <!--trial.one--> | 9.99 [9, 9], claimed > 9 | supported | figure |"
    wanted = (
        "| a sentence <!--trial.one--> | 0.12 [0.00, 0.25], claimed < 0.1 | undecided | figure |"
    )
    assert render.render(row, known) == wanted
    counted = render.render("<!--counts-->none<!--/counts-->", known)
    assert counted == "<!--counts-->1 claims, 0 supported, 1 undecided and 0 refuted<!--/counts-->"
    assert render.missing(row.replace("one", "two"), known) == ["trial.one"]


@pytest.mark.parametrize(("place", "said"), [("trail.one", "'trial'"), ("trial.onne", "'one'")])
def test_a_claim_that_is_not_there_is_refused(place: str, said: str) -> None:
    known = {"trial": {"one": CLAIM | {"verdict": "undecided"}}}
    with pytest.raises(ValueError, match=f"unknown .* did you mean {said}"):
        render.render(f"<!--{place}--> | | |", known)


def test_the_command_renders_the_documents_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (*render.DOCUMENTS, reference.DOCUMENT):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.setattr(report, "SHIPPED", tmp_path)
    assert cli.main(["render"]) == 0
    assert capsys.readouterr().out == "README, findings and corpus format are up to date\n"
    page = tmp_path / reference.DOCUMENT
    page.write_text(PAGE.replace("| a number from 0.0001 to 10,000 |", "| any number |"))
    assert cli.main(["render"]) == 0
    assert capsys.readouterr().out == f"{reference.DOCUMENT}\n"
    assert page.read_text() == PAGE
