"""TensorBoard event files, derived from a run's rows of metrics.

A row is a line of metrics.jsonl: "step", "time" (seconds since the epoch), "reading" (the digest of
the reading, if it is of one) and measurements. Under their own names, numbers become scalars and
strings become text. The file is never patched. When a run resumes or is read, it is rewritten from
the rows, so no point is missing or doubled. The new file is last by name and begins with a restart
at step 0, so a running TensorBoard drops the old points. (With --load_fast=false, or on a platform
without its data server, TensorBoard waits for the removed file and must be restarted.)

TensorFlow is not needed: only tensorboard's protos, its plain summaries and its `RecordWriter` are
used. The layout therefore does without `custom_scalar.summary.pb`.
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

# Charts of the custom-scalars page, each with a regular expression matched at the start of a tag.
CHARTS = {
    "excess loss": "excess/.*",
    "ladder (nats per document)": "ladder/.*",
    "who is speaking (weights)": "weights/.*",
    "traits": "traits/.*",
}
KEYS = ("step", "time", "reading")  # in every row, but not measurements
NAME = "events.out.tfevents.{:010d}.toylab"
PARTIAL = ".events.partial"  # no "tfevents" in it: TensorBoard must not read it


class Live:
    """An event file that grows with the run: rewritten from `rows_so_far`, then appended to.

    Each row is flushed at once. A process that is killed leaves at most one truncated record, at
    the end; the next `Live` replaces the file.
    """

    def __init__(
        self,
        folder: Path,
        rows_so_far: Iterable[Row],
        hyperparameters: Hyperparameters,
    ) -> None:
        self.file = _rewrite(folder, rows_so_far, hyperparameters)
        self._records = RecordWriter(self.file.open("ab"))

    def append(self, row: Row) -> None:
        """Writes a row through to the operating system."""
        self._records.write(_event(row).SerializeToString())
        self._records.flush()

    def close(self) -> None:
        """Closes the file. Everything appended has already been flushed."""
        self._records.close()


def layout() -> layout_pb2.Layout:
    """The custom-scalars page: one chart for each entry of `CHARTS`."""
    charts = [
        layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=[tags]))
        for title, tags in CHARTS.items()
    ]
    return layout_pb2.Layout(category=[layout_pb2.Category(title="toylab", chart=charts)])


def _rewrite(folder: Path, rows: Iterable[Row], hyperparameters: Hyperparameters) -> Path:
    """Writes a new event file under a temporary name, renames it, then removes older ones."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / PARTIAL
    try:
        with contextlib.closing(RecordWriter(partial.open("wb"))) as records:
            for event in _events(list(rows), hyperparameters):
                records.write(event.SerializeToString())
        older = [path for path in folder.glob("*tfevents*") if path.is_file()]
        # TensorBoard reads the files of a run in order of name and never goes back.
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
    """All events of a file: version, (re)start, hyper-parameters, layout and rows."""
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
