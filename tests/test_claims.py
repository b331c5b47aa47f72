"""Claims: their statistics, when there is no verdict, and how likely a redraw agrees."""

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests import scripts
from toylab.lab import experiments, sweep
from toylab.report import claims
from toylab.report.claims import OFF, SUPPORTED, UNDECIDED, ClaimsError, Registered, evaluate, judge

SAID = dict.fromkeys(("name", "claim", "refutes", "source", "contradicted_by", "statistic"), "")


def claim(column: str = "y", **more: Any) -> Registered:
    return Registered(**SAID, column=column, **{"threshold": 0.0, "above": True} | more)


def rows(*each: tuple[str, int, int, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(each, columns=["arm", "seed", "step", "x", "y", "outside"])


TABLE = rows(
    ("a", 1, 0, 1.0, 1.0, 0.000), ("a", 1, 5, 2.0, 3.0, 0.001), ("a", 1, 9, 4.0, 5.0, 0.030),
    ("a", 2, 0, 1.0, 2.0, 0.000), ("a", 2, 5, 2.0, 2.0, 0.001), ("a", 2, 9, 4.0, 8.0, 0.001),
    ("b", 1, 9, 1.0, 1.0, 0.002), ("b", 2, 9, 2.0, np.nan, 0.002),
)  # fmt: skip


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"rows": {"arm": "a"}}, [5, 8]),
        ({"rows": {"arm": "a", "step": 7}}, [3, 2]),
        ({"rows": {"arm": "a", "step": [0, 9]}}, [3, 5]),
        ({"rows": {"arm": "a", "step": [0, 5, 9]}, "over": "largest"}, [5, 8]),
        ({"rows": {"arm": "a", "step": [0, 5, 9]}, "over": "smallest"}, [1, 2]),
        ({"rows": {"arm": ["a", "b"], "step": 5}}, [3, 2]),
        ({"rows": {"arm": "a", "step": [0, 5]}, "over": "ratio", "against": "x"}, [4 / 3, 4 / 3]),
        ({"rows": {"arm": "a", "step": [0, 5]}, "over": "slope", "against": "x"}, [2, 0]),
        ({"rows": {"arm": "a", "step": [5, 9]}, "over": "exponent", "against": "x"},
         [np.log2(5 / 3), 2]),
        ({"rows": {"arm": "a", "step": [0, 5]}, "minus": {"step": 9}}, [2 - 5, 2 - 8]),
        ({"rows": {"arm": "a"}, "minus": {"arm": "b"}}, [4]),  # seed 2 is lost
    ],
)  # fmt: skip
def test_a_statistic_is_what_its_claim_says(more: dict[str, Any], wanted: list[float]) -> None:
    found = evaluate(claim(**more), TABLE)
    assert found.values == pytest.approx(wanted)
    assert found.lost == 2 - len(wanted)


def test_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(ClaimsError, match="unknown 'z'"):
        claims.judge_all([claim("z")], TABLE)
    with pytest.raises(ClaimsError, match="did you mean 'arm'"):
        claims.judge_all([claim(rows={"arms": "a"})], TABLE, claims.QUICK)


@pytest.mark.parametrize("minus", [{"arm": "c"}, {"arm": ["b", "c"]}])
def test_rows_that_there_are_not_get_no_verdict(minus: dict[str, Any]) -> None:
    of = [claim(rows={"arm": "a"}, minus=minus)]
    with pytest.raises(ClaimsError, match=r"^claims.toml: .minus.arm: unknown 'c'"):
        claims.judge_all(of, TABLE)
    (judged,) = claims.judge_all(of, TABLE, claims.QUICK)
    assert "fresh" not in judged.sentence
    (judged,) = claims.judge_all([claim(minus={"arm": "b", "step": 7})], TABLE)
    assert ("fresh" in judged.sentence) == bool(judged.seeds)


@pytest.mark.parametrize(
    ("said", "key"), [({"column": "F9"}, "column"), ({"rows": {"arm": "lense"}}, "rows.arm"),
                      ({"minus": {"arn": "lens"}}, "minus.arn"), ({"against": "F9"}, "against")],
)  # fmt: skip
def test_a_claim_is_checked_before_anything_is_trained(said: dict[str, Any], key: str) -> None:
    with pytest.raises(ClaimsError, match=f"^claims.toml: .{key}: unknown"):
        claims.check([claim(**{"column": "F1"} | said)], {"F1": "", "arm": "", "seed": ""},
                     {"arm": ["lens"]})  # fmt: skip


def test_above_one_per_cent_off_the_grammar_there_is_no_verdict() -> None:
    """Seed 1 is at 3 % at the last step, seed 2 at .1 %: 1.6 % on average."""
    end, earlier = (evaluate(claim(rows={"arm": "a", "step": s}), TABLE) for s in (9, 5))
    assert (end.outside, earlier.outside) == pytest.approx((0.0155, 0.001))
    values = [5.0, 5.1, 5.2]
    assert judge(claim(), values, outside=end.outside).verdict == OFF
    assert judge(claim(), values, outside=earlier.outside).verdict == SUPPORTED
    assert judge(claim(free=True), values, outside=end.outside).verdict == SUPPORTED
    assert judge(claim(), []).verdict == UNDECIDED


@pytest.mark.parametrize(("n", "t"), [(5, 3.5), (10, 2.5), (10, -1.0), (3, 6.0)])
def test_a_redraw_agrees_as_often_as_in_a_simulation(n: int, t: float) -> None:
    """Mean and spread drawn from their posterior, and n fresh values of each."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=n)
    values = (values - values.mean()) / values.std(ddof=1) + t / np.sqrt(n)
    spread = np.sqrt((n - 1) / rng.chisquare(n - 1, 20_000))
    mean = values.mean() + spread * rng.normal(size=20_000) / np.sqrt(n)
    fresh = mean[:, None] + spread[:, None] * rng.normal(size=(20_000, n))
    bounds = [claims.t_interval(row.tolist()) for row in fresh[:2000]]
    above = np.mean([low > 0 for _, low, _ in bounds])
    below = np.mean([high < 0 for _, _, high in bounds])
    assert claims.redraw(values.tolist(), 0.0) == pytest.approx((above, below), abs=0.035)


def test_so_many_values_would_have_decided_and_one_less_would_not() -> None:
    """Mean 0.3 and spread 1, against 0.1: with as many values as returned, it is just decided."""
    values = np.random.default_rng(0).normal(size=12)
    values = 0.3 + (values - values.mean()) / values.std(ddof=1)
    _, low, high = claims.t_interval(values.tolist())
    n = claims.enough(low, high, 12, 0.1)
    half = [stats.t.ppf(0.975, m - 1) / np.sqrt(m) for m in (n - 1, n)]
    assert half[1] < 0.2 <= half[0]
    assert claims.enough(low, high, 12, (low + high) / 2) == math.inf


def test_registered_seeds_are_unseen() -> None:
    """Those below 100 have been seen; those from 1000 on are for exploring."""
    for name in experiments.shipped():
        found = experiments.sweep_of(experiments.HOME / name)
        seeds = found.seed_range
        assert seeds[0] >= 100, name
        assert seeds[-1] < sweep.QUICK_SEED, name


# ------------------------------------------------------------------------- the scripts of CI

RECOMPUTE, REGISTRATION = scripts.load("recompute"), scripts.load("registration")
TOML = """
[more]
claim = "a is more than b"
refutes = "b"
source = "none"
contradicted_by = "less"
statistic = "y"
column = "y"
rows = {arm = "a"}
minus = {arm = "b", step = 5}
above = 1.0
"""


def test_shipped_claims_are_recomputed_and_registered_before() -> None:
    """Results from before registration have no claims."""
    results = scripts.ROOT / "results"
    for file in (*results.glob("*/claims.json"), *results.glob("redrawn/*/claims.json")):
        if isinstance(json.loads(file.read_text()), dict):
            experiment = scripts.ROOT / "experiments" / file.parent.name
            assert RECOMPUTE.differs(experiment, file.parent) == []
    if subprocess.run(["git", "rev-parse"], cwd=scripts.ROOT, capture_output=True).returncode == 0:
        assert REGISTRATION.check(scripts.ROOT) == []


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A claim, and in the commit after it a result."""
    for folder in ("experiments", "results"):
        (tmp_path / folder / "trial").mkdir(parents=True)
    git(tmp_path, "init", "-q")
    claimed(tmp_path, TOML)
    shown(tmp_path, git(tmp_path, "rev-parse", "HEAD"))
    return tmp_path


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(["git", *who, *arguments], cwd=root, capture_output=True, check=True)
    return done.stdout.decode().strip()


def claimed(root: Path, text: str) -> None:
    (root / "experiments" / "trial" / "claims.toml").write_text(text)
    commit(root)


def shown(root: Path, made_by: str, seeds: tuple[int, ...] = (100, 101)) -> None:
    _, digest = claims.load(root / "experiments" / "trial" / "claims.toml")
    content = {"registered": digest, "commit": made_by, "seeds": seeds, "claims": []}
    (root / "results" / "trial" / "claims.json").write_text(json.dumps(content))
    commit(root)


def commit(root: Path) -> None:
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "x")


def test_results_after_their_claims_pass_and_old_ones_are_none(repository: Path) -> None:
    assert REGISTRATION.check(repository) == []
    (repository / "results" / "trial" / "claims.json").write_text("[]")
    assert REGISTRATION.check(repository) == []


def test_a_threshold_moved_after_the_results_is_noticed(repository: Path) -> None:
    """Also if the results then say that they were judged by the new one."""
    made_by = git(repository, "rev-parse", "HEAD")
    claimed(repository, TOML.replace("above = 1.0", "above = 0.5"))
    (said,) = REGISTRATION.check(repository)
    assert "judged by another claims.toml" in said
    shown(repository, made_by)
    (said,) = REGISTRATION.check(repository)
    assert "before experiments/trial/claims.toml was registered" in said


def test_results_committed_with_their_claims_are_noticed(repository: Path) -> None:
    file = repository / "experiments" / "trial" / "claims.toml"
    file.write_text(TOML.replace("above = 1.0", "above = 0.5"))
    shown(repository, git(repository, "rev-parse", "HEAD"))
    assert len(REGISTRATION.check(repository)) == 1


@pytest.mark.parametrize(("seeds", "commit"), [((7, 100), ""), ((), ""), ((100,), "+")])
def test_seen_seeds_and_changed_sources_are_noticed(
    repository: Path, seeds: tuple[int, ...], commit: str
) -> None:
    shown(repository, git(repository, "rev-parse", "HEAD") + commit, seeds)
    assert len(REGISTRATION.check(repository)) == 1
