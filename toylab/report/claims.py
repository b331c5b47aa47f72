"""Claims: sentences that the data can contradict, with a t interval over seeds.

An experiment's claims are in its `claims.toml`, written before it is run:

    [share]
    claim = "Training on fresh documents of one author is selection."
    refutes = "formation"          # the theory that is wrong if the claim holds
    source = "Persona selection model (Marks, Lindsey, Olah 2026)"
    contradicted_by = "a share below the threshold"
    statistic = "share of the move that another mixture explains, at the end"
    column = "share"               # of table.csv
    rows = {arm = "ordinary"}      # rows with these values; a list allows any of its entries
    above = 0.8                    # or below = …

and, where needed:

    minus = {arm = "neutral"}      # subtracts the same; these values replace those in `rows`
    over = "largest"               # how a seed's rows become one number (`OVER`); default: mean
    against = "evidence"           # the other column of a ratio, slope, exponent or correlation
    unit = "cast"                  # the column whose values the interval is over; default: seed
    free = true                    # judged even off the grammar: for raw rates

If the table has steps, only rows at the last step count. With `step = 20` in `rows`, the last step
up to 20 counts instead; with a list, every step in the list.
"""

import dataclasses
import hashlib
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from toylab.world.schema import CorpusError, unknown
from toylab.world.toml import Table

if TYPE_CHECKING:
    import pandas as pd

SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "undecided"
OFF = "undecided: off the grammar"
CHANGED, QUICK = "settings changed: not judged", "quick: not judged"  # instead of a verdict
OFF_GRAMMAR = 0.01  # no verdict if forbidden words have more probability
KEYS = (
    *("claim", "refutes", "source", "contradicted_by", "statistic", "above", "below"),
    *("column", "rows", "minus", "over", "against", "unit", "free"),
)


def _slope(y: np.ndarray, x: np.ndarray) -> float:
    return float(np.polyfit(x, y, 1)[0])


def _exponent(y: np.ndarray, x: np.ndarray) -> float:
    return _slope(np.log(np.maximum(y, 1e-6)), np.log(x))


OVER: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mean": lambda y, x: float(np.mean(y)),
    "smallest": lambda y, x: float(np.min(y)),
    "largest": lambda y, x: float(np.max(y)),
    "ratio": lambda y, x: float(np.sum(y) / np.sum(x)) if np.sum(x) else math.nan,
    "slope": _slope,
    "exponent": _exponent,
    "correlation": lambda y, x: float(np.corrcoef(y, x)[0, 1]),
}


class ClaimsError(ValueError):
    """A `claims.toml` that can't be used, or a table that it doesn't fit: one line with the fix."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Registered:
    """A claim as in `claims.toml` (see the module): above `threshold` if `above`, else below it."""

    name: str
    claim: str
    refutes: str
    source: str
    contradicted_by: str
    statistic: str
    column: str
    threshold: float
    above: bool
    rows: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    minus: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    over: str = "mean"
    against: str = ""
    unit: str = "seed"
    free: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim(Registered):
    """A registered claim and its outcome.

    `value` is the mean of the statistic over units (the values of the column `unit`), and its 95 %
    t interval is from `low` to `high`. `seeds` counts units with a statistic, `lost` those
    without. `outside` is the probability off the grammar in the rows that the claim rests on: the
    largest of each unit, averaged over units. `keeps` is the probability that as many fresh units
    give the same verdict.
    """

    value: float
    low: float
    high: float
    seeds: int
    lost: int
    outside: float
    verdict: str
    keeps: float

    @property
    def sentence(self) -> str:
        """The outcome as text for the terminal."""
        sign = ">" if self.above else "<"
        fresh = f"; a fresh set would agree with probability {self.keeps:.2f}"
        judged = self.seeds and self.verdict not in (CHANGED, QUICK)
        return (
            f"{self.verdict:9}  {self.claim}\n           {self.statistic}: {self.value:.3g} "
            f"[{self.low:.3g}, {self.high:.3g}], claimed {sign} {self.threshold:g}, "
            f"{self.seeds} {self.unit}s{fresh if judged else ''}"
        )


class Values(NamedTuple):
    """The statistic by unit, how many units lack it, and the probability off the grammar."""

    values: list[float]
    lost: int
    outside: float


def load(file: File) -> tuple[list[Registered], str]:
    """The claims of a file, and its digest; none if there is no file. Raises `ClaimsError`."""
    if not file.exists():
        return [], ""
    text = file.read_bytes()
    try:
        content = tomllib.loads(text.decode())
        top = Table(str(file), "", content, content)
        found = [_registered(name, top.table(name, KEYS)) for name in content]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ClaimsError(f"{file}: not TOML: {error}") from None
    except CorpusError as error:
        raise ClaimsError(str(error)) from None
    return found, hashlib.sha256(text).hexdigest()[:16]


def _registered(name: str, table: Table) -> Registered:
    sides = [side for side in ("above", "below") if side in table.content]
    table.require(len(sides) == 1, "", "give a number as either above or below")
    threshold, above = table.get(sides[0], float), sides == ["above"]
    where = {key: dict(table.table(key).content) for key in ("rows", "minus")}
    over = table.get("over", str, "mean")
    table.require(over in OVER, "over", unknown(over, OVER))
    needs = over in ("ratio", "slope", "exponent", "correlation")
    table.require(needs == ("against" in table.content), "against", f"{over} needs it: {needs}")
    registered: Registered = table.build(
        Registered, name=name, threshold=threshold, above=above, over=over, **where
    )
    return registered


def check(
    claims: Sequence[Registered], known: Mapping[str, Any], values: Mapping[str, Sequence[Any]]
) -> None:
    """Raises `ClaimsError` if claims name columns that aren't `known`, or values that no row has.

    `values` has the values of some columns. In the others, any value is allowed.
    """
    for each in claims:
        where = {"rows": each.rows, "minus": each.minus}
        named = {key: getattr(each, key) for key in ("column", "against", "unit")}
        named |= {f"{key}.{column}": column for key, wanted in where.items() for column in wanted}
        for key, column in named.items():
            if column and column not in known:
                raise ClaimsError(f"claims.toml: {each.name}.{key}: {unknown(column, known)}")
        for key, wanted in where.items():
            for column in wanted.keys() & values.keys():
                one = wanted[column]
                for value in one if isinstance(one, list) else [one]:
                    if value not in values[column]:
                        said = unknown(str(value), [str(found) for found in values[column]])
                        raise ClaimsError(f"claims.toml: {each.name}.{key}.{column}: {said}")


def chosen(table: "pd.DataFrame", where: Mapping[str, Any]) -> "pd.DataFrame":
    """The rows of a table with the values in `where`; the module explains `step`."""
    for column, wanted in where.items():
        if column != "step":
            table = table[table[column].isin(wanted if isinstance(wanted, list) else [wanted])]
    if "step" in table and len(table):
        step = where.get("step", math.inf)
        steps = step if isinstance(step, list) else [table.step[table.step <= step].max()]
        table = table[table.step.isin(steps)]
    return table


def evaluate(registered: Registered, table: "pd.DataFrame") -> Values:
    """A claim's statistic by unit, from a table that has the claim's columns (see `check`)."""
    columns = [registered.column, registered.against or registered.column]
    wanted = [registered.rows, {**registered.rows, **registered.minus}]
    parts = [chosen(table, each) for each in wanted[: 1 + bool(registered.minus)]]
    units = sorted({unit for part in parts for unit in part[registered.unit]})

    def of(part: "pd.DataFrame", unit: Any) -> float:
        y, x = part[part[registered.unit] == unit][columns].to_numpy(float).T
        return OVER[registered.over](y, x) if len(y) and np.isfinite([y, x]).all() else math.nan

    each = [[of(part, unit) for part in parts] for unit in units]
    values = [one - sum(rest) for one, *rest in each]
    found = [value for value in values if math.isfinite(value)]
    outside = 0.0
    if "outside" in table:
        read = [[part.outside[part[registered.unit] == unit] for part in parts] for unit in units]
        most = [np.nanmax([0.0, *(off for part in each for off in part)]) for each in read]
        outside = float(np.mean(most)) if most else 0.0
    return Values(found, len(values) - len(found), outside)


def t_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % t interval; the interval of fewer than two values is infinite."""
    array = np.asarray(values, float)
    mean = float(array.mean()) if len(array) else math.nan
    if len(array) < 2:
        return mean, -math.inf, math.inf
    from scipy import stats  # takes half a second: only if needed

    error = float(stats.sem(array))
    half = float(stats.t.ppf(0.975, len(array) - 1)) * error
    return mean, mean - half, mean + half


def redraw(values: Sequence[float], threshold: float) -> tuple[float, float]:
    """The probabilities that a redraw's interval lies wholly above the threshold, or wholly below.

    A redraw is a new sample of the same size. Values are taken as normal, with a flat prior on the
    mean and on the logarithm of the standard deviation. The sample's mean lies t standard errors
    above the threshold; its standard deviation is s. The true deviation is s / sqrt(q), with q a
    chi-square of n - 1 degrees of freedom, divided by n - 1. Given q, the new mean varies around
    the old one with variance 2 s² / (q n). So the new t, T', divided by sqrt 2, follows F, the
    noncentral t distribution with noncentrality t sqrt(q / 2). For the critical value c

        P(T' > c) = E_q[1 - F(c / sqrt 2; n - 1, t sqrt(q / 2))], over 400 quantiles of q.
    """
    array, n = np.asarray(values, float), len(values)
    if n < 2:
        return 0.0, 0.0
    error = float(array.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return float(array.mean() > threshold), float(array.mean() < threshold)
    from scipy import stats

    critical = float(stats.t.ppf(0.975, n - 1)) / math.sqrt(2)
    q = stats.chi2.ppf((np.arange(400) + 0.5) / 400, n - 1) / (n - 1)
    centre = (array.mean() - threshold) / error * np.sqrt(q / 2)

    def beyond(far: np.ndarray) -> float:
        found = stats.nct.sf(critical, n - 1, far)  # NaN in the far tail
        return float(np.mean(np.where(np.isfinite(found), found, far > critical)))

    return beyond(centre), beyond(-centre)


def enough(low: float, high: float, count: int, threshold: float) -> float:
    """How many values would give a verdict, if mean and standard deviation stayed as they are.

    `low` and `high` are the ends of the 95 % t interval of `count` values, at least 2. Infinite if
    the mean is the threshold.
    """
    from scipy import stats

    off = abs((low + high) / 2 - threshold)
    spread = (high - low) / 2 / float(stats.t.ppf(0.975, count - 1)) * math.sqrt(count)
    if not off or not math.isfinite(spread):
        return math.inf
    n = 2
    while float(stats.t.ppf(0.975, n - 1)) * spread / math.sqrt(n) >= off:
        n = max(n + 1, math.ceil((1.96 * spread / off) ** 2))
    return n


def judge(
    registered: Registered, values: Sequence[float], lost: int = 0, outside: float = 0.0
) -> Claim:
    """The claim with its outcome.

    It is supported if the whole interval is beyond the threshold, refuted if it is on the other
    side, else undecided. With more than 1 % of probability off the grammar there is no verdict,
    unless the claim is `free`.
    """
    mean, low, high = t_interval(values)
    above, below = low > registered.threshold, high < registered.threshold
    fresh = redraw(values, registered.threshold)
    if not registered.above:
        above, below, fresh = below, above, fresh[::-1]
    verdict, keeps = UNDECIDED, 1 - sum(fresh)
    if above or below:
        verdict, keeps = (SUPPORTED, fresh[0]) if above else (REFUTED, fresh[1])
    if outside > OFF_GRAMMAR and not registered.free:
        verdict = OFF
    return Claim(
        **dataclasses.asdict(registered), value=mean, low=low, high=high, seeds=len(values),
        lost=lost, outside=outside, verdict=verdict, keeps=keeps,
    )  # fmt: skip


def judge_all(
    claims: Sequence[Registered], table: "pd.DataFrame", instead: str = ""
) -> list[Claim]:
    """The outcomes of claims, by an analysis's table. Raises `ClaimsError` if they don't fit it.

    `instead` replaces every verdict.
    """
    # Numbers are not checked: one that no row has yet may come with a later seed.
    named = table.select_dtypes(exclude="number")
    values = {column: list(named[column].unique()) for column in named}
    check(claims, table, values if not instead and len(table) else {})  # flags may drop rows
    judged = [judge(each, *evaluate(each, table)) for each in claims]
    return [dataclasses.replace(each, verdict=instead or each.verdict) for each in judged]
