"""Runs an analysis before training, to find readings that it needs but no measure makes."""

import contextlib
import io
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn

from toylab.lab.readings import due
from toylab.lab.records import Record, Records
from toylab.lab.sweep import Sweep
from toylab.stages import Setup


class Unread(KeyError):
    """An analysis asks for what the sweep doesn't read."""

    def __str__(self) -> str:
        return str(self.args[0])


class _Enough(Exception):
    """A rehearsal can't go on from here."""


class _Number(float):
    """Stands for anything that a measure will read."""

    def __getitem__(self, _: Any) -> "_Number":
        return self

    def __contains__(self, _: Any) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:  # or iterating would never end
        return iter(())


class _Row(dict[str, Any]):
    def __missing__(self, name: str) -> NoReturn:
        where = f"{self['arm']!r} at step {self['step']}"
        there = ", ".join(sorted({*self} - {"arm", "seed", "step"}))
        raise Unread(f"{name!r} is not read from {where}; read there: {there}")


class _Rehearsed(Record):
    def predicted(self, *_: Any, **__: Any) -> NoReturn:
        raise _Enough


class _Rehearsal(Records):
    def once(self, *_: Any) -> NoReturn:
        raise _Enough

    def each(self) -> Iterable[Record]:
        for record in super().each():
            yield _Rehearsed(*record)

    def table(self, columns: Any, read: Callable[[Record], Any], **_: Any) -> NoReturn:
        for record in self.each():
            try:
                read(record)
            except Unread:
                raise
            except Exception:  # it needs more than a stand-in number
                continue
        raise _Enough


def rehearse(sweep: Sweep, setups: Mapping[str, Setup], analyse: Callable[[Records], Any]) -> None:
    """Runs an analysis with NaN for every number that will be read.

    Raises `Unread` if it asks an arm, at some step, for what isn't read then. Other errors are
    ignored.
    """
    rows, bases, seed = list[dict[str, Any]](), {}, sweep.first_seed
    for arm, setup in setups.items():
        path, measures = sweep.path(setup, seed, arm), sweep.measures(arm)
        points = sweep.points(path, arm)
        for step in (0, *points) if path.parent else points:
            read = due(measures, step or path.last, path.last)
            row = {"arm": arm, "seed": seed, "step": step}
            rows.append(_Row(row | {each.name: _Number(math.nan) for each in read}))
        bases[arm, seed] = dict.fromkeys(("nuisances", "excess"), _Number(math.nan))
    records = _Rehearsal(sweep=sweep, setups=setups, rows=rows, bases=bases)
    with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
        try:
            analyse(records)
        except Unread:
            raise
        except Exception:
            return
