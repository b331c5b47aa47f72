"""Claims: sentences that the data can contradict, with a t interval over seeds.

An experiment's claims are in its `claims.toml`, written before it is run:

    [share]
    claim = "Training on fresh documents of one author is selection."
    source = "Persona selection model (Marks, Lindsey, Olah 2026)"
    contradicted_by = "a share below the threshold"
    statistic = "(F0 - F1) / F0 after training"
    above = 0.8               # or below = …
    unit = "seeds"            # what the interval is over; seeds if left out

The analysis supplies the statistic of each claim by the claim's name, one value per seed.
"""

import dataclasses
import hashlib
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path as File

import numpy as np

from toylab.world.schema import CorpusError, unknown
from toylab.world.toml import Table

SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "undecided"
CHANGED, QUICK = "settings changed: not judged", "quick: not judged"  # instead of a verdict
KEYS = ("claim", "source", "contradicted_by", "statistic", "above", "below", "unit")


class ClaimsError(ValueError):
    """A `claims.toml` that can't be used, or values that don't fit it: one line with the fix."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Registered:
    """A claim, the source it is the toy of, what would contradict it, and the threshold.

    The statistic is claimed to be above `threshold` if `above`, else below it. The interval is over
    draws of `unit`.
    """

    name: str
    claim: str
    source: str
    contradicted_by: str
    statistic: str
    threshold: float
    above: bool
    unit: str = "seeds"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim(Registered):
    """A registered claim and its outcome: mean, 95 % t interval over `seeds` values, verdict.

    `registered` is the digest of the `claims.toml` that it was judged by.
    """

    value: float
    low: float
    high: float
    seeds: int
    verdict: str
    registered: str

    @property
    def sentence(self) -> str:
        """The outcome as text for the terminal."""
        sign = ">" if self.above else "<"
        return (
            f"{self.verdict:9}  {self.claim}\n           {self.statistic}: {self.value:.3g} "
            f"[{self.low:.3g}, {self.high:.3g}], claimed {sign} {self.threshold:g}, "
            f"{self.seeds} {self.unit}"
        )


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
    registered: Registered = table.build(Registered, name=name, threshold=threshold, above=above)
    return registered


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean and its t interval; the interval of a single value is infinite."""
    array = np.asarray(values, float)
    mean = float(array.mean())
    if len(array) < 2:
        return mean, -math.inf, math.inf
    from scipy import stats  # half a second, once there is something to judge

    error = float(stats.sem(array))
    half = float(stats.t.ppf((1 + level) / 2, len(array) - 1)) * error
    return mean, mean - half, mean + half


def judge(registered: Registered, values: Sequence[float], digest: str = "") -> Claim:
    """Supported if the whole interval is beyond the threshold, refuted if it is all short of it."""
    mean, low, high = t_interval(values)
    beyond, short = (low > registered.threshold, high < registered.threshold)
    if not registered.above:
        beyond, short = (high < registered.threshold, low > registered.threshold)
    return Claim(
        **dataclasses.asdict(registered),
        value=mean,
        low=low,
        high=high,
        seeds=len(values),
        verdict=SUPPORTED if beyond else REFUTED if short else UNDECIDED,
        registered=digest,
    )


def judge_all(file: File, values: Mapping[str, Sequence[float]], instead: str = "") -> list[Claim]:
    """Judges the claims of a `claims.toml` by an analysis's values. Raises `ClaimsError`.

    What comes `instead` of a verdict says why there is none.
    """
    registered, digest = load(file)
    names = [each.name for each in registered]
    for name in values:
        if name not in names:
            raise ClaimsError(f"{file}: the analysis has values for {unknown(name, names)}")
    for name in names:
        if name not in values:
            raise ClaimsError(f"{file}: {name}: the analysis has no values for it")
        if not len(values[name]):
            raise ClaimsError(f"{file}: {name}: the analysis has no value of any seed for it")
    judged = [judge(each, [float(v) for v in values[each.name]], digest) for each in registered]
    return [dataclasses.replace(each, verdict=instead or each.verdict) for each in judged]
