"""Event files come back, through TensorBoard's own readers, as the rows they were made from."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing import event_file_loader, io_wrapper
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator as PluginEventAccumulator,  # what the application itself reads with
)
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.util import tensor_util

from toylab.lab import events

ALL = {"scalars": 0, "tensors": 0, "text": 0}  # keep every point
HYPERPARAMETERS: events.Hyperparameters = {
    "seed": 3,
    "rate": 0.25,
    "optimiser": "adam",
    "selection": True,
}


def make_rows(first: int, last: int) -> list[events.Row]:
    return [
        {
            "step": step,
            "time": 1763920000.5 + step,
            "train/loss": 1.0 / (1 + step),
            "excess/total": float(step),
            "ladder/selection": -4.5,
            "weights/mira": 0.93,
            "traits/bold": math.inf if step == 0 else step / 7,
            "samples": f"step {step}: naïve “Mira” said\n\n| no |\n",
        }
        for step in range(first, last)
    ]


def write(folder: Path, rows: list[events.Row]) -> None:
    events.Live(folder, rows, HYPERPARAMETERS).close()


def event_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*tfevents*"))


def read(folder: Path) -> dict[str, list[tuple[float, int, Any]]]:
    """Every measurement under its tag, as (time, step, value)."""
    reader = EventAccumulator(str(folder), size_guidance=ALL).Reload()
    found: dict[str, list[tuple[float, int, Any]]] = {
        tag: [(e.wall_time, e.step, e.value) for e in reader.Scalars(tag)]
        for tag in reader.Tags()["scalars"]
    }
    for tag in reader.PluginTagToContent("text"):
        found[tag] = [
            (e.wall_time, e.step, tensor_util.make_ndarray(e.tensor_proto).item().decode())
            for e in reader.Tensors(tag)
        ]
    return found


def expected(rows: list[events.Row]) -> dict[str, list[tuple[Any, Any, Any]]]:
    return {
        tag: [
            (row["time"], row["step"], value if isinstance(value, str) else np.float32(value))
            for row in rows
            for value in [row[tag]]
        ]
        for tag in rows[0]
        if tag not in ("step", "time")
    }


def test_scalars_and_text_come_back_exactly(tmp_path: Path) -> None:
    rows = make_rows(0, 1500)  # more than TensorBoard would keep by default
    write(tmp_path / "tb", rows)
    assert read(tmp_path / "tb") == expected(rows)
    [path] = (tmp_path / "tb").iterdir()
    assert io_wrapper.IsSummaryEventsFile(str(path))


def test_rows_need_not_have_the_same_measurements(tmp_path: Path) -> None:
    rows: list[events.Row] = [
        {"step": 0, "a": 1},
        {"step": 0, "samples": ""},
        {"step": 2, "a": math.nan, "b/c": 2.0},
    ]
    write(tmp_path, rows)
    found = {
        tag: [(step, value) for _, step, value in points] for tag, points in read(tmp_path).items()
    }
    assert found["a"][0] == (0, 1.0)
    assert found["a"][1] == (2, pytest.approx(math.nan, nan_ok=True))
    assert found["b/c"] == [(2, 2.0)]
    assert found["samples"] == [(0, "")]


def test_hyperparameters_and_layout(tmp_path: Path) -> None:
    write(tmp_path, make_rows(0, 2))
    reader = EventAccumulator(str(tmp_path), size_guidance=ALL).Reload()
    contents = reader.PluginTagToContent("hparams")

    session = hparams.parse_session_start_info_plugin_data(contents[hparams.SESSION_START_INFO_TAG])
    found = {
        name: getattr(value, value.WhichOneof("kind")) for name, value in session.hparams.items()
    }
    assert found == HYPERPARAMETERS
    assert session.start_time_secs == 1763920000.5

    [point] = reader.Tensors("custom_scalars__config__")
    content = tensor_util.make_ndarray(point.tensor_proto).item()
    assert Layout.FromString(content) == events.layout()


def test_layout_has_the_charts() -> None:
    [category] = events.layout().category
    assert category.title == "toylab"
    assert {chart.title: list(chart.multiline.tag) for chart in category.chart} == {
        "excess loss": ["excess/.*"],
        "ladder (nats per document)": ["ladder/.*"],
        "who is speaking (weights)": ["weights/.*"],
        "traits": ["traits/.*"],
    }


def test_live_rows_are_there_at_once(tmp_path: Path) -> None:
    rows = make_rows(0, 5)
    live = events.Live(tmp_path, rows[:2], HYPERPARAMETERS)
    assert read(tmp_path) == expected(rows[:2])
    for n in range(2, 5):
        live.append(rows[n])
        assert read(tmp_path) == expected(rows[: n + 1])
    live.close()
    with pytest.raises(ValueError, match="closed"):
        live.append(rows[0])
    assert read(tmp_path) == expected(rows)


@pytest.mark.parametrize("lost", [1, 5, 40, 200])
def test_after_a_truncated_record_there_are_neither_gaps_nor_doubles(
    tmp_path: Path, lost: int
) -> None:
    rows = make_rows(0, 10)
    killed = events.Live(tmp_path, [], HYPERPARAMETERS)
    for row in rows[:7]:
        killed.append(row)
    [path] = event_files(tmp_path)
    with path.open("r+b") as file:  # as a killed process leaves it
        file.truncate(path.stat().st_size - lost)
    assert read(tmp_path) == expected(rows[:6])

    live = events.Live(tmp_path, rows[:7], HYPERPARAMETERS)
    for row in rows[7:]:
        live.append(row)
    live.close()
    killed.close()
    assert len(event_files(tmp_path)) == 1
    assert read(tmp_path) == expected(rows)


def test_even_with_the_older_file_left_behind_nothing_is_doubled(tmp_path: Path) -> None:
    rows = make_rows(0, 10)
    write(tmp_path, rows)
    watching = PluginEventAccumulator(str(tmp_path), tensor_size_guidance=ALL).Reload()
    assert [e.step for e in watching.Tensors("samples")] == list(range(10))

    [path] = event_files(tmp_path)
    content = path.read_bytes()
    live = events.Live(tmp_path, rows[:4], HYPERPARAMETERS)  # from a checkpoint
    path.write_bytes(content)  # killed between the renaming and the removing
    live.append(rows[4])
    live.close()
    assert len(event_files(tmp_path)) == 2
    fresh = PluginEventAccumulator(str(tmp_path), tensor_size_guidance=ALL).Reload()
    for reader in (watching.Reload(), fresh):
        for tag in ("train/loss", "samples"):
            assert [e.step for e in reader.Tensors(tag)] == list(range(5))

    write(tmp_path, rows)
    assert len(event_files(tmp_path)) == 1
    assert read(tmp_path) == expected(rows)


def test_a_failure_leaves_the_older_file_as_it_was(tmp_path: Path) -> None:
    rows = make_rows(0, 3)
    write(tmp_path, rows)
    with pytest.raises(KeyError, match="step"):
        write(tmp_path, [*rows, {"time": 1.0}])
    assert list(tmp_path.iterdir()) == event_files(tmp_path)
    assert read(tmp_path) == expected(rows)


def test_the_same_rows_make_the_same_file(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        write(tmp_path / name, make_rows(0, 3))
        [path] = event_files(tmp_path / name)
        contents.append(list(event_file_loader.EventFileLoader(str(path)).Load()))
    assert contents[0] == contents[1]
