"""`./launch.sh report`: findings, figures and claims as one self-contained HTML file."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path as File

from toylab.lab import experiments
from toylab.lab.flags import Flags, UsageError
from toylab.shell.files import RESULTS, user_path
from toylab.world.derive import SHIPPED

HELP = """./launch.sh report [--results=FOLDER] [--out=FILE]

Writes one self-contained HTML file: every claim with its verdict, every figure, every table.
"""


def main(arguments: Sequence[str]) -> int:
    """Writes the report; returns 1 if the results of an experiment are damaged."""
    values = Flags(
        HELP,
        results=(str, None, "folder of the results (results)"),
        out=(str, None, "the file (report.html in that folder)"),
    )
    values.parse(arguments)
    folder = user_path(values["results"]) if values["results"] else RESULTS
    if not folder.is_dir():
        raise UsageError(f"--results: there is no folder {folder}; run an experiment first")
    out = user_path(values["out"]) if values["out"] else folder / "report.html"
    return write(out, {name: folder / name for name in experiments.shipped()})


def write(out: File, folders: Mapping[str, File]) -> int:
    """Writes the report of these experiments' folders; returns 1 if one is damaged."""
    from toylab.lab.store import write_atomic
    from toylab.shell import page

    text, damaged = page.write(folders)
    write_atomic(out, text.encode())
    print(f"the report is {out}")
    for line in damaged:
        print(f"toylab: {line}", file=sys.stderr)
    return int(bool(damaged))


def render_documents(arguments: Sequence[str]) -> int:
    """Writes the shipped claims, and the keys of a corpus, into the documents that quote them."""
    if arguments:
        raise UsageError(f"unexpected {arguments[0]!r}; render takes no flags")
    from toylab.report import render

    try:
        changed = render.write(SHIPPED)
    except (OSError, ValueError) as error:  # an installed toylab has no documents
        raise UsageError(str(error)) from None
    print("\n".join(changed) or "README, findings and corpus format are up to date")
    return 0
