"""What is done to runs and results: damage, kills, races, and environments that lack something."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path as File
from typing import Any

from tests.torture.lab import Case, Lab, ended, inside, started
from toylab.lab.store import PARTIAL

DAMAGES: Mapping[str, Callable[[bytes, random.Random], bytes]] = {
    "empty": lambda old, _: b"",
    "cut": lambda old, draw: old[: draw.randrange(len(old) or 1)],
    "garbage": lambda _, draw: draw.randbytes(64),
    "null": lambda *_: b"null",
    "list": lambda *_: b"[]",
    "mapping": lambda *_: b"{}",
    "number": lambda *_: b"3\n",
    "nested": lambda *_: b'{"step": {"a": [null]}, "time": null}',
    "zeros": lambda old, _: bytes(len(old)),
}


def damages(lab: Lab, number: int) -> Iterator[Case]:
    """Damages a file. A command must repair it, or name it in a line; then deleting it must help.

    A file that no command needs may stay damaged.
    """
    draw, where = random.Random(f"damage {number}"), File("damaged")
    assert lab.whole
    if not (lab.place / where).exists():
        shutil.copytree(lab.place / "whole", lab.place / where)
        inside(*lab.line(where))
    files = [f for f in sorted((lab.place / where).rglob("*")) if f.is_file() and f.suffix]
    file, kind = draw.choice(files), draw.choice([*DAMAGES, "missing", "folder"])
    old = file.read_bytes()
    if kind in ("missing", "folder"):
        file.unlink()
        if kind == "folder":
            file.mkdir()
    else:
        file.write_bytes(DAMAGES[kind](old, draw))
    damaged, (part, *_) = _bytes(file), file.relative_to(lab.place / where).parts
    lost = draw.random() < 0.5 and part == "runs"  # delete its readings, so it is read again
    if lost:
        for each in (lab.place / where / "runs").glob("*/*/readings/*.json"):
            each.unlink()
    asked = "report" if part == "results" else "runs"
    wrong = inside(asked, f"--{part}={lab.place / where / part}").wrong
    codes = 0
    for name in ("first", "second"):
        told = inside(*lab.line(where, name))
        codes += told.code
        if told.code and not (wrong := wrong or told.wrong):  # do as it says: delete, run again
            _delete(file)
            again = inside(*lab.line(where, name))
            wrong = again.told[-300:] if again.code else ""
    if part == "runs" and not codes and _bytes(file) == damaged:  # so nothing needed it
        _delete(file)
        file.write_bytes(old)
    if not wrong and file.suffix != ".jsonl":  # metrics: only training writes them
        wrong = lab.compared(where)
    if wrong or file.suffix == ".jsonl":
        shutil.rmtree(lab.place / where)
    place = str(file.relative_to(lab.place / where))
    yield Case("files damaged", wrong and f"{kind} {place} (read again: {lost}): {wrong}")


def _bytes(file: File) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def _delete(file: File) -> None:
    shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)


KILLED = """
import os, signal
left = {left}
def counted(function):
    def call(*arguments, **named):
        global left
        for moment in (0, 1):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            found = moment or function(*arguments, **named)
        return found
    return call
os.replace, os.fsync, os.unlink = counted(os.replace), counted(os.fsync), counted(os.unlink)
"""
HANDLED = (signal.SIGTERM, signal.SIGHUP)


def kills(lab: Lab, number: int) -> Iterator[Case]:
    """Runs two experiments to their end, killing them at writes or at random moments."""
    draw, where = random.Random(f"kill {number}"), File(f"killed {number}")
    assert lab.whole
    for name in ("first", "second"):
        for attempt in range(1, 100):
            at_write, jobs = draw.random() < 0.7, draw.choice((1, 1, 2))
            line = [*lab.line(where, name)[:-1], f"--jobs={jobs}"]
            code = KILLED.format(left=draw.randrange(1, 8 * attempt)) if at_write else ""
            process = started(lab.place, *line, code=code)
            if not at_write:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(draw.uniform(1, 4 * attempt))
                how = draw.choice((signal.SIGKILL, signal.SIGKILL, *HANDLED))
                process.send_signal(how)
            found = ended(process)
            if found.code == 0:
                break
            # -n: killed by the signal while Python starts or ends. In between it exits with 128 + n
            stopped = {-signal.SIGKILL, *(s for n in HANDLED for s in (-n, 128 + n))}
            fine = found.code in stopped or "was killed" in found.told
            wrong = "" if fine and "Traceback" not in found.told else found.told[-300:]
            yield Case("kills", wrong and f"ended with {found.code}: {wrong}")
    for file in (lab.place / where).rglob(f"*{PARTIAL}"):
        os.utime(file, (0, 0))
    last = ended(started(lab.place, *lab.line(where)))
    wrong = last.told[-300:] if last.code else lab.compared(where)
    if not wrong and [*(lab.place / where).rglob(f"*{PARTIAL}")]:
        wrong = "a temporary file stays"
    yield Case("the same bytes after kills", wrong)
    shutil.rmtree(lab.place / where)


def races(lab: Lab, number: int) -> Iterator[Case]:
    """Several processes run experiments at once; one is killed. Then two export into one file."""
    draw, where = random.Random(f"race {number}"), File(f"raced {number}")
    assert lab.whole
    names = ("first", "second", draw.choice(("first", "second")))
    several = [started(lab.place, *lab.line(where, name)) for name in names]
    time.sleep(draw.uniform(1, 8))
    several[-1].kill()
    found = [ended(each) for each in several][:-1]
    wrong = "".join(each.told[-300:] for each in found if each.code) or lab.compared(
        where, "train/"
    )
    yield Case("processes at once", wrong)
    shutil.rmtree(lab.place / where)
    out = lab.place / f"exported {number}"
    line = ["corpus", "export", str(lab.place / "torture.toml"), "--n=300", f"--out={out}"]
    exports = [ended(started(lab.place, *line, f"--seed={seed}")) for seed in (1, 2)]
    both = [started(lab.place, *line, f"--seed={seed}") for seed in (1, 2)]
    exports += [ended(each) for each in both]
    wrong = "".join(each.told[-300:] for each in exports if each.code)
    whole = len(out.read_text().splitlines()) == 300 if not wrong else True
    yield Case("exports into one file", wrong or ("" if whole else "lines are missing"))


HEAD = "| head -1"
Place = tuple[str, Sequence[str], dict[str, Any], tuple[int, ...]]
POWERLESS = ("setpriv", "--inh-caps=-dac_override", "--bounding-set=-dac_override")


def _read_only(lab: Lab) -> list[Place]:
    """Commands on finished runs in folders without write permission."""
    shared, out = lab.place / "shared", lab.place / "others"
    if not shared.exists():
        shutil.copytree(lab.place / "whole", shared)
    for folder in (shared, *shared.rglob("*")):
        folder.chmod(0o555)
    how: dict[str, Any] = {} if os.geteuid() else {"front": POWERLESS}
    if how and not shutil.which(POWERLESS[0]):
        return []
    finished = str(next((shared / "runs").glob("*/pretrain-sft-ann*fresh-seed*")))
    runs = [*lab.line(File("shared")), f"--results={out}"]
    report = ["report", f"--results={shared / 'results'}", f"--out={out / 'x.html'}"]
    sizes = ["--fit=16", "--held_out=16", "--score=16"]
    return [
        ("read only", runs, how, (0,)),
        ("read only, reported", report, how, (0,)),
        ("read only, to be trained", [*runs, "--sft.steps=3"], how, (1,)),
        ("read only, measured", ["measure", finished, *sizes], how, (0,)),
        ("results read only", lab.line(File("shared")), how, (1,)),
    ]


def places(lab: Lab, number: int) -> Iterator[Case]:
    """A command whose environment, streams or folders have a defect."""
    assert lab.whole
    where, file = File("whole"), lab.place / "a file"
    file.write_text("")
    if not (lab.place / "dangling").is_symlink():
        (lab.place / "dangling").symlink_to("nowhere")
    line, show = lab.line(where), ["corpus", "show", str(lab.place / "torture.toml")]
    full = open("/dev/full", "w") if File("/dev/full").exists() else None  # noqa: SIM115
    cases: list[Place] = [
        ("MPLBACKEND", line, {"env": {"MPLBACKEND": "TkAgg"}}, (0,)),
        ("a notebook's MPLBACKEND", line, {"env": {"MPLBACKEND": "module://no.such"}}, (0,)),
        ("no such device", line, {"env": {"JAX_PLATFORMS": "cuda"}}, (2,)),
        ("no such platform", line, {"env": {"JAX_PLATFORMS": "xyzzy"}}, (2,)),
        (
            "ASCII",
            show,
            {"env": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}},
            (0,),
        ),
        (HEAD, ["corpus", "sample", show[-1], "--n=3000"], {}, (0,)),
        ("a full disk for output", show, {"stdout": full}, (int(bool(full)),)),
        ("runs in a file", [*line, f"--runs={file}"], {}, (1, 2)),
        ("runs behind a file", [*line, f"--runs={file / 'x'}"], {}, (1, 2)),
        (
            "runs behind a link to nothing",
            [*line, f"--runs={lab.place / 'dangling' / 'x'}"],
            {},
            (0, 1),
        ),
        ("results in a file", [*line, f"--results={file}"], {}, (1, 2)),
        ("no corpus", [*line, f"--corpus={file / 'x'}"], {}, (2,)),
        ("a folder as corpus", [*line, f"--corpus={lab.place}"], {}, (2,)),
        ("a report of a file", ["report", f"--results={file}"], {}, (2,)),
    ]
    cases += _read_only(lab)
    what, asked, more, codes = cases[number % len(cases)]
    if what == HEAD:
        more["stdout"] = subprocess.PIPE
    process = started(lab.place, *asked, **more)
    if what == HEAD and process.stdout:
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None
    found = ended(process)
    wrong = found.wrong or (found.told[-200:] if found.code not in codes else "")
    yield Case("environments", wrong and f"{what}: ended with {found.code}: {wrong}")
    for each in (lab.place / "shared").rglob("*"):
        each.chmod(0o755)  # or it can't be removed
