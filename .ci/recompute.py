"""Recomputes every claim from table.csv and claims.toml alone, with nothing of toylab.

    recompute.py EXPERIMENTS RESULTS       says what differs from each claims.json, and exits 1

Numbers may differ in the fifth digit: tables are rounded to six.
"""

import csv
import json
import sys
import tomllib
from pathlib import Path

import numpy as np

# Student's t at .975, for 1 to 30 degrees of freedom.
T = (
    12.70620, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.30600,
    2.26216, 2.22814, 2.20099, 2.17881, 2.16037, 2.14479, 2.13145, 2.11991,
    2.10982, 2.10092, 2.09302, 2.08596, 2.07961, 2.07387, 2.06866, 2.06390,
    2.05954, 2.05553, 2.05183, 2.04841, 2.04523, 2.04227,
)  # fmt: skip
EMPTY = float("nan")


def slope(y: np.ndarray, x: np.ndarray) -> float:
    return np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2)


OVER = {
    "mean": lambda y, x: y.mean(),
    "smallest": lambda y, x: y.min(),
    "largest": lambda y, x: y.max(),
    "ratio": lambda y, x: y.sum() / x.sum() if x.sum() else EMPTY,
    "slope": slope,
    "exponent": lambda y, x: slope(np.log(np.maximum(y, 1e-6)), np.log(x)),
    "correlation": lambda y, x: slope(y, x) * x.std() / y.std(),
}


def number(cell: str) -> float:
    return float(cell) if cell else EMPTY


def same(cell: str, wanted: str | float) -> bool:
    return cell == wanted if isinstance(wanted, str) else number(cell) == wanted


def pick(table: list[dict[str, str]], where: dict) -> list[dict[str, str]]:
    """The rows a claim means: at the last step (up to the one it names), or at each it lists."""
    rows = table
    for column, value in where.items():
        if column != "step":
            values = value if isinstance(value, list) else [value]
            rows = [row for row in rows if any(same(row[column], each) for each in values)]
    if not rows or "step" not in rows[0]:
        return rows
    step = where.get("step", np.inf)
    found = [number(row["step"]) for row in rows]
    upto = [each for each in found if not isinstance(step, list) and each <= step]
    wanted = step if isinstance(step, list) else [max(upto, default=EMPTY)]
    return [row for row, each in zip(rows, found, strict=True) if each in wanted]


def values(table: list[dict[str, str]], claim: dict) -> tuple[list[float], float]:
    """The statistic of every unit that has one, and the probability off the grammar behind it."""
    unit, over, rows = claim.get("unit", "seed"), OVER[claim.get("over", "mean")], claim["rows"]
    parts = [pick(table, rows)]
    parts += [pick(table, rows | claim["minus"])] if "minus" in claim else []
    found, off = [], []
    for each in sorted({row[unit] for part in parts for row in part}):
        of = [[row for row in part if row[unit] == each] for part in parts]
        read = []
        for part in of:
            y, x = (
                np.array([number(row[column]) for row in part])
                for column in (claim["column"], claim.get("against", claim["column"]))
            )
            read.append(over(y, x) if len(part) and np.isfinite([y, x]).all() else EMPTY)
        value = read[0] - sum(read[1:])
        found += [value] if np.isfinite(value) else []
        off.append(max(number(row.get("outside") or "0") for part in of for row in part))
    return found, float(np.mean(off)) if off else 0.0


def judge(claim: dict, found: list[float], off: float) -> tuple[float, float, float, str]:
    """Mean, t interval and verdict."""
    n = len(found)
    mean = np.mean(found) if n else EMPTY
    half = T[n - 2] * np.std(found, ddof=1) / np.sqrt(n) if n > 1 else np.inf
    low, high = mean - half, mean + half
    above, below = low > claim.get("above", np.inf), high < claim.get("below", -np.inf)
    short = high < claim.get("above", -np.inf) or low > claim.get("below", np.inf)
    verdict = "supported" if above or below else "refuted" if short else "undecided"
    if off > 0.01 and not claim.get("free"):
        verdict = "undecided: off the grammar"
    return mean, low, high, verdict


def differs(experiment: Path, results: Path) -> list[str]:
    """What claims.json says and table.csv does not."""
    table = list(csv.DictReader((results / "table.csv").read_text().splitlines()))
    claims = tomllib.loads((experiment / "claims.toml").read_text())
    judged = json.loads((results / "claims.json").read_text())["claims"]
    said = {each["name"]: each for each in judged}
    wrong = [f"{name}: in one file alone" for name in sorted(set(claims) ^ set(said))]
    for name in sorted(set(claims) & set(said)):
        claim = {"rows": {}} | claims[name]
        *numbers, verdict = judge(claim, *values(table, claim))
        was = [said[name][key] for key in ("value", "low", "high")]
        was = [EMPTY if each is None else each for each in was]
        numbers = [each if np.isfinite(each) else EMPTY for each in numbers]
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
