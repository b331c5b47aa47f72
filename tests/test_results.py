"""The results that ship with the repository are whole, and their figures are in the README."""

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
SHIPPED = sorted(path.parent for path in (ROOT / "results").glob("*/claims.json"))


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check", ROOT / ".ci" / "check_results.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_shipped_results_pass_their_check(folder: Path, checker: ModuleType) -> None:
    checker.check(folder, quick=False)
    for name in ("figure.pdf", "figure.png"):
        assert (folder / name).stat().st_size > 0
    assert f"results/{folder.name}/figure.png" in (ROOT / "README.md").read_text()


def test_the_checker_can_fail(tmp_path: Path, checker: ModuleType) -> None:
    source = ROOT / "results" / "selection"
    for name in ("columns.json", "claims.json"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    table = pd.read_csv(source / "table.csv")
    broken = {
        "F0 - F1": table.assign(F1=table.F0 + 0.1),
        "certificate": table.assign(gap2=0.01),
        "excess": table.assign(excess=0.05),
        "outside": table.assign(outside=0.1),
    }
    for said, wrong in broken.items():
        wrong.to_csv(tmp_path / "table.csv", index=False)
        with pytest.raises(AssertionError, match=said):
            checker.check(tmp_path, quick=False)
    claims = json.loads((source / "claims.json").read_text())
    (tmp_path / "claims.json").write_text(json.dumps([claims[0] | {"verdict": "proven"}]))
    table.to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(AssertionError, match="proven"):
        checker.check(tmp_path, quick=False)


def _quoted(claim: dict[str, Any]) -> str:
    """How a claim stands in a table: number, interval, threshold, verdict."""
    side = f"claimed {'>' if claim['above'] else '<'} {claim['threshold']:g}"
    interval = f"{claim['value']:z.2f} [{claim['low']:z.2f}, {claim['high']:z.2f}]"
    return f"{interval}, {side} | {claim['verdict']} "


def _claims() -> dict[str, list[dict[str, Any]]]:
    return {folder.name: json.loads((folder / "claims.json").read_text()) for folder in SHIPPED}


def test_every_claim_stands_in_the_findings_as_it_came_out() -> None:
    parts = (ROOT / "docs" / "findings.md").read_text().split("\n## ")[1:]
    told = {re.findall(r"results/(\w+)/figure.png", part)[0]: part for part in parts}
    assert set(told) == set(_claims())
    for name, claims in _claims().items():
        rows = [row for row in told[name].splitlines() if "claimed" in row and row[:2] == "| "]
        assert len(rows) == len(claims), name
        for claim in claims:
            assert any(_quoted(claim) in row for row in rows), (name, claim["claim"])


def test_the_readme_quotes_claims_as_they_came_out_and_counts_them() -> None:
    readme, known = (ROOT / "README.md").read_text(), _claims()
    rows = [row for row in readme.splitlines() if ", claimed " in row]
    assert len(rows) > 10
    for row in rows:
        (name,) = re.findall(r"results/(\w+)/figure.png", row)
        assert any(_quoted(claim) in row for claim in known[name]), row
    verdicts = Counter(claim["verdict"] for claims in known.values() for claim in claims)
    counts = ", ".join(f"{verdicts[v]} {v}" for v in ("supported", "undecided"))
    said = f"All {verdicts.total()} claims, {counts} and {verdicts['refuted']} refuted"
    assert said in readme
