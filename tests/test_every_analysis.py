"""Every experiment's analysis, on tiny real records of two seeds (see `tests.records`)."""

import dataclasses
import functools
import importlib
import inspect
import io
import itertools
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tests import records, scripts
from toylab.lab.records import RUN, Record, Records
from toylab.report import figures, results
from toylab.report.results import Analysis

every_experiment = pytest.mark.parametrize("name", records.NAMES)
KEYS = ("arm", "seed", "step")
WITHIN = ("repertoire",)  # on documents that the cast writes, which never leave the grammar
RECOMPUTE = scripts.load("recompute")
HOW = "if that is meant: python -m tests.records {name} --expected (other readings: without it)"


def _analyse(name: str) -> Analysis:
    content = records.load(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return records.analyse(name, records.records_of(name, content), content["exact"])


_once = functools.cache(_analyse)


def _off(got: Any, wanted: Any) -> float:
    """The share of present values that differ from the expected ones."""
    both = pd.DataFrame({"got": list(got), "wanted": list(wanted)}).dropna(how="all")
    got, wanted = both["got"], both["wanted"]
    if both.empty:
        return 0.0
    if pd.api.types.is_numeric_dtype(wanted):
        least = 1e-4 * min(1.0, float(wanted.abs().max()))  # small rates count, too
        return float(np.mean(~np.isclose(got, wanted, rtol=2e-3, atol=least, equal_nan=True)))
    return float((got.fillna("") != wanted.fillna("")).mean())


def _differs(name: str, analysis: Analysis) -> list[str]:
    """The columns of the tables that differ from the expected ones.

    One value in ten may differ: a fitted rate that no longer has an effect depends on how the
    compiler rounded.
    """
    pairs = [
        [records.table_of(text) for text in (told["table"], *told.get("others", {}).values())]
        for told in (records.load(name), records.written(analysis))
    ]
    off = []
    for wanted, table in zip(*pairs, strict=True):
        if list(wanted) != list(table) or len(wanted) != len(table):
            return ["columns or number of rows"]
        off += [column for column in wanted if _off(table[column], wanted[column]) > 0.1]
    return off


@every_experiment
def test_the_records_are_those_of_the_sweep(name: str) -> None:
    content, sweep = records.load(name), records.sweep_of(name)
    again = f"remake the records: python -m tests.records {name}"
    found: dict[tuple[str, int], list[tuple[int, set[str]]]] = {}
    for row in content["rows"]:
        measures = set(row) - set(KEYS)
        found.setdefault((row["arm"], row["seed"]), []).append((row["step"], measures))
    setups = sweep.setups(records.find)
    seeds = range(sweep.first_seed, sweep.first_seed + sweep.seeds)
    assert set(found) == {(arm, seed) for arm in sweep.arms for seed in seeds}, again
    for (arm, seed), read in found.items():
        path = sweep.path(setups[arm], seed, arm)
        start, points = ([0] if path.parent else []), sweep.points(path, arm)
        measures, last = sweep.measures(arm), points[-1]
        wanted = [
            (step, {each.name for each in measures if step in (0, last) or not each.at_end})
            for step in (*start, *points)
        ]
        assert read == wanted, again


@every_experiment
def test_an_analysis_says_what_it_said_of_the_same_records(name: str) -> None:
    assert not _differs(name, _once(name)), HOW.format(name=name)


@every_experiment
def test_a_table_has_the_columns_that_are_described_and_rows_for_every_claim(name: str) -> None:
    """Only rows selected by text are checked: tiny sweeps lack some steps and sizes."""
    analysis, experiment = _once(name), results.find(name)
    columns = importlib.import_module(f"experiments.{name}.analysis").COLUMNS
    assert list(analysis.table.columns) == list(columns) == list(analysis.columns)
    table = analysis.table
    assert len(table)
    assert "outside" in table or name in WITHIN, "no claim may do without mass off the grammar"
    for claim in experiment.registered()[0]:
        for column, wanted in itertools.chain(claim.rows.items(), claim.minus.items()):
            named = [each for each in np.ravel([wanted]) if isinstance(each, str)]
            if name != "replication":
                assert {*named} <= {*table[column]}, f"{claim.name}: {column}"
        assert {claim.column, claim.against or claim.column, claim.unit} <= {*table}, claim.name


@pytest.fixture(scope="module")
def results_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with the results of an experiment, but for its figure."""

    @functools.cache
    def write(name: str) -> Path:
        analysis, experiment = _once(name), results.find(name)
        # claims on the table as it is written, so that rounding makes no difference
        table = records.table_of(records.written(analysis)["table"])
        analysis = dataclasses.replace(analysis, table=table, figure=Figure())
        folder: Path = tmp_path_factory.mktemp(name)
        results.write(folder, analysis, experiment.judge(analysis), experiment, [100, 101])
        return folder

    return write


@every_experiment
def test_claims_are_recomputed_by_a_script_that_knows_nothing_of_toylab(
    name: str, results_of: Callable[[str], Path]
) -> None:
    folder, written = scripts.ROOT / "experiments" / name, results_of(name)
    assert RECOMPUTE.differs(folder, written) == []
    content = json.loads((written / "claims.json").read_text())
    values = [claim for claim in content["claims"] if claim["value"] is not None]
    for claim in values[:1]:
        claim["value"] += 0.01
        (written / "claims.json").write_text(json.dumps(content))
        assert len(RECOMPUTE.differs(folder, written)) == 1


@every_experiment
def test_the_same_records_give_the_same_bytes_and_these_tables_the_same_figure(
    name: str, results_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few shades may differ, and where a marker snaps to a pixel: tables have fewer digits."""
    once, source = _once(name), scripts.ROOT / "experiments" / name
    drawn = once.figure, results.from_tables(source, results_of(name))
    files = [figures.render(each, "png") for each in drawn]
    plt.close(drawn[1])
    assert len(files[0]) > 10_000
    one, other = (np.asarray(Image.open(io.BytesIO(file)), np.int16) for file in files)
    assert one.shape == other.shape
    assert np.mean(np.abs(one - other).max(-1) >= 8) < 5e-5
    module = importlib.import_module(f"experiments.{name}.analysis")
    monkeypatch.setattr(module, "draw", lambda *shown: Figure())
    assert records.written(once) == records.written(_analyse(name))


def test_files_of_figures_have_no_date() -> None:
    assert b"CreationDate" not in figures.render(Figure(), "pdf")
    assert b"Software" not in figures.render(Figure(), "png")


# ------------------------------------------------------------------ planted errors that are caught


def _keys(content: Any) -> str:
    inside = content.items() if isinstance(content, dict) else ()
    return ",".join(f"{key}({_keys(value)})" for key, value in inside)


def _rotated(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gives each row the reading of another one: the one before with the same shape, in its arm."""
    alike: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        alike.setdefault((row["arm"], _keys(row)), []).append(row)
    return [
        {**other, **{key: row[key] for key in KEYS}}
        for part in alike.values()
        for row, other in zip(part, [part[-1], *part], strict=False)
    ]


@every_experiment
def test_readings_of_another_snapshot_are_noticed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = records.load(name)
    module = importlib.import_module(f"experiments.{name}.analysis")
    monkeypatch.setattr(module, "draw", lambda *shown: Figure())
    order = {tuple(row[key] for key in KEYS): n for n, row in enumerate(content["rows"])}
    rows = sorted(_rotated(content["rows"]), key=lambda row: order[*(row[key] for key in KEYS)])
    faulty = records.records_of(name, {**content, "rows": rows})
    assert _differs(name, records.analyse(name, faulty, content["exact"]))


@every_experiment
def test_a_join_to_another_seed_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted error: pretrained readings are joined to runs by arm alone, without the seed."""
    content = records.load(name)
    module = importlib.import_module(f"experiments.{name}.analysis")
    source = inspect.getsource(module)
    if "before=" not in source and ".start[" not in source:
        return  # it joins nothing
    monkeypatch.setattr(module, "draw", lambda *shown: Figure())
    each, table = Records.each, Records.table
    starts = {row["arm"]: row for row in content["rows"] if not row["step"]}

    def joined(self: Records) -> Iterator[Record]:
        return (record._replace(start=starts.get(record.arm, {})) for record in each(self))

    def tabled(self: Records, *given: Any, by: Sequence[str] = RUN, **more: Any) -> pd.DataFrame:
        return table(self, *given, by=[name for name in by if name != "seed"], **more)

    monkeypatch.setattr(Records, "each", joined)
    monkeypatch.setattr(Records, "table", tabled)
    assert _differs(name, _analyse(name))


@every_experiment
def test_a_swapped_column_is_noticed(name: str) -> None:
    analysis = _once(name)
    right = analysis.table
    swapped = {
        column: right[other] for column, other in itertools.pairwise(right.select_dtypes("number"))
    }
    seen = _differs(name, dataclasses.replace(analysis, table=right.assign(**swapped)))
    # neighbouring columns that are nearly equal need not be noticed
    assert {column for column in swapped if _off(swapped[column], right[column]) > 0.1} <= {*seen}


def test_an_analysis_draws_what_training_of_fewer_steps_leaves() -> None:
    name, step = "selection", 10  # the figure shows this step if there is a reading at it
    content = records.load(name)
    rows = [row for row in content["rows"] if row["step"] != step]
    assert len(rows) < len(content["rows"])
    analysis = records.analyse(
        name, records.records_of(name, {**content, "rows": rows}), content["exact"]
    )
    assert len(analysis.table)
