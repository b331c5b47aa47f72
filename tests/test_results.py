"""The shipped results are complete, and documents link to them."""

import json
import re
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from tests import scripts

ROOT = Path(__file__).parent.parent
SHIPPED = sorted(path.parent for path in (ROOT / "results").glob("*/claims.json"))


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    return scripts.load("check_results")


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_shipped_results_pass_their_check(folder: Path, checker: ModuleType) -> None:
    checker.check(folder, quick=False)
    for name in ("figure.pdf", "figure.png"):
        assert (folder / name).stat().st_size > 0
    assert f"results/{folder.name}/figure.png" in (ROOT / "docs" / "experiments.md").read_text()


def test_the_checker_can_fail(tmp_path: Path, checker: ModuleType) -> None:
    source = ROOT / "results" / "selection"
    for name in ("columns.json", "claims.json"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    table = pd.read_csv(source / "table.csv")
    broken = {
        "F0 - F1": table.assign(F1=table.F0 + 0.1),
        "certificate": table.assign(gap2=0.01),
        "excess": table.assign(excess=0.05),
        "outside": table.assign(outside=0.2),
    }
    for said, wrong in broken.items():
        wrong.to_csv(tmp_path / "table.csv", index=False)
        with pytest.raises(AssertionError, match=said):
            checker.check(tmp_path, quick=False)
    claim = dict.fromkeys(checker.FIELDS, 0.0) | {"verdict": "proven"}
    (tmp_path / "claims.json").write_text(json.dumps({"claims": [claim]}))
    table.to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(AssertionError, match="proven"):
        checker.check(tmp_path, quick=False)


@pytest.mark.parametrize(
    "document", ["README.md", *(f"docs/{file.name}" for file in sorted(ROOT.glob("docs/*.md")))]
)
def test_links_lead_to_files(document: str) -> None:
    place = (ROOT / document).parent
    code = r"`[^`\n]*`|^ {4}.*$"
    text = re.sub(code, "", (ROOT / document).read_text(), flags=re.MULTILINE)
    links = re.findall(r"\]\(([^)#\s]+)", text)
    local = [link for link in links if not link.startswith("http")]
    assert [link for link in local if not (place / link).exists()] == []
