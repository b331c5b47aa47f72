"""Tiny real records of every experiment, on which tests run its analysis.

    python -m tests.records NAME …                   runs the experiments again, minutes each
    python -m tests.records NAME … --expected        accepts the tables that analyses make today
    python -m tests.records --move goals.pull=gain   renames a reading in all files (* is any name)
    python -m tests.records NAME --of records.json   takes readings from that file

A file `tests/recorded/NAME.json.gz` has the readings (only those that an analysis uses, floats with
four digits), the readings of exact distributions, and the expected tables.
"""

import argparse
import contextlib
import dataclasses
import functools
import gzip
import importlib
import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import matplotlib.pyplot as plt
import pandas as pd

from toylab.lab import workers
from toylab.lab.records import Records
from toylab.lab.sweep import Sweep, quick
from toylab.ladder import theory
from toylab.report import results
from toylab.report.results import Analysis
from toylab.world.derive import load as find

ROOT = Path(__file__).parent.parent
FOLDER = Path(__file__).parent / "recorded"
NAMES = sorted(file.parent.name for file in ROOT.glob("experiments/*/sweep.py"))
EXACT = {"validation": "exact", "formation": "optimum"}  # modules that read exact distributions
DIGITS = 4
DOCUMENTS = 32
SMALL = {"fit": 32, "held_out": 16, "score": 16, "size": 4, "draws": 1}  # settings of measures


def smaller(each: Any, **most: int) -> Any:
    """A config with these settings capped, also in the configs within it; 0 stays 0."""
    numbers = {name: getattr(each, name, None) for name in most}
    least = {name: min(n, most[name]) for name, n in numbers.items() if isinstance(n, int)}
    inside = {
        field: smaller(getattr(each, field), batch=16, samples=4)
        for field in ("inner", "other")
        if dataclasses.is_dataclass(getattr(each, field, None))
    }
    if "inner" in inside:  # batch and samples are set there
        least = {}
    return dataclasses.replace(each, **least, **inside)


def tiny(sweep: Sweep) -> Sweep:
    """Like `--quick`, with two seeds, a model of a quarter of the width, and little pretraining."""
    sweep = quick(sweep)

    def model(each: Any) -> Any:
        return each and dataclasses.replace(
            each, width=max(8, each.width // 4), heads=min(each.heads, 2)
        )

    def pretrain(each: Any) -> Any:
        return each and dataclasses.replace(each, steps=min(each.steps, 12), batch=16, warmup=2)

    def watch(measures: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(smaller(each, **SMALL) for each in measures)

    arms = {
        name: dataclasses.replace(
            arm,
            stages=tuple(smaller(each, batch=16, samples=4) for each in arm.stages),
            model=model(arm.model),
            pretrain=pretrain(arm.pretrain),
            watch=watch(arm.watch),
        )
        for name, arm in sweep.arms.items()
    }
    return dataclasses.replace(
        sweep,
        arms=arms,
        seeds=2,
        model=model(sweep.model),
        pretrain=pretrain(sweep.pretrain),
        reading=smaller(sweep.reading, **SMALL),
        watch=watch(sweep.watch),
    )


def sweep_of(name: str) -> Sweep:
    """The tiny sweep of an experiment; of `replication`, with two casts."""
    sweep = results.find(name).sweep
    if name == "replication":
        module = importlib.import_module("experiments.replication.sweep")
        sweep = module.sweep(module.CASTS[:2])
    return tiny(sweep)


def exact_of(name: str) -> ModuleType | None:
    """The module whose `read(records)` yields readings of exact distributions, or None."""
    return importlib.import_module(f"experiments.{name}.{EXACT[name]}") if name in EXACT else None


def file_of(name: str) -> Path:
    return FOLDER / f"{name}.json.gz"


@functools.cache
def load(name: str) -> dict[str, Any]:
    """The content of an experiment's file."""
    found: dict[str, Any] = json.loads(gzip.decompress(file_of(name).read_bytes()))
    return found


def save(name: str, content: Mapping[str, Any]) -> None:
    """Writes it: the same content gives the same bytes."""
    text = json.dumps(rounded(content), separators=(",", ":"))
    file_of(name).write_bytes(gzip.compress(text.encode(), mtime=0))
    load.cache_clear()


def rounded(content: Any) -> Any:
    """Floats with four digits."""
    if isinstance(content, Mapping):
        return {key: rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [rounded(value) for value in content]
    return float(f"{content:.{DIGITS}g}") if isinstance(content, float) else content


def records_of(name: str, content: Mapping[str, Any]) -> Records:
    """The records for an analysis. Readings of exact distributions also come from the file."""
    sweep = sweep_of(name)
    bases = {(base["arm"], base["seed"]): base for base in content["bases"]}
    setups = sweep.setups(find)
    return Records(sweep=sweep, setups=setups, rows=content["rows"], bases=bases)


def analyse(name: str, records: Records, exact: list[dict[str, Any]]) -> Analysis:
    """Runs an analysis on records and on readings of exact distributions.

    Theories predict from only a few documents, since hundreds would take minutes.
    """
    module = exact_of(name)
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(theory, "DOCUMENTS", DOCUMENTS))
        if module:
            stack.enter_context(mock.patch.object(module, "read", return_value=iter(exact)))
        analysis = results.find(name).analyse(records)
    plt.close(analysis.figure)
    return analysis


class _Watched(dict[str, Any]):
    """A dict that knows which of its keys were asked for."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__({key: _watched(value) for key, value in content.items()})
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)

    def __iter__(self) -> Iterator[str]:
        self.asked |= set(super().__iter__())
        return super().__iter__()

    def keys(self) -> Any:
        return list(self)

    def items(self) -> Any:
        return [(key, self[key]) for key in self]

    def values(self) -> Any:
        return [self[key] for key in self]


def _watched(content: Any) -> Any:
    if isinstance(content, dict):
        return _Watched(content)
    return [_watched(each) for each in content] if isinstance(content, list) else content


def _asked(content: Any) -> Any:
    """The parts of a watched record that were asked for. Unused measures stay as bare names."""
    if isinstance(content, _Watched):
        here = sorted(content.asked.intersection(dict.keys(content)))
        return {key: _asked(dict.__getitem__(content, key)) for key in here}
    return [_asked(each) for each in content] if isinstance(content, list) else content


def accept(name: str, content: dict[str, Any]) -> None:
    """Writes the readings that the analysis uses, and the tables that it makes."""
    watched = records_of(name, _watched(rounded(content)))
    analyse(name, watched, content["exact"])
    rows = [{key: {} for key in dict.keys(row)} | _asked(row) for row in watched.rows]
    bases = [
        {"arm": arm, "seed": seed} | _asked(base) for (arm, seed), base in watched.bases.items()
    ]
    expect(name, {"rows": rows, "bases": bases, "exact": content["exact"]})


def expect(name: str, content: dict[str, Any]) -> None:
    """Writes the tables that the analysis makes of the readings today."""
    content = rounded(content)
    analysis = analyse(name, records_of(name, content), content["exact"])
    save(name, {**content, **written(analysis)})


def written(analysis: Analysis) -> dict[str, Any]:
    """An analysis's table, and its other tables by name if it has any, as they are written."""

    def text(table: pd.DataFrame) -> str:
        return table.to_csv(index=False, float_format="%.6g")

    others = {name: text(table) for name, (table, _) in analysis.others.items()}
    return {"table": text(analysis.table)} | ({"others": others} if others else {})


def table_of(text: str) -> pd.DataFrame:
    """A table as it was written."""
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])


def run(name: str) -> dict[str, Any]:
    """Trains and reads a tiny sweep."""
    sweep = sweep_of(name)
    with tempfile.TemporaryDirectory() as root:
        records = workers.complete(sweep, sweep.setups(find), Path(root))
    module = exact_of(name)
    return {
        "rows": records.rows,
        "bases": [{"arm": a, "seed": s, **base} for (a, s), base in records.bases.items()],
        "exact": list(module.read(records)) if module else [],
    }


def move(content: Any, path: list[str], new: str) -> None:
    """Renames a key, given by its path; `*` is any key."""
    if isinstance(content, list):
        for each in content:
            move(each, path, new)
    elif isinstance(content, dict):
        first, *rest = path
        if not rest and first in content:
            content[new] = content.pop(first)
        for key in list(content) if first == "*" else [first] if first in content else []:
            if rest:
                move(content[key], rest, new)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of an experiment")
    parser.add_argument("--expected", action="store_true", help="only accept what comes out")
    parser.add_argument("--move", default="", metavar="PATH=NEW", help="rename a reading")
    parser.add_argument("--of", default="", metavar="FILE", help="readings instead of a run")
    asked = parser.parse_args()
    for name in asked.names or [name for name in NAMES if asked.move and file_of(name).exists()]:
        if asked.move:
            old, new = asked.move.split("=")
            content = load(name)
            move(content["rows"], old.split("."), new)
            save(name, content)
        elif asked.expected:
            expect(name, load(name))
        else:
            content = json.loads(Path(asked.of).read_text()) if asked.of else run(name)
            accept(name, {"exact": [], **content})


if __name__ == "__main__":
    main()
