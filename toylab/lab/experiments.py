"""Experiments: folders with a `sweep.py`, anywhere on disk.

A folder is imported as a package of its name. So its `sweep.py` and `analysis.py` can import a
custom stage by `from NAME.stage import Mine` or by `from stage import Mine`.
"""

import importlib
import json
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from toylab.lab.flags import UsageError
from toylab.world.derive import SHIPPED
from toylab.world.schema import unknown

if TYPE_CHECKING:
    from toylab.lab.sweep import Sweep

DEEP = (OverflowError, RecursionError)  # huge numbers and deep nesting in JSON
HOME = SHIPPED / "experiments"


def shipped() -> list[str]:
    """The names of the experiments that come with toylab."""
    return sorted(file.parent.name for file in HOME.glob("*/sweep.py"))


def locate(name: str | File, here: File = File(), others: Iterable[str] = ()) -> File:
    """The folder that a user means: a path from `here`, or the name of a shipped experiment.

    Raises `UsageError`, which suggests the most similar name among the folders beside the path and,
    if `name` has no slash, among the shipped experiments and `others`.
    """
    own = (here / name).resolve()
    if (own / "sweep.py").is_file():
        return own
    if str(name) in shipped():
        return HOME / name
    beside = [str(File(name).parent / f.parent.name) for f in own.parent.glob("*/sweep.py")]
    known = beside if "/" in str(name) else (*shipped(), *others, *beside)
    if own.is_dir() or not known:
        raise UsageError(f"{name}: not a folder with a sweep.py, which an experiment needs")
    raise UsageError(unknown(str(name), known))


def cost(folder: File) -> str:
    """Minutes on one core for a whole experiment, as text, extrapolated from `cost.json`."""
    known = cost_of(folder)
    if not known:
        return "not measured yet"
    seconds, units, whole = known
    return f"{seconds * whole / units / 60:.0f} min on one core"


def cost_of(folder: File) -> tuple[float, float, float] | None:
    """Core seconds, units of work done in them, and units of the whole experiment.

    None if `cost.json` is missing or damaged.
    """
    try:
        found = json.loads((folder / "cost.json").read_bytes())
        units = float(found["units"])
        known = float(found["seconds"]), units, float(found.get("whole", units))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, *DEEP):
        return None
    return known if all(0 < each < float("inf") for each in known) else None


def sweep_of(folder: File) -> "Sweep":
    """The sweep of an experiment. Raises `UsageError` if there is none, or if it is misnamed."""
    from toylab.lab.sweep import Sweep

    sweep = getattr(module(folder, "sweep"), "SWEEP", None)
    if not isinstance(sweep, Sweep):
        raise UsageError(f"{folder / 'sweep.py'}: defines no SWEEP, a toylab.Sweep")
    if sweep.name != folder.name:
        raise UsageError(
            f"{folder / 'sweep.py'}: SWEEP.name is {sweep.name!r}; "
            f"name it {folder.name!r}, as its folder"
        )
    return sweep


def module(folder: File, name: str) -> Any:
    """A module of an experiment. Raises `UsageError` with file and line if it can't be imported."""
    root = folder.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    for place in (SHIPPED, folder, root):
        if str(place) not in sys.path:
            sys.path.append(str(place))  # last: a random.py in it must not hide Python's
    file, full = folder / f"{name}.py", ".".join((*folder.relative_to(root).parts, name))
    taken = UsageError(f"{folder}: another module is called {folder.name!r}; rename the folder")
    try:
        found = importlib.import_module(full)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == full:
            raise taken from None
        raise UsageError(f"{line_of(error, folder) or file}: {told(error)}") from None
    if File(str(found.__file__)).resolve() != file.resolve():
        raise taken
    return found


def line_of(error: Exception, folder: File) -> str:
    """The last FILE:LINE of an error's traceback in an experiment's folder; else empty."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f"{each.filename}:{each.lineno}" for each in frames if str(folder) in each.filename]
    return own[-1] if own else ""


def told(error: Exception) -> str:
    """An error's type and message in one line."""
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return " ".join([f"{type(error).__name__}:", *said.split()])
