"""Every experiment's analysis, on tiny real records of two seeds (see `tests.records`)."""

import dataclasses
import functools
import importlib
import inspect
import itertools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests import records
from toylab.lab.records import RUN, Record, Records
from toylab.report import claims, figures, results
from toylab.report.results import Analysis

every_experiment = pytest.mark.parametrize("name", records.NAMES)
KEYS = ("arm", "seed", "step")
HOW = "if that is meant: python -m tests.records {name} --expected (other readings: without it)"


def _analyse(name: str) -> Analysis:
    content = records.load(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return records.analyse(name, records.records_of(name, content), content["exact"])


_once = functools.cache(_analyse)


def _off(got: Any, wanted: Any) -> float:
    """The share of values, of those that are there, that aren't what is expected."""
    both = pd.DataFrame({"got": list(got), "wanted": list(wanted)}).dropna(how="all")
    got, wanted = both["got"], both["wanted"]
    if both.empty:
        return 0.0
    if pd.api.types.is_numeric_dtype(wanted):
        return float(np.mean(~np.isclose(got, wanted, rtol=2e-3, atol=1e-4, equal_nan=True)))
    return float((got.fillna("") != wanted.fillna("")).mean())


def _table(analysis: Analysis) -> str:
    return analysis.table.to_csv(index=False, float_format="%.6g")


def _values(analysis: Analysis) -> dict[str, list[float]]:
    return {claim: [float(value) for value in each] for claim, each in analysis.values.items()}


def _differs(name: str, analysis: Analysis) -> list[str]:
    """The columns of the table, and the claims, that aren't what is expected.

    Of a column one value in ten may be another: a rate that was fitted where it no longer matters
    depends on how the compiler rounded.
    """
    content = records.load(name)
    wanted, table = map(records.table_of, (content["table"], _table(analysis)))
    if list(wanted) != list(table) or len(wanted) != len(table):
        return ["columns or number of rows"]
    values = _values(analysis)
    if values.keys() != content["values"].keys():
        return ["names of claims"]
    return [column for column in wanted if _off(table[column], wanted[column]) > 0.1] + [
        claim for claim, each in values.items() if _off(each, content["values"][claim])
    ]


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
def test_a_table_has_the_columns_that_are_described_and_claims_have_finite_values(
    name: str,
) -> None:
    analysis, experiment = _once(name), results.find(name)
    columns = importlib.import_module(f"experiments.{name}.analysis").COLUMNS
    assert list(analysis.table.columns) == list(columns) == list(analysis.columns)
    assert len(analysis.table)
    registered, _ = claims.load(experiment.folder / "claims.toml")
    assert set(analysis.values) == {each.name for each in registered}
    for claim, values in analysis.values.items():
        assert len(values) >= 2, claim
        assert np.isfinite(np.asarray(values, float)).all(), claim


@every_experiment
def test_the_same_records_give_the_same_bytes(name: str) -> None:
    first, again = (
        (figures.render(each.figure, "png"), _table(each), _values(each))
        for each in (_once(name), _analyse(name))
    )
    assert len(first[0]) > 10_000
    assert first == again


# ------------------------------------------------------------------ what they do catch, planted


def _keys(content: Any) -> str:
    inside = content.items() if isinstance(content, dict) else ()
    return ",".join(f"{key}({_keys(value)})" for key, value in inside)


def _rotated(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each row has what was read at another: in its arm, of what looks alike, the one before."""
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
    """What the pretrained model read, joined by arm alone."""
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
def test_a_swapped_sign_or_column_is_noticed(name: str) -> None:
    analysis = _once(name)
    for claim in analysis.values:
        values = {**analysis.values, claim: [-value for value in _values(analysis)[claim]]}
        if not np.allclose(values[claim], 0):
            assert claim in _differs(name, dataclasses.replace(analysis, values=values))
    numbers = list(analysis.table.select_dtypes("number"))
    for column, other in itertools.pairwise(numbers):
        table = analysis.table.assign(**{column: analysis.table[other]})
        if _off(table[column], analysis.table[column]) > 0.1:  # some are nearly equal
            assert column in _differs(name, dataclasses.replace(analysis, table=table))
