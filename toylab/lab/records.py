"""Records: the readings of all snapshots, and the table that an analysis makes from them."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float
from tqdm import tqdm

from toylab.lab.sweep import Sweep
from toylab.ladder import theory, traits
from toylab.ladder.measure import Measure
from toylab.stages import Setup, Sft, Stage

if TYPE_CHECKING:
    import pandas as pd

RUN = ("arm", "seed")


class Record(NamedTuple):
    """One snapshot: its readings (`found`) and those at step 0 (`start`), by name of the measure.

    Step 0 is the end of pretraining. `start` is empty for an arm without stages after it. `base`
    has the excess loss and the nuisances (temperature and slip rate) of the pretrained model.
    """

    arm: str
    seed: int
    step: int
    found: Mapping[str, Any]
    start: Mapping[str, Any]
    base: Mapping[str, Any]
    setup: Setup
    stages: tuple[Stage, ...]
    measures: Mapping[str, Measure]

    def read(self, *names: str, whose: str = "") -> dict[str, float]:
        """These numbers of the ladder, by name: those of the learned cast, not of the exact one.

        `reading.COLUMNS` describes them. If `whose` names a character, `weight` is its weight in
        F1.
        """
        found = self.found["reading"]
        row = {name: (found if name in found else found["learned"])[name] for name in names}
        if whose:
            row["weight"] = found["learned"]["weights"][self.setup.corpus.names.index(whose)]
        return row

    def predicted(
        self, change: Float[ArrayLike, " I"], *topics: str
    ) -> dict[str, theory.Prediction]:
        """Each theory's prediction for the last stage, which must be SFT right after pretraining.

        `change` is the measured change of the trait vector. What each theory leaves free (an
        exchange rate for the Bayesian ones) is fitted to this change on `topics`.
        """
        stage = self.stages[-1]
        assert isinstance(stage, Sft)
        fitted = traits.on(self.setup.corpus, *topics)
        return theory.forecast(self.setup, stage, self.seed).at(change, fitted)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Records:
    """What an analysis gets: all that was read in a sweep, and its setups.

    Each row has `arm`, `seed`, `step` (0 is the pretrained model) and the result of each measure
    under the measure's name. The sweep's ladder is `reading`. `bases` has the nuisances and excess
    loss of pretrained models, by arm and seed. `known` keeps the results of `once`. `files` has the
    content of each file of readings, by arm and file.
    """

    sweep: Sweep
    setups: Mapping[str, Setup]
    rows: list[dict[str, Any]]
    bases: dict[tuple[str, int], dict[str, Any]]
    known: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    files: Mapping[tuple[str, File], Any] = dataclasses.field(default_factory=dict)

    @property
    def setup(self) -> Setup:
        """The setup of the first arm."""
        return next(iter(self.setups.values()))

    def odd(self) -> File | None:
        """A file whose structure differs from most files of the same arm and measure, or None."""
        kinds = collections.defaultdict[tuple[str, str], dict[File, str]](dict)
        for (arm, file), found in self.files.items():
            kinds[arm, file.stem.rpartition("-")[2]][file] = _shape(found)
        for shapes in kinds.values():
            counts = collections.Counter(shapes.values())
            usual = max(counts, key=lambda shape: (counts[shape], len(shape)))
            if others := [file for file, shape in shapes.items() if shape != usual]:
                return others[0]
        return None

    def once(
        self, name: str, read: Callable[["Records"], Iterable[Any]], total: int
    ) -> Sequence[Any]:
        """All that `read` yields, computed once, then kept. It must not depend on readings."""
        if name not in self.known:
            bar = tqdm(read(self), name, total, leave=False, disable=None)
            self.known[name] = list(bar)
        return self.known[name]

    def each(self) -> Iterable[Record]:
        """A record of each snapshot, in the order of `rows`."""
        starts = {(row["arm"], row["seed"]): row for row in self.rows if not row["step"]}
        for row in self.rows:
            run = row["arm"], row["seed"]
            start = starts.get(run, {})
            yield Record(
                *run,
                row["step"],
                row,
                start,
                self.bases[run],
                self.setups[row["arm"]],
                self.sweep.arms[row["arm"]].stages,
                {measure.name: measure for measure in self.sweep.measures(row["arm"])},
            )

    def table(
        self,
        columns: Mapping[str, str],
        read: Callable[[Record], Mapping[str, Any] | Iterable[Mapping[str, Any]]],
        *,
        before: Mapping[str, str] | None = None,
        by: Sequence[str] = RUN,
    ) -> "pd.DataFrame":
        """A table with one or more rows per snapshot: arm, seed, step, and what `read` returns.

        `columns` has the names of the table's columns, in order, with a description of each; what
        else `read` returns is left out. None becomes NaN. `before` adds numbers from step 0:
        `{"floor_F2": "F2"}` adds, as floor_F2, the F2 of the row at step 0 with the same values of
        `by`.
        """
        rows = []
        for record in self.each():
            found = read(record)
            for part in [found] if isinstance(found, Mapping) else found:
                row = {"arm": record.arm, "seed": record.seed, "step": record.step, **part}
                rows.append({name: np.nan if each is None else each for name, each in row.items()})
        if before:
            start = {tuple(row[name] for name in by): row for row in rows if not row["step"]}
            for row in rows:
                first = start.get(tuple(row[name] for name in by), {})
                row |= {new: first.get(old, np.nan) for new, old in before.items()}
        import pandas as pd  # here, so that training and reading don't import it

        return pd.DataFrame(rows, columns=list(columns))


def _shape(found: Any) -> str:
    """The structure of a reading: its entries, and which of them are text."""
    if isinstance(found, Mapping):
        return f"{{{', '.join(f'{name}: {_shape(found[name])}' for name in sorted(found))}}}"
    if isinstance(found, list):
        return f"[{len(found)}: {', '.join(sorted({_shape(each) for each in found}))}]"
    return "text" if isinstance(found, str) else "number"


def where(table: "pd.DataFrame", **equal: Any) -> "pd.DataFrame":
    """The rows with these values, sorted by seed and, if there are steps, by step."""
    for column, value in equal.items():
        table = table[table[column] == value]
    return table.sort_values([name for name in ("seed", "step") if name in table])


def last(table: "pd.DataFrame", **equal: Any) -> "pd.DataFrame":
    """Of the rows with these values, those at the last step; all if there are no steps."""
    part = where(table, **equal)
    return part[part.step == part.step.max()] if "step" in part else part


def end(table: "pd.DataFrame", column: str, **equal: Any) -> "pd.Series":
    """A column, by seed, at the last step of the rows with these values."""
    return last(table, **equal).set_index("seed")[column]


def course(
    table: "pd.DataFrame", column: str, x: str = "step", **equal: Any
) -> tuple[np.ndarray, Float[np.ndarray, "seed point"]]:
    """All values of `x` in the rows with these values, and the column there for each seed."""
    grid = where(table, **equal).pivot(index="seed", columns=x, values=column)
    return grid.columns.to_numpy(), grid.to_numpy()


def crossing(way: "pd.DataFrame", column: str, x: str, level: float) -> float:
    """A column's value where `x` first reaches a level, interpolated; the last if it never does.

    `way` has the readings of one run in order. If one of the two readings around the level lacks
    the column, the other's value; NaN if both do.
    """
    passed = np.flatnonzero(way[x].to_numpy() >= level)
    n = int(passed[0]) if len(passed) else len(way) - 1
    near = way.iloc[max(n - 1, 0) : n + 1].dropna(subset=[column])
    return float(np.interp(level, near[x], near[column])) if len(near) else np.nan
