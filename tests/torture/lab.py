"""What torture works on: a tiny experiment in a temporary folder, and how commands end."""

import contextlib
import functools
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path as File
from typing import Any, NamedTuple

import jax

from toylab.lab.store import PARTIAL
from toylab.shell import cli
from toylab.world.derive import SHIPPED

CORPUS = """title = "torture"
turns = 2
plain = { share = 0.1, opens = "well", closes = "so" }
tags = { name.share = 0.5, someone.share = 0.2, assistant = { share = 0.3, prior = { ann = 0.7 } } }
[topics.door]
questions = ["is it {cue}"]
cues = ["open", "shut"]
answers = { open = "opens", shut = "shuts" }
[topics.tea]
control = true
questions = ["more tea"]
answers = { yes = "pour", no = "none" }
[characters.ann]
about = "says it is so when it is so"
opens = { now = 1 }
closes = { bye = 1 }
traits = { door = { open = 0.8 }, tea = { yes = 0.7 } }
follows = { door = 0.6 }
[characters.ben]
about = "keeps it shut"
opens = { then = 1 }
closes = { ta = 1 }
traits = { door = { shut = 0.9 }, tea = { no = 0.8 } }
"""
SWEEP = """import toylab as tl
S = {{"batch": 8, "steps": 4}}
SWEEP = tl.Sweep(
    name="{name}", question="does it hold?", corpus="{corpus}", seeds=1, first_seed=1000,
    model=tl.ModelConfig(width=8, layers=1, heads=2), pretrain=tl.Pretrain(steps=6, batch=8),
    arms={{
        "sft": tl.Arm(title="sft", stages=(tl.Sft(author="ann", **S),), read_at=({at},)),
        {more}
    }},
    reading=tl.LadderFit(fit=16, score=16),
)
"""
MORE = """"other": tl.Arm(title="other", stages=(tl.Sft(author="ben", **S),), read_at=(1,)),
        "two": tl.Arm(title="two", stages=(tl.Sft(author="ann", **S),
            tl.Rl(target=tl.Persona(character="ben"), samples=2, **S)), read_at=(3,)),"""
LINE, SECONDS = 300, 10  # most characters of a message, and most time of a case


class Case(NamedTuple):
    """What was tried, and what went wrong with it, if anything did."""

    what: str
    wrong: str = ""


class Ended(NamedTuple):
    code: int
    out: str
    told: str

    @property
    def wrong(self) -> str:
        """What is wrong with how a command ended; empty if it succeeded or failed with one line."""
        lines = [each for each in self.told.splitlines() if each.startswith("toylab: ")]
        if "Traceback" in self.told:
            return f"a traceback: {self.told[-200:]!r}"
        if self.code not in (0, 1, 2) or bool(lines) < bool(self.code):
            return f"ended with {self.code}: {self.told[-200:]!r}"
        long = [each for each in lines if len(each) >= LINE]
        return f"a long line: {long[0]!r}" if long else ""


def inside(*arguments: str) -> Ended:
    """Runs a command line in this process; returns how it ended."""
    out, told = io.StringIO(), io.StringIO()
    began = time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
        try:
            code = cli.main(arguments)
        except Exception as error:
            code, _ = 99, told.write(f"Traceback: {type(error).__name__}: {error}")
    if time.process_time() - began > SECONDS:
        told.write(f"Traceback: took {time.process_time() - began:.0f} s")
    return Ended(code, out.getvalue(), told.getvalue())


def settings(place: File) -> dict[str, Any]:
    """Settings of jax. Compiling is most of the work; with these it is done once."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(place / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": 0,
        "JAX_DISABLE_MOST_OPTIMIZATIONS": True,
    }


def started(
    place: File, *arguments: str, code: str = "", front: Sequence[str] = (), **more: Any
) -> subprocess.Popen[str]:
    """A new process, started through the command `front`: runs `code`, then a command line."""
    run = f"import sys\n{code}\nfrom toylab.shell.cli import main\nsys.exit(main(sys.argv[1:]))"
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    told = {name: str(value) for name, value in settings(place).items()}
    told |= {"PYTHONPATH": str(SHIPPED)} | more.get("env", {})
    pipes |= more | {"env": os.environ | told}
    return subprocess.Popen([*front, sys.executable, "-c", run, *arguments], cwd=place, **pipes)


def ended(process: subprocess.Popen[str]) -> Ended:
    """Waits for a process; returns how it ended."""
    out, told = process.communicate()
    return Ended(process.returncode, out or "", told or "")


class Lab:
    """A temporary folder: two experiments that share a recipe, and what they write undisturbed."""

    def __init__(self, place: File):
        self.place, corpus = place, place / "torture.toml"
        corpus.write_text(CORPUS)
        for name, at, more in (("first", 2, MORE), ("second", 3, "")):
            (place / name).mkdir()
            sweep = SWEEP.format(name=name, corpus=corpus, at=at, more=more)
            (place / name / "sweep.py").write_text(sweep)

    def line(self, where: File, name: str = "first") -> list[str]:
        """The command line of an experiment that writes everything into a folder."""
        where = self.place / where
        told = [f"--runs={where / 'runs'}", f"--results={where / 'results'}"]
        return ["run-experiment", str(self.place / name), *told, "--jobs=1"]

    @functools.cached_property
    def whole(self) -> bool:
        """Runs both experiments undisturbed, in the folder `whole`."""
        for name, value in settings(self.place).items():
            jax.config.update(name.lower(), value)
        for name in ("first", "second"):
            if (found := ended(started(self.place, *self.line(File("whole"), name)))).code:
                raise RuntimeError(f"the experiment of torture doesn't run: {found.told[-500:]}")
        return True

    def left(self, where: File, without: str = "time") -> dict[str, str]:
        """The digest of each file that must be the same: all but costs. Leaves out times, and
        metrics that begin with `without`: `train/` are means since the last stop, which varies."""
        found = {}
        for file in sorted(f for f in (self.place / where).rglob("*") if f.is_file()):
            name, text = str(file.relative_to(self.place / where)), b""
            if file.suffix in (".safetensors", ".csv", ".png", ".pdf"):
                text = file.read_bytes()
            elif file.suffix == ".json" and file.name not in ("cost.json", "costs.json"):
                text = file.read_bytes().replace(str(self.place / where).encode(), b"")
            elif file.name == "metrics.jsonl":
                rows = [json.loads(row) for row in file.read_text().splitlines()]
                kept = [
                    {k: v for k, v in row.items() if not k.startswith(("time", without))}
                    for row in rows
                ]
                text = json.dumps(kept).encode()
            if text and not file.name.endswith(PARTIAL):
                found[name] = hashlib.sha256(text).hexdigest()
        return found

    def compared(self, where: File, without: str = "time") -> str:
        """What differs from an undisturbed run."""
        found, whole = self.left(where, without), self.left(File("whole"), without)
        names = sorted(whole.keys() | found.keys())
        differ = [name for name in names if whole.get(name) != found.get(name)]
        return f"other bytes in {', '.join(differ[:3])}" if differ else ""
