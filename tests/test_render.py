"""Documents quote all shipped claims and all keys of a corpus file."""

import json
import re
from pathlib import Path

import pytest

from tests.test_claims import TOML
from toylab.report import claims, provenance, reference, render
from toylab.shell import cli, report
from toylab.world.parse import KEYS
from toylab.world.schema import Character, Direction, Side, Tag, Topic
from toylab.world.toml import keys

ROOT = Path(__file__).parent.parent
KNOWN = render.known(ROOT)
shipped = pytest.mark.skipif(
    bool(provenance.git(ROOT, "status", "--porcelain", "results")),
    reason="results are not those that ship, which documents quote",
)
SAID = {"name": "one", "claim": "It is.", "statistic": "how much", "refutes": "that it is not"}
CLAIM = SAID | {"threshold": 0.1, "above": False, "verdict": render.AHEAD}
JUDGED = CLAIM | {
    "value": 0.123, "low": -0.001, "high": 0.25, "verdict": "undecided", "keeps": 0.75, "lost": 0,
    "unit": "seed", "seeds": 10,
}  # fmt: skip


@shipped
@pytest.mark.parametrize("document", render.DOCUMENTS)
def test_rendering_changes_nothing(document: str) -> None:
    text = (ROOT / document).read_text()
    assert render.measured(render.render(text, KNOWN), ROOT) == text


def test_every_claim_stands_in_the_findings() -> None:
    assert render.missing((ROOT / "docs" / "findings.md").read_text(), KNOWN) == []


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
    known = {"trial": {"one": JUDGED}}
    row = "| a sentence <!--trial.one--> | 9.99 [9, 9], claimed > 9 | supported | figure |"
    wanted = (
        "| a sentence <!--trial.one--> | 0.12 [0.00, 0.25], claimed < 0.1 | undecided | figure |"
    )
    assert render.render(row, known) == wanted
    lost = {"trial": {"one": JUDGED | {"lost": 2}}}
    assert "claimed < 0.1; no value in 2 seeds | undecided" in render.render(row, lost)
    counted = render.render("<!--counts-->none<!--/counts-->", known)
    assert counted == "<!--counts-->1 claims: 1 undecided<!--/counts-->"


def test_an_experiment_gets_a_table_of_its_claims_run_or_not() -> None:
    text = "<!--claims trial-->\nold\n<!--/claims--> and more"
    start, end = "| *one.* It is. (how much) | that it is not | ", " |\n<!--/claims--> and more"
    said = {
        name: render.render(text, {"trial": {"one": c}})
        for name, c in (("not", CLAIM), ("run", JUDGED))
    }
    assert said["not"].endswith(f"{start}claimed < 0.1 | registered, not yet run | {end}")
    run = "undecided; about 200 seeds would decide it | 0.75"
    assert said["run"].endswith(f"{start}0.12 [0.00, 0.25], claimed < 0.1 | {run}{end}")
    assert render.render(said["run"], {"trial": {"one": CLAIM}}) == said["not"]
    assert render.missing(text, {"trial": {}, "other": {}}) == ["other"]


def test_a_time_is_what_the_results_say_or_that_it_was_not_measured(tmp_path: Path) -> None:
    (tmp_path / "results" / "trial").mkdir(parents=True)
    (tmp_path / "results" / "trial" / "cost.json").write_text('{"seconds": 300, "units": 1}')
    said = "| <!--time trial-->5 min on one core | 10 |\n| <!--time other-->not measured yet | 5 |"
    assert render.measured(said.replace("5 min", "7 min"), tmp_path) == said


def test_claims_on_another_processor_stand_beside_those_that_ship() -> None:
    said = render.measured("<!--redrawn-->\nold\n<!--/redrawn-->", ROOT).splitlines()
    cells = [line.split("|") for line in said[3:-1]]
    assert len(cells) == len({tuple(row[:2]) for row in cells}) > 0
    for row in cells:
        name, claim = re.findall(r"\w+", row[1])
        assert row[2].strip() == render.quoted(KNOWN[name][claim])
        assert row[2].split("claimed")[1] == row[4].split("claimed")[1]  # of one threshold


def test_results_judged_by_another_registration_are_not_shown(tmp_path: Path) -> None:
    for folder in ("experiments", "results"):
        (tmp_path / folder / "trial").mkdir(parents=True)
    file = tmp_path / "experiments" / "trial" / "claims.toml"
    file.write_text(TOML)
    _, digest = claims.load(file)
    for registered, verdict in ((digest, "supported"), ("another", render.AHEAD)):
        judged = [{"name": "more", "verdict": "supported"}]
        content = {"registered": registered, "seeds": [100], "of": 1, "claims": judged}
        (tmp_path / "results" / "trial" / "claims.json").write_text(json.dumps(content))
        assert render.known(tmp_path)["trial"]["more"]["verdict"] == verdict


@pytest.mark.parametrize(("place", "said"), [("trail.one", "'trial'"), ("trial.onne", "'one'")])
def test_a_claim_that_is_not_there_is_refused(place: str, said: str) -> None:
    known = {"trial": {"one": CLAIM}}
    with pytest.raises(ValueError, match=f"unknown .* did you mean {said}"):
        render.render(f"<!--{place}--> | | |", known)


@shipped
def test_the_command_renders_the_documents_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (*render.DOCUMENTS, reference.DOCUMENT):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    for folder in ("results", "experiments"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.setattr(report, "SHIPPED", tmp_path)
    assert cli.main(["render"]) == 0
    assert capsys.readouterr().out == "README, findings and corpus format are up to date\n"
    page = tmp_path / reference.DOCUMENT
    page.write_text(PAGE.replace("| a number from 0.0001 to 10,000 |", "| any number |"))
    assert cli.main(["render"]) == 0
    assert capsys.readouterr().out == f"{reference.DOCUMENT}\n"
    assert page.read_text() == PAGE
