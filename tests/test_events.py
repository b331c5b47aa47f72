"""Event files come back, through TensorBoard's own readers, as the rows they were made from."""

import io
import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from tensorboard.backend.event_processing import event_file_loader, io_wrapper
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator as PluginEventAccumulator,  # what the application itself reads with
)
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.util import tensor_util

from toylab.lab import events

ALL = {"scalars": 0, "tensors": 0, "text": 0}  # keep every point
SETTINGS: events.Settings = {"seed": 3, "rate": 0.25, "optimiser": "adam", "selection": True}


def make_rows(first: int, last: int) -> list[dict[str, Any]]:
    """Rows with every kind of value; pretraining's steps are negative."""
    return [
        {
            "step": step,
            "time": 1763920000.5 + step,
            "train/loss": 1.0 / (100 + step),
            "traits/bold": math.inf if step == 0 else step / 7,
            "samples": f"step {step}: naïve “Mira” said\n\n| no |\n",
        }
        for step in range(first, last)
    ]


def files(folder: Path) -> list[Path]:
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


def expected(rows: list[dict[str, Any]]) -> dict[str, list[tuple[Any, Any, Any]]]:
    return {
        tag: [
            (row["time"], row["step"], value if isinstance(value, str) else np.float32(value))
            for row in rows
            for value in [row[tag]]
        ]
        for tag in rows[0]
        if tag not in events.KEYS
    }


def test_scalars_and_text_come_back_exactly(tmp_path: Path) -> None:
    rows = make_rows(-50, 1500)  # more than TensorBoard would keep by default
    events.write(tmp_path / "tb", rows)
    assert read(tmp_path / "tb") == expected(rows)
    [path] = (tmp_path / "tb").iterdir()
    assert io_wrapper.IsSummaryEventsFile(str(path))


def test_an_image_comes_back_with_its_size(tmp_path: Path) -> None:
    stream = io.BytesIO()
    plt.imsave(stream, np.zeros((3, 5, 3)))
    events.write(tmp_path, [{"step": 0, "picture": stream.getvalue()}])
    reader = PluginEventAccumulator(str(tmp_path)).Reload()
    assert list(reader.PluginTagToContent("images")) == ["picture"]
    (point,) = reader.Tensors("picture")
    content = tensor_util.make_ndarray(point.tensor_proto)
    assert content.tolist() == [b"5", b"3", stream.getvalue()]


def test_settings_and_charts(tmp_path: Path) -> None:
    shown = events.charts({"how far?": {"total": ["ladder/total"]}})
    events.write(tmp_path, make_rows(0, 2), shown, settings=SETTINGS)
    reader = EventAccumulator(str(tmp_path), size_guidance=ALL).Reload()
    content = reader.PluginTagToContent("hparams")[hparams.SESSION_START_INFO_TAG]
    session = hparams.parse_session_start_info_plugin_data(content)
    found = {
        name: getattr(value, value.WhichOneof("kind")) for name, value in session.hparams.items()
    }
    assert found == SETTINGS
    [point] = reader.Tensors("custom_scalars__config__")
    assert b"band/ladder/total/low" in tensor_util.make_ndarray(point.tensor_proto).item()


def test_a_running_tensorboard_shows_what_was_written_anew_once(tmp_path: Path) -> None:
    rows = make_rows(-3, 10)
    events.write(tmp_path, rows)
    watching = PluginEventAccumulator(str(tmp_path), tensor_size_guidance=ALL).Reload()
    assert [e.step for e in watching.Tensors("samples")] == list(range(-3, 10))
    events.write(tmp_path, rows[:6])
    assert len(files(tmp_path)) == 2
    fresh = PluginEventAccumulator(str(tmp_path), tensor_size_guidance=ALL).Reload()
    for reader in (watching.Reload(), fresh):
        for tag in ("train/loss", "samples"):
            assert [e.step for e in reader.Tensors(tag)] == list(range(-3, 3))


def test_a_failure_leaves_the_older_file_as_it_was(tmp_path: Path) -> None:
    rows = make_rows(0, 3)
    events.write(tmp_path, rows)
    with pytest.raises(KeyError, match="step"):
        events.write(tmp_path, [*rows, {"time": 1.0}])
    assert list(tmp_path.iterdir()) == files(tmp_path)
    assert read(tmp_path) == expected(rows)


def test_the_same_rows_make_the_same_file(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        events.write(tmp_path / name, make_rows(0, 3))
        [path] = files(tmp_path / name)
        contents.append(list(event_file_loader.EventFileLoader(str(path)).Load()))
    assert contents[0] == contents[1]
