"""TensorBoard event files, derived from rows.

A row has "step", perhaps "time" (seconds since 1970), and values by tag: numbers, text, or bytes (a
PNG). Files are never changed: all rows so far go into a new file, whose name sorts last. It begins
with a session restart, so a running TensorBoard drops older points. Older files stay, since
TensorBoard would wait for a removed one.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog, SourceMetadata
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalar
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.image import metadata as image
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

Row = Mapping[str, float | int | str | bytes]
Settings = Mapping[str, str | float | int | bool]
KEYS = ("step", "time")  # keys of a row that are not values
BAND = "band/{}/{}"  # tags of a band's two ends: low, high
NAME = "events.out.tfevents.{}.toylab"
PARTIAL = ".events.partial"  # no "tfevents" in it: TensorBoard must not read it


def write(
    folder: Path, rows: Sequence[Row], *more: Summary, settings: Settings | None = None
) -> None:
    """Atomically writes a new event file with all rows of a run so far.

    `settings` go into TensorBoard's table of hyper-parameters; `more` comes before the rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / PARTIAL
    try:
        with contextlib.closing(RecordWriter(partial.open("wb"))) as records:
            for event in _events(rows, more, settings):
                records.write(event.SerializeToString())
        older = [int(path.suffixes[-2][1:]) for path in folder.glob(NAME.format("*"))]
        number = max([int(time.time()), *(each + 1 for each in older)])
        os.replace(partial, folder / NAME.format(f"{number:010d}"))
    finally:
        partial.unlink(missing_ok=True)


def charts(shown: Mapping[str, Mapping[str, Sequence[str]]]) -> Summary:
    """The page of custom scalars: tags with their bands, by category and title of the chart."""

    def chart(title: str, tags: Sequence[str]) -> layout_pb2.Chart:
        kind = layout_pb2.MarginChartContent
        series = [
            kind.Series(value=tag, lower=BAND.format(tag, "low"), upper=BAND.format(tag, "high"))
            for tag in tags
        ]
        return layout_pb2.Chart(title=title, margin=kind(series=series))

    layout = layout_pb2.Layout(
        category=[
            layout_pb2.Category(title=name, chart=[chart(*each) for each in part.items()])
            for name, part in shown.items()
        ]
    )
    value = Summary.Value(
        tag=custom_scalar.CONFIG_SUMMARY_TAG,
        metadata=custom_scalar.create_summary_metadata(),
        tensor=make_tensor_proto(layout.SerializeToString(), dtype=np.object_),
    )
    return Summary(value=[value])


def _events(
    rows: Sequence[Row], more: Sequence[Summary], settings: Settings | None
) -> Iterator[Event]:
    start = min((float(row["time"]) for row in rows if "time" in row), default=time.time())
    first = min((int(row["step"]) for row in rows), default=0)
    source = SourceMetadata(writer=__name__)
    yield Event(wall_time=start, file_version="brain.Event:2", source_metadata=source)
    yield Event(wall_time=start, step=first, session_log=SessionLog(status=SessionLog.START))
    if settings:
        more = [hparams_pb(dict(settings), start_time_secs=start), *more]
    for summary in more:
        yield Event(wall_time=start, step=first, summary=summary)
    for row in rows:
        yield Event(
            wall_time=float(row.get("time", start)), step=int(row["step"]), summary=_summary(row)
        )


def _summary(row: Row) -> Summary:
    """A row's values. Scalars become float32, as everywhere in TensorBoard."""
    summary = Summary()
    for tag, value in row.items():
        if tag in KEYS:
            continue
        if isinstance(value, str):
            summary.MergeFrom(text_pb(tag, value))
        elif isinstance(value, bytes):
            told: Any = image.create_summary_metadata(display_name=None, description=None)
            size = [value[place : place + 4] for place in (16, 20)]  # in the header of a PNG
            content = [str(int.from_bytes(each)).encode() for each in size] + [value]
            tensor = make_tensor_proto(np.array(content, np.object_))
            summary.value.add(tag=tag, metadata=told, tensor=tensor)
        else:
            summary.value.add(tag=tag, simple_value=value)
    return summary
