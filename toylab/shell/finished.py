"""Finds runs by what users type: a name, as `./launch.sh runs` lists them, or a folder."""

import os
import time
from collections.abc import Sequence
from pathlib import Path as File

from toylab.lab import names
from toylab.lab.flags import Flags, UsageError, refuse
from toylab.shell.files import RUNS, folder, user_path
from toylab.world.schema import unknown

HELP = """./launch.sh runs [EXPERIMENT] [--runs=FOLDER]

Lists what has been run, the latest first; with an experiment, each of its runs by name.

"""
COMPARE = """./launch.sh compare RUN RUN [--runs=FOLDER]

Two runs side by side: settings that differ, the ladder, and the weights and answers
that differ most.

"""
FOLDER = (str, str(RUNS), "folder that holds the runs")  # the flag --runs


def find(name: str, root: File = RUNS) -> tuple[str, File]:
    """Name and folder of a finished run, found by its name, the name's first parts, or its folder.

    Without a name, the first run of the latest experiment. Raises `UsageError`.
    """
    if name and (user_path(name) / "config.json").exists():
        return name, user_path(name)
    known = {run.name: run for run in names.everything(root).values() if run.done}
    folders = sorted(str(f.parent.relative_to(root)) for f in root.glob("*/*/model.safetensors"))
    for each, run in known.items():
        if each == name or each.startswith(f"{name}/" if name else ""):
            return each, run.folders[-1]
    match = [each for each in folders if each.endswith(name)]
    if len(match) == 1:
        return match[0], root / match[0]
    if not known:
        raise UsageError(f"{root}/: has no finished run yet; begin with ./launch.sh")
    raise UsageError(f"{name}: no finished run; {unknown(name, known)} (./launch.sh runs)")


def compare(arguments: Sequence[str]) -> int:
    values = Flags(COMPARE, runs=FOLDER)
    asked, root = values.parse(arguments, "RUN", "another RUN"), folder(values)
    known = names.everything(root)
    first, second = (known.get(find(name, root)[0]) for name in asked)
    if not first or not second:
        name = asked[1] if first else asked[0]
        raise UsageError(f"{name}: no experiment has measured it; see ./launch.sh runs")

    from toylab.report import summary

    print("\n".join(summary.compared(first, second)))
    return 0


def show(arguments: Sequence[str]) -> int:
    values = Flags(HELP, runs=FOLDER)
    asked = values.parse(arguments, "...")
    root = folder(values)
    known = names.listed(root)
    refuse("runs", asked, known)
    if not known:
        print(f"nothing has been run in {root}/ yet; begin with ./launch.sh")
    for name in asked or known:
        listed = names.read(root, name)
        runs = [*listed.runs()]
        done = sum(run.done for run in runs)
        began = time.strftime("%d %b %H:%M", time.localtime(listed.began))
        where = os.path.relpath(listed.out, user_path(""))
        print(f"{name:24} {began}  {done} of {len(runs)} trained  {where}")
        for run in runs if asked else ():
            print(f"  {run.name:40} {'trained' if run.done else 'not yet'}")
    return 0
