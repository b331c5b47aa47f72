"""Claims: sentences that the data can contradict, with a t interval over seeds."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import scipy.stats

SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "undecided"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence, what it is the toy of, what would have contradicted it, and what came out.

    The statistic is claimed to be above `threshold` if `above`, else below it. `low` and `high` are
    a 95 % t interval over so many `seeds`, or whatever `unit` was drawn anew.
    """

    claim: str
    source: str
    contradicted_by: str
    statistic: str
    value: float
    low: float
    high: float
    threshold: float
    above: bool
    seeds: int
    verdict: str
    unit: str = "seeds"

    @property
    def sentence(self) -> str:
        """The outcome in a line for the terminal."""
        sign = ">" if self.above else "<"
        return (
            f"{self.verdict:9}  {self.claim}\n           {self.statistic}: {self.value:.3g} "
            f"[{self.low:.3g}, {self.high:.3g}], claimed {sign} {self.threshold:g}, "
            f"{self.seeds} {self.unit}"
        )


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean and its t interval; the interval of a single value is infinite."""
    array = np.asarray(values, float)
    mean = float(array.mean())
    if len(array) < 2:
        return mean, -math.inf, math.inf
    error = float(scipy.stats.sem(array))
    half = float(scipy.stats.t.ppf((1 + level) / 2, len(array) - 1)) * error
    return mean, mean - half, mean + half


def judge(
    *,
    claim: str,
    source: str,
    contradicted_by: str,
    statistic: str,
    values: Sequence[float],
    threshold: float,
    above: bool = True,
    unit: str = "seeds",
) -> Claim:
    """Supported if the whole interval is beyond the threshold, refuted if wholly short of it."""
    mean, low, high = t_interval(values)
    beyond, short = (low > threshold, high < threshold)
    if not above:
        beyond, short = (high < threshold, low > threshold)
    verdict = SUPPORTED if beyond else REFUTED if short else UNDECIDED
    return Claim(
        claim=claim,
        source=source,
        contradicted_by=contradicted_by,
        statistic=statistic,
        value=mean,
        low=low,
        high=high,
        threshold=threshold,
        above=above,
        seeds=len(values),
        verdict=verdict,
        unit=unit,
    )
