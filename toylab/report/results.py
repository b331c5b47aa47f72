"""What an experiment writes to `results/EXPERIMENT/`: figure, tables, claims."""

import collections
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from toylab.lab import experiments
from toylab.lab.flags import UsageError
from toylab.lab.plan import Plan, Read, Train
from toylab.lab.records import Records
from toylab.lab.store import DAMAGE, StoreError, load_json, reading, write_atomic, write_json
from toylab.lab.sweep import Sweep
from toylab.report import claims, provenance
from toylab.report.claims import Claim, Registered
from toylab.stages import Setup

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, kw_only=True)
class Analysis:
    """A figure, its table, and what each column of the table is.

    `others` are tables of other shapes that the figure shows, by name, each with its own columns.
    """

    figure: "Figure"
    table: "pd.DataFrame"
    columns: Mapping[str, str]
    others: Mapping[str, tuple["pd.DataFrame", Mapping[str, str]]] = dataclasses.field(
        default_factory=dict
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """What to train, and how to analyse the records.

    `changed` has the flags by which the sweep differs from the registered one in `folder`.
    """

    sweep: Sweep
    analyse: Callable[[Records], Analysis]
    folder: File | None = None
    changed: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def judge(self, analysis: Analysis) -> list[Claim]:
        """The experiment's claims, judged. Raises `ClaimsError` if the table doesn't fit them."""
        why = claims.QUICK if self.sweep.quick else claims.CHANGED if self.changed else ""
        return claims.judge_all(self.registered()[0], analysis.table, why)

    def registered(self) -> tuple[list[Registered], str]:
        """The experiment's claims, and the digest of their file. Raises `ClaimsError`."""
        return claims.load(self.folder / "claims.toml") if self.folder else ([], "")


NUMBERS = ("value", "low", "high", "threshold", "seeds", "lost", "keeps")  # of a judged claim
SECONDS_A_UNIT = 0.05  # on one core, for an experiment without a cost.json
MEGABYTES_A_RUN = 5.0


def find(name: str | File) -> Experiment:
    """The experiment in a folder, or the shipped one of that name.

    Without an `analysis.py` it gets the ladder's figure and table. Raises `UsageError` or
    `ClaimsError`.
    """
    folder = experiments.locate(name)
    sweep, registered = experiments.sweep_of(folder), claims.load(folder / "claims.toml")[0]
    analyse: Callable[[Records], Analysis] = plain
    if (folder / "analysis.py").is_file():
        own = _own(folder)
        analyse = functools.partial(analysed, own)
        claims.check(registered, own.COLUMNS, {})
    elif registered:
        from toylab.report import ladder

        claims.check(registered, ladder.COLUMNS, {"arm": list(sweep.arms)})
    return Experiment(sweep=sweep, analyse=analyse, folder=folder)


def _own(folder: File) -> Any:
    """The module `analysis.py` of an experiment. Raises `UsageError` if it lacks something."""
    own = experiments.module(folder, "analysis")
    if lacking := [each for each in ("COLUMNS", "tabulate", "draw") if not hasattr(own, each)]:
        raise UsageError(
            f"{folder / 'analysis.py'}: has no {lacking[0]}; see docs/tutorial_question.md"
        )
    return own


def analysed(own: Any, records: Records) -> Analysis:
    """Runs an experiment's `analysis.py` on records.

    `tabulate` makes the table from the records; `COLUMNS` describes its columns. `OTHER_TABLES` has
    such a function and such columns for each other table, by name. `draw` makes the figure from the
    tables alone, so that it can be redrawn without records.
    """
    table, made = own.tabulate(records), getattr(own, "OTHER_TABLES", {})
    others = {name: (tabulate(records), columns) for name, (tabulate, columns) in made.items()}
    figure = own.draw(table, *(each for each, _ in others.values()))
    return Analysis(figure=figure, table=table, columns=own.COLUMNS, others=others)


def plain(records: Records) -> Analysis:
    """The ladder of every arm, as figure and table."""
    from toylab.report import ladder

    table = ladder.table(records)
    figure = ladder.figure(table, {name: arm.title for name, arm in records.sweep.arms.items()})
    return Analysis(figure=figure, table=table, columns=ladder.COLUMNS)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(
    folder: File, analysis: Analysis, judged: Sequence[Claim], experiment: Experiment,
    seeds: Sequence[int],
) -> None:  # fmt: skip
    """Writes figure.pdf, figure.png, table.csv, columns.json and claims.json, each atomically.

    Another table NAME goes to NAME.csv and NAME_columns.json. The same records give the same bytes.
    `claims.json` has the claims, the digest of their `claims.toml`, the finished `seeds`, how many
    seeds are registered (`of`), and where they ran.
    """
    from toylab.report import figures

    if experiment.sweep.quick:
        figures.stamp_quick(analysis.figure)
    _write_figure(folder / "figure", analysis.figure)
    _write_table(folder, "table", "columns", analysis.table, analysis.columns)
    for name, (table, columns) in analysis.others.items():
        _write_table(folder, name, f"{name}_columns", table, columns)
    said = [{k: _finite(v) for k, v in dataclasses.asdict(claim).items()} for claim in judged]
    whole = experiments.sweep_of(experiment.folder).seeds if experiment.folder else len(seeds)
    top = {"registered": experiment.registered()[1], "seeds": list(seeds), "of": whole}
    write_json(folder / "claims.json", top | provenance.origin() | {"claims": said})


def _write_table(
    folder: File, name: str, described: str, table: "pd.DataFrame", columns: Mapping[str, str]
) -> None:
    missing = set(table.columns) - set(columns)
    if missing:
        raise ValueError(f"columns without a description: {sorted(missing)}")
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_atomic(folder / f"{name}.csv", text.encode())
    write_json(folder / f"{described}.json", dict(columns))


def _write_figure(file: File, figure: "Figure") -> None:
    import matplotlib.pyplot as plt

    from toylab.report import figures

    for kind in ("pdf", "png"):
        write_atomic(file.with_suffix(f".{kind}"), figures.render(figure, kind))
    plt.close(figure)


def redraw(source: File, folder: File) -> None:
    """Draws an experiment's figure from its tables alone. Raises what `from_tables` raises."""
    _write_figure(folder / "figure", from_tables(source, folder))


class OldTables(StoreError):
    """Tables of an older version: they lack what the figure shows."""


def from_tables(source: File, folder: File) -> "Figure":
    """The figure of the experiment in `source`, from the tables in `folder`.

    Raises `OldTables`, or `StoreError` if they are damaged.
    """
    analysis = _own(source)
    files = [f"{name}.csv" for name in ("table", *getattr(analysis, "OTHER_TABLES", {}))]
    if lacking := [file for file in files if not (folder / file).exists()]:
        raise OldTables(f"{folder / lacking[0]}: is missing")
    tables = [read_table(folder / file) for file in files]
    if lacking := [column for column in analysis.COLUMNS if column not in tables[0]]:
        raise OldTables(f"{folder / 'table.csv'}: has no column {lacking[0]!r}")
    with reading(folder / "table.csv", f"run {folder.name} again"):
        figure: Figure = analysis.draw(*tables)
    return figure


def read_table(file: File) -> "pd.DataFrame":
    """A table as it was written: empty cells in a text column are empty strings.

    Raises `StoreError` if it is damaged.
    """
    import pandas as pd

    with reading(file, f"run {file.parent.name} again"):
        table = pd.read_csv(file, keep_default_na=False, na_values=[""])
    return table.fillna(dict.fromkeys(table.select_dtypes(exclude="number"), ""))


def answer(folder: File, names: Sequence[str]) -> list[str]:
    """Draws the figure of `experiments/answer.py`; returns the names of the experiments in it.

    These are the ones with all seeds judged. Raises `StoreError` if a table is damaged.
    """
    page = experiments.module(experiments.HOME, "answer")
    told = {name: read(folder / name) for name in page.PANELS if name in names}
    within = [name for name, said in told.items() if len(said.get("seeds", ())) == said.get("of")]
    if not within:
        return []
    tables = {name: read_table(folder / name / "table.csv") for name in within}
    try:
        figure = page.draw(tables)
    except DAMAGE:
        for name, table in tables.items():  # finds the one that fails
            with reading(folder / name / "table.csv", f"run {name} again"):
                page.draw({name: table})
        raise
    _write_figure(folder / "answer", figure)
    return within


def read(folder: File) -> dict[str, Any]:
    """The content of a `claims.json`; empty if there is none, or if an old version wrote it.

    Raises `StoreError` if it is damaged.
    """
    file = folder / "claims.json"
    content = load_json(file) if file.exists() else {}
    if isinstance(content, list):
        return {}
    with reading(file, f"remove {folder}, or run {folder.name} again"):
        whole = isinstance(content.get("registered", ""), str) and all(
            isinstance(seed, int) for seed in content.get("seeds", [])
        )
        for claim in content.get("claims", []):
            numbers = [claim.get(name) for name in NUMBERS]
            whole &= all(each is None or isinstance(each, int | float) for each in numbers)
            whole &= all(isinstance(claim.get(name, ""), str) for name in ("name", "verdict"))
        if not whole:
            raise ValueError("no claims")
    return content


def seconds_a_unit(*folders: File) -> float:
    """Seconds on one core per training step, from the first `cost.json` found, or a default."""
    known = next(filter(None, map(experiments.cost_of, folders)), (SECONDS_A_UNIT, 1.0))
    return known[0] / known[1]


def describe(sweep: Sweep, setups: Mapping[str, Setup], graph: Plan, minutes: float) -> str:
    """The plan as a table: what is trained, what is reused, minutes and disk."""
    legs, total = list(graph.legs.values()), sum(leg.cost for leg in graph.legs.values())
    paths = {
        path.name: None
        for seed in sweep.seed_range
        for arm, setup in setups.items()
        for path in sweep.path(setup, seed, arm).prefixes()
    }
    lines = [f"{'run':64} {'train':>6} {'read':>5} {'min':>6}"]
    for name in paths:
        own = [leg for leg in legs if leg.path.name == name]
        train = sum(leg.cost for leg in own if isinstance(leg, Train)) or "have"
        read = sum(isinstance(leg, Read) for leg in own) or "have"
        share = sum(leg.cost for leg in own) / max(total, 1)
        lines.append(f"{name:64} {train:>6} {read:>5} {minutes * share:6.1f}")
    disk = sum(MEGABYTES_A_RUN for leg in legs if isinstance(leg, Train))
    lines.append(f"total: about {minutes:.0f} min and {disk:.0f} MB of disk")
    return "\n".join(lines)


def verdicts(judged: Sequence[Claim]) -> str:
    counts = collections.Counter(claim.verdict for claim in judged)
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()) or "no claims"
