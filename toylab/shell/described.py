"""Experiments by name. `--help`, typos and `list` don't import the experiment.

An experiment's flags are the fields of its configs, whose modules import jax. This takes a second,
so descriptions are cached beside Python's compiled files. A description is valid until a .py or
.toml file changes in any folder from which the experiment imports.
"""

import contextlib
import functools
import hashlib
import json
import os
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from importlib.util import cache_from_source
from pathlib import Path as File
from typing import Any, NamedTuple

from toylab.lab import experiments
from toylab.lab.flags import Flags, Help, switch
from toylab.shell.files import RESULTS, user_path

_BEGAN = time.time()
USAGE = """./launch.sh run-experiment PATH [FLAGS], or ./launch.sh PATH [FLAGS]

PATH is a folder with a sweep.py, anywhere, or the name of a shipped experiment.
"""


class Description(NamedTuple):
    """An experiment's question, whether `all` skips it without `--long`, and its flags.

    `flags` has the arguments of `Flags.again`, without and with --quick.
    """

    question: str
    long: bool
    flags: tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]


def main(arguments: Sequence[str], commands: Sequence[str] = ()) -> int:
    """Runs an experiment, by folder or name. For a mistyped name, `commands` are suggested, too.

    Raises `UsageError` or `CorpusError` on bad input, `Help` for --help.
    """
    name, *rest = arguments or ["--help"]
    if name == "--help":
        raise Help(USAGE)
    folder = experiments.locate(name, user_path(""), commands)
    usage, flags = describe(folder).flags[switch(rest, "quick")[0]]
    Flags.again(usage, flags).parse(rest)

    from toylab.report import results
    from toylab.shell import experiment

    return experiment.start([results.find(folder)], rest)[1]


def show(arguments: Sequence[str]) -> int:
    """`./launch.sh list`: the experiments, one line each."""
    Flags("./launch.sh list: the experiments, one line each\n").parse(arguments)
    for name in experiments.shipped():
        found, cost = describe(experiments.HOME / name), experiments.cost(RESULTS / name)
        only = "; in `all` only with --long" if found.long else ""
        print(f"{name:16} {found.question}  ({cost}{only})")
    return 0


def describe(folder: File) -> Description:
    return Description(*kept(folder / "sweep.py", lambda: _describe(folder)))


def kept(source: File, make: Callable[[], Any]) -> Any:
    """What `make` returns, as JSON; from the cache beside `source`, if that is valid.

    It is not cached if a source has changed since this process began.
    """
    file = File(cache_from_source(str(source))).with_suffix(".json")
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        digests, content = json.loads(file.read_bytes())
        if all(_digest(each) == digest for each, digest in digests.items()):
            return content
    found = make()
    if not sys.dont_write_bytecode:
        with contextlib.suppress(OSError):  # where writing isn't allowed
            _keep(file, found)
    return found


def _describe(folder: File) -> Description:
    from toylab.lab.sweep import quick
    from toylab.shell import experiment

    sweep = experiments.sweep_of(folder)
    asked = [experiment.flags(each) for each in (sweep, quick(sweep))]
    plain, short = ((each.usage, each.described) for each in asked)
    return Description(sweep.question, sweep.long, (plain, short))


def _keep(file: File, found: Any) -> None:
    from toylab.lab.store import write_atomic

    modules = _modules()
    folders = {os.path.dirname(each) for each in modules}
    sources = {*modules, *(str(each) for folder in folders for each in _sources(folder))}
    if max(os.stat(each).st_ctime for each in sources) < _BEGAN:
        content = [{each: _digest(each) for each in folders}, found]
        write_atomic(file, json.dumps(content).encode())


def _modules() -> set[str]:
    """The files of all imported modules, except Python's own and those that pip installed."""
    paths = sysconfig.get_paths()
    others = tuple(paths[name] + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    own = os.path.dirname(os.path.dirname(__file__)) + os.sep
    files = {str(getattr(each, "__file__", None) or own) for each in [*sys.modules.values()]}
    return {file for file in files if file.startswith(own) or not file.startswith(others)} - {own}


def _sources(folder: str) -> list[File]:
    return sorted(each for each in File(folder).iterdir() if each.suffix in (".py", ".toml"))


@functools.cache
def _digest(folder: str) -> str:
    """A hash of the names and contents of the sources in a folder."""
    hashed = hashlib.sha256()
    for file in _sources(folder):
        content = file.read_bytes()
        hashed.update(f"{file.name} {len(content)} ".encode() + content)
    return hashed.hexdigest()
