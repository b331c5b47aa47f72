"""`./launch.sh bench`: measures speed ratios, side by side; writes them to `results/bench`."""

import importlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path as File
from typing import Any

from toylab.lab.flags import Flags, UsageError, refuse
from toylab.shell.files import RESULTS, RUNS, user_path

PARTS = (
    "tuning", "pretraining", "steps", "seeds", "devices", "writing", "reinforcing", "starting",
    "beliefs", "reading", "pages", "workers",
)  # fmt: skip
HELP = f"""./launch.sh bench [PART …] [--quick] [--results=FOLDER]

Measures the named parts, or all: {", ".join(PARTS)}.
Writes table.csv and machine.json. Measuring a part again replaces its rows; tuning resumes where
it stopped. Takes about half an hour in all, during which nothing else should use the machine.
PyTorch, the baseline, is optional: .venv/bin/python -m pip install '.[torch]'
"""


def main(arguments: Sequence[str]) -> int:
    """Measures the parts; prints and saves each row as soon as it is measured."""
    values = Flags(
        HELP,
        quick=(bool, False, "a few steps of each, to check that it runs: the numbers mean nothing"),
        results=(str, None, "folder for the table"),
    )
    parts = values.parse(arguments, "...") or list(PARTS)
    refuse("bench", parts, PARTS)
    quick = values["quick"]
    default = RUNS / "quick" / "bench" if quick else RESULTS / "bench"
    folder = user_path(values["results"]) if values["results"] else default
    try:
        from benchmarks import timing
    except ModuleNotFoundError:
        raise UsageError("bench: only works in a checkout of the repository") from None

    if not timing.TORCH:
        print(
            "toylab: PyTorch is not installed, so its rows are missing; "
            ".venv/bin/python -m pip install '.[torch]' adds it",
            file=sys.stderr,
        )
    told = {"quick": quick} | timing.machine()
    for part in sorted(parts, key=PARTS.index):
        _measure(part, folder, quick, told)
    print(f"saved in {folder / 'table.csv'}")
    return 0


def _measure(part: str, folder: File, quick: bool, told: dict[str, Any]) -> None:
    import pandas as pd

    from benchmarks.timing import Row
    from toylab.lab.store import load_json, write_atomic, write_json

    file, machine = folder / "table.csv", folder / "machine.json"
    known = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=list(Row._fields))
    before = [Row(*row) for row in known.itertuples(index=False)]
    others = [row for row in before if row.part != part]
    old = {row[:4]: row for row in before if row.part == part}
    print(f"\n{part}", flush=True)
    began = time.perf_counter()
    rows: list[Row] = []

    def keep(lines: Sequence[Row]) -> None:
        table = pd.DataFrame([*others, *lines], columns=list(Row._fields))
        table = table.sort_values("part", key=lambda c: c.map(PARTS.index), kind="stable")
        write_atomic(file, table.to_csv(index=False, lineterminator="\n").encode())

    for row in importlib.import_module(f"benchmarks.{part}").rows(quick, before):
        print(
            f"  {row.setting:26} {row.contender:52} {row.quantity:28} {row.value:12.4g} {row.unit}"
            + (f"  [{row.low:.4g}, {row.high:.4g}]" if row.repeats > 1 else ""),
            flush=True,
        )
        rows.append(row)
        old.pop(row[:4], None)
        keep([*rows, *old.values()])  # now, so that stopping loses nothing
    if rows:
        keep(rows)
        kept = load_json(machine) if machine.exists() else {}
        seconds = round(time.perf_counter() - began)
        write_json(machine, kept | {part: told | {"seconds": seconds}})
