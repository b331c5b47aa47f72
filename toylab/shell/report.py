"""`./launch.sh report`: findings, figures and claims as one self-contained HTML file."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path as File

from toylab.lab import experiments
from toylab.lab.flags import Flags, UsageError, refuse
from toylab.shell import files
from toylab.shell.files import program, user_path
from toylab.world.derive import SHIPPED

HELP = """./launch.sh report [EXPERIMENT …] [--results=FOLDER] [--out=FILE]

Writes one self-contained HTML file: every claim with its verdict, every figure, every table.
Without names it covers all shipped experiments. It can also cover folders of your own.

"""


FIGURES = """./launch.sh figures [EXPERIMENT …] [--results=FOLDER]

Redraws figures from the tables beside them, without models or readings. Without names it also
draws answer.png, the whole answer in one figure, from the experiments whose claims are judged.

"""


def main(arguments: Sequence[str]) -> int:
    """Writes the report; returns 1 if the results of an experiment are damaged."""
    values = Flags(
        HELP,
        results=(str, None, "folder that holds the results (default results)"),
        out=(str, None, "the file (default report.html in that folder)"),
    )
    asked = values.parse(arguments, "...")
    folder = files.folder(values, "results")
    if not folder.is_dir():
        raise UsageError(f"--results: there is no folder {folder}; run an experiment first")
    out = user_path(values["out"]) if values["out"] else folder / "report.html"
    sources = [experiments.locate(name, user_path("")) for name in asked]
    if not asked:
        sources = [experiments.HOME / name for name in experiments.shipped()]
    places = {False: folder, True: folder / "own"}
    return write(out, {s: places[s.parent != experiments.HOME] / s.name for s in sources})


def write(out: File, folders: Mapping[File, File]) -> int:
    """Writes the report from each experiment's results; returns 1 if any of them are damaged."""
    from toylab.lab.store import write_atomic
    from toylab.shell import page

    text, damaged = page.write(folders)
    write_atomic(out, text.encode())
    print(f"the report is {out}")
    for line in damaged:
        print(f"toylab: {line}", file=sys.stderr)
    return int(bool(damaged))


def redraw(arguments: Sequence[str]) -> int:
    """Redraws figures from the tables in results; prints which tables are too old."""
    values = Flags(FIGURES, results=(str, None, "folder that holds the results (default results)"))
    asked = values.parse(arguments, "...")
    known = experiments.shipped()
    refuse("figures", asked, known)
    folder = files.folder(values, "results")
    found = [name for name in asked or known if (folder / name / "table.csv").exists()]
    if not found:
        raise UsageError(f"{folder}: has no table of an experiment; run one first")

    from toylab.lab.store import StoreError
    from toylab.report import results

    old, damaged = dict[str, str](), dict[str, str]()
    for name in found:
        try:
            results.redraw(experiments.HOME / name, folder / name)
        except results.OldTables as error:
            old[name] = str(error)
        except StoreError as error:
            damaged[name] = str(error)
    drawn = [name for name in found if name not in old | damaged]
    print(f"drawn from their tables: {', '.join(drawn) or 'none'}")
    for name, why in old.items():
        print(f"{why}; {program()} {name} writes it, and draws the figure")
    for why in damaged.values():
        print(f"toylab: {why}", file=sys.stderr)
    sound = [name for name in found if name not in damaged]
    if not asked and (within := results.answer(folder, sound)):
        print(f"{folder / 'answer.png'}: {', '.join(within)}")
    return int(bool(damaged))


def render_documents(arguments: Sequence[str]) -> int:
    """Updates the claims and corpus keys that the documents quote."""
    if arguments:
        raise UsageError(f"unexpected {arguments[0]!r}; render takes no flags")
    from toylab.report import render

    try:
        changed = render.write(SHIPPED)
    except (OSError, ValueError) as error:  # an installed toylab has no documents
        raise UsageError(str(error)) from None
    print("\n".join(changed) or "README, findings and corpus format are up to date")
    return 0
