"""Recomputes every claim from table.csv and claims.toml alone, with nothing of toylab.

    recompute.py EXPERIMENTS RESULTS       says what differs from each claims.json, and exits 1

Numbers may differ in the sixth digit, to which tables are rounded.
"""

import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

AGAINST = {
    "ratio": lambda y, x: y.sum() / x.sum() if x.sum() else np.nan,
    "slope": lambda y, x: np.cov(x, y)[0, 1] / np.var(x, ddof=1),
    "correlation": lambda y, x: np.cov(x, y)[0, 1] / (np.std(x, ddof=1) * np.std(y, ddof=1)),
}
AGAINST["exponent"] = lambda y, x: AGAINST["slope"](np.log(np.maximum(y, 1e-6)), np.log(x))
ALONE = {"mean": np.mean, "smallest": np.min, "largest": np.max}


def pick(table: pd.DataFrame, where: dict) -> pd.DataFrame:
    """The rows a claim means: at the last step (up to the one it names), or at each it lists."""
    keep = pd.Series(True, table.index)
    for column, value in where.items():
        if column != "step":
            keep &= table[column].isin(value) if isinstance(value, list) else table[column] == value
    rows = table[keep]
    if "step" not in table or rows.empty:
        return rows
    step = where.get("step", np.inf)
    wanted = step if isinstance(step, list) else [rows.step[rows.step <= step].max()]
    return rows[rows.step.isin(wanted)]


def values(table: pd.DataFrame, claim: dict) -> tuple[list[float], float]:
    """The statistic of every unit that has one, and the probability off the grammar behind it."""
    unit, over = claim.get("unit", "seed"), claim.get("over", "mean")
    rows = claim.get("rows", {})
    parts = [pick(table, rows)]
    if "minus" in claim:
        parts.append(pick(table, rows | claim["minus"]))
    found, off = [], []
    for each in sorted(set(pd.concat(parts)[unit])):
        of = [part[part[unit] == each] for part in parts]
        y = [part[claim["column"]].to_numpy(float) for part in of]
        if over in ALONE:
            read = [ALONE[over](v) if len(v) else np.nan for v in y]
        else:
            x = [part[claim["against"]].to_numpy(float) for part in of]
            read = [AGAINST[over](v, w) if len(v) else np.nan for v, w in zip(y, x, strict=True)]
        value = read[0] - sum(read[1:])
        found += [value] if np.isfinite(value) else []
        off += [max(part.outside.max() for part in of)] if "outside" in table else []
    return found, float(np.mean(off)) if off else 0.0


def judge(claim: dict, found: list[float], off: float) -> tuple[float, float, float, str]:
    """Mean, t interval and verdict."""
    n = len(found)
    mean = np.mean(found) if n else np.nan
    half = np.inf if n < 2 else stats.t.ppf(0.975, n - 1) * np.std(found, ddof=1) / np.sqrt(n)
    low, high = mean - half, mean + half
    sign = 1 if "above" in claim else -1
    threshold = claim.get("above", claim.get("below"))
    ends = sorted((sign * (low - threshold), sign * (high - threshold)))
    verdict = "supported" if ends[0] > 0 else "refuted" if ends[1] < 0 else "undecided"
    if off > 0.01 and not claim.get("free"):
        verdict = "undecided: off the grammar"
    return mean, low, high, verdict


def differs(experiment: Path, results: Path) -> list[str]:
    """What claims.json says and table.csv does not."""
    table = pd.read_csv(results / "table.csv", keep_default_na=False, na_values=[""])
    claims = tomllib.loads((experiment / "claims.toml").read_text())
    judged = json.loads((results / "claims.json").read_text())["claims"]
    said = {each["name"]: each for each in judged}
    wrong = [f"{name}: in one file alone" for name in sorted(set(claims) ^ set(said))]
    for name in sorted(set(claims) & set(said)):
        *numbers, verdict = judge(claims[name], *values(table, claims[name]))
        was = [said[name][key] for key in ("value", "low", "high")]
        was = [np.nan if each is None else each for each in was]
        numbers = [each if np.isfinite(each) else np.nan for each in numbers]
        if not np.allclose(numbers, was, rtol=1e-4, atol=1e-5, equal_nan=True):
            wrong.append(f"{name}: {numbers}, claims.json says {was}")
        if verdict != said[name]["verdict"]:
            wrong.append(f"{name}: {verdict}, claims.json says {said[name]['verdict']}")
    return [f"{results.name}.{each}" for each in wrong]


if __name__ == "__main__":
    experiments, results = map(Path, sys.argv[1:3])
    wrong = []
    for file in sorted(results.glob("*/claims.json")):
        if isinstance(json.loads(file.read_text()), dict):  # else of before claims were registered
            wrong += differs(experiments / file.parent.name, file.parent)
    print("\n".join(wrong) or "every claim comes out as claims.json says")
    sys.exit(bool(wrong))
