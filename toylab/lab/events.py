"""TensorBoard's event files, derived from a run's rows of metrics.

A row is a line of metrics.jsonl: "step", "time" (seconds since the epoch) and measurements, where
numbers become scalars and strings become text, under their own names. The file is never patched: it
is rewritten from the rows when a run resumes, so it has neither gaps nor doubles. The new file is
last by name and begins with a restart at step 0, so a TensorBoard that watches drops the old
points. (With --load_fast=false, or on a platform without its data server, TensorBoard waits for
the file that was removed, and must be started anew.)

Only tensorboard's protos and its `RecordWriter` are used, not TensorFlow, which is why the layout
does not go through `custom_scalar.summary.pb`.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog, SourceMetadata
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalar
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

Row = Mapping[str, float | int | str]
Hyperparameters = Mapping[str, str | float | int | bool]

# Charts of the custom-scalars page; the tags on each as a regular expression, matched at the start.
CHARTS = {
    "excess loss": "excess/.*",
    "ladder (nats per document)": "ladder/.*",
    "who is speaking (weights)": "weights/.*",
    "traits": "traits/.*",
}
KEYS = ("step", "time")  # of a row, not measurements
NAME = "events.out.tfevents.{:010d}.toylab"
PARTIAL = ".events.partial"  # no "tfevents" in it: TensorBoard must not read it


class Live:
    """An event file that grows with the run: rewritten from `rows_so_far`, then appended to.

    Each row is flushed when it comes. A process that is killed leaves at most a truncated last
    record, and the next `Live` replaces the file.
    """

    def __init__(
        self,
        folder: Path,
        rows_so_far: Iterable[Row],
        hyperparameters: Hyperparameters,
    ) -> None:
        path = _rewrite(folder, rows_so_far, hyperparameters)
        self._records = RecordWriter(path.open("ab"))

    def append(self, row: Row) -> None:
        """Write a row, through to the operating system."""
        self._records.write(_event(row).SerializeToString())
        self._records.flush()

    def close(self) -> None:
        """Close the file; what was appended is there already."""
        self._records.close()


def layout() -> layout_pb2.Layout:
    """The custom-scalars page: what matters in this lab, one chart each."""
    charts = [
        layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=[tags]))
        for title, tags in CHARTS.items()
    ]
    return layout_pb2.Layout(category=[layout_pb2.Category(title="toylab", chart=charts)])


def _rewrite(folder: Path, rows: Iterable[Row], hyperparameters: Hyperparameters) -> Path:
    """Write a new event file under a temporary name, rename it, and only then remove the older."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / PARTIAL
    try:
        with contextlib.closing(RecordWriter(partial.open("wb"))) as records:
            for event in _events(list(rows), hyperparameters):
                records.write(event.SerializeToString())
        older = [path for path in folder.glob("*tfevents*") if path.is_file()]
        # TensorBoard reads the files of a run in order of their names, and never goes back.
        numbers = [re.match(r"events\.out\.tfevents\.(\d+)", path.name) for path in older]
        number = max([int(time.time()), *(int(found[1]) + 1 for found in numbers if found)])
        path = folder / NAME.format(number)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    for old in older:
        old.unlink(missing_ok=True)
    return path


def _events(rows: Sequence[Row], hyperparameters: Hyperparameters) -> Iterator[Event]:
    """All events of a file: what it is, a (re)start, hyper-parameters, the layout, and the rows."""
    start = float(rows[0].get("time", time.time())) if rows else time.time()
    yield Event(
        wall_time=start,
        file_version="brain.Event:2",
        source_metadata=SourceMetadata(writer=__name__),
    )
    yield Event(wall_time=start, step=0, session_log=SessionLog(status=SessionLog.START))
    session = hparams_pb(dict(hyperparameters), start_time_secs=start)
    yield Event(wall_time=start, step=0, summary=session)
    charts = Summary.Value(
        tag=custom_scalar.CONFIG_SUMMARY_TAG,
        metadata=custom_scalar.create_summary_metadata(),
        tensor=make_tensor_proto(layout().SerializeToString(), dtype=np.object_),
    )
    yield Event(wall_time=start, step=0, summary=Summary(value=[charts]))
    yield from map(_event, rows)


def _event(row: Row) -> Event:
    """A row as one event. Scalars are kept as float32, as everywhere in TensorBoard."""
    summary = Summary()
    for tag, value in row.items():
        if tag in KEYS:
            continue
        if isinstance(value, str):
            summary.MergeFrom(text_pb(tag, value))
        else:
            summary.value.add(tag=tag, simple_value=value)
    return Event(
        wall_time=float(row.get("time", time.time())), step=int(row["step"]), summary=summary
    )
