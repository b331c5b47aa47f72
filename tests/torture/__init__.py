"""`./launch.sh torture`: kills, damaged files, races, and nonsense as corpora and flags.

It works in a temporary folder, on an experiment that takes seconds, and touches no other file.
The cases of a part are numbered; a case depends only on its number.
"""

import collections
import math
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path as File

from tests.torture import fuzz
from tests.torture.disturb import damages, kills, places, races
from tests.torture.lab import CORPUS, LINE, SECONDS, Case, Lab, inside
from toylab.lab.flags import Flags, UsageError
from toylab.shell import described
from toylab.world import tables
from toylab.world.derive import CORPORA, load
from toylab.world.schema import CorpusError, unknown

USAGE = """./launch.sh torture [FLAGS]: tries to break toylab, and counts what held

"""
BYTES = 2e9  # of memory that fuzz may use


def corpora(lab: Lab, number: int) -> Iterator[Case]:
    """A corpus file with a few pieces changed must load, or be refused in one line."""
    draw = random.Random(f"corpus {number}")
    known = sorted(CORPORA.glob("*.toml"))
    home = lab.place / "corpora"
    if not home.exists():
        home.mkdir()
        for each in known:
            shutil.copy(each, home)
    text = draw.choice((CORPUS, CORPUS, draw.choice(known).read_text("utf-8")))
    file = home / "mutant.toml"
    file.write_bytes(fuzz.corpus(text, draw))
    began, wrong = time.process_time(), ""
    try:
        corpus = load(file)
        if number % 25 == 0:
            built = tables.build(corpus)
            if not math.isfinite(float(built.cast.prefix_logp.max())):
                wrong = "its tables are not finite"
        what = "corpora that load"
    except CorpusError as error:
        said, what = f"toylab: {error}", "corpora that are refused"
        wrong = "" if len(said) < LINE and said.isprintable() else f"a long line: {said!r}"
    except Exception as error:
        what, wrong = "corpora that are refused", f"{type(error).__name__}: {str(error)[:200]}"
    if time.process_time() - began > SECONDS:
        wrong = f"took {time.process_time() - began:.0f} s"
    yield Case(what, wrong)


def flags(lab: Lab, number: int) -> Iterator[Case]:
    """A command line with strange flags must work or be refused in one line. It trains nothing."""
    draw = random.Random(f"flags {number}")
    name = draw.choice(
        (str(lab.place / "first"), "selection", "corpus", "run", "report", "measure")
    )
    if name == "corpus":
        known = [("n", "int"), ("seed", "int"), ("tag", "str")]
        line = [
            "corpus",
            draw.choice(("show", "show", "chekc", "")),
            str(lab.place / "torture.toml"),
        ]
    elif name in ("report", "measure"):
        known, line = [("results", "str"), ("runs", "str")], [name, "nowhere"]
    elif name == "run":
        known = [("stages", "str"), ("corpus", "str"), ("seeds", "int"), ("sft.steps", "int")]
        stages = draw.choice(
            ("sft:ann", "rl:door", "rl:door=open", "sft:ann:tea", "sft", "x:", ",")
        )
        line = ["run", f"--corpus={lab.place / 'torture.toml'}", f"--stages=pretrain,{stages}"]
    else:
        folder = described.experiments.locate(name)
        kinds = described.describe(folder).flags[0][1]
        skip = ("help", "help-all", "plan", "quick", "cluster", "runs", "results", "jobs")
        known = [(flag, told[0]) for flag, told in kinds.items() if flag not in skip]
        line = [name]
    line += fuzz.flags(known, draw)
    if name not in ("corpus", "report", "measure"):
        line += ["--plan", f"--runs={lab.place / 'none'}"]
    found = inside(*line)
    kind = "lines that hold" if found.code == 0 else "lines that are refused"
    yield Case(kind, found.wrong and f"{found.wrong} of {' '.join(line)[:300]!r}")


Part = Callable[[Lab, int], Iterator[Case]]
PARTS: dict[str, tuple[Part, float, int]] = {  # share of the time, limit on cases in 2 minutes
    "corpora": (corpora, 0.15, 1000),
    "flags": (flags, 0.2, 1000),
    "damages": (damages, 0.2, 150),
    "places": (places, 0.15, 20),
    "kills": (kills, 0.2, 1000),
    "races": (races, 0.1, 1000),
}


def main(arguments: Sequence[str]) -> int:
    """Tries everything for some minutes; returns 1 if anything broke."""
    values = Flags(
        USAGE,
        minutes=(float, 2.0, "about how long it runs"),
        only=(str, "", f"one of {', '.join(PARTS)}"),
    )
    values.define("case", int, 0, "number of the first case", (0, 10**9))
    values.define("cases", int, None, "most cases of each part", (1, 10**9))
    values.parse(arguments)
    only, first, most = values["only"], values["case"], values["cases"]
    if only and only not in PARTS:
        raise UsageError(f"--only: {unknown(only, PARTS)}")
    parts = {name: part for name, part in PARTS.items() if only in ("", name)}
    counts, broken = collections.Counter[str](), list[str]()
    before = _peak()  # what this process used before doesn't count
    end, shares = time.monotonic(), sum(share for _, share, _ in parts.values())
    try:
        with tempfile.TemporaryDirectory(prefix="toylab-torture-") as place:
            lab = Lab(File(place))
            for name, (part, share, usual) in parts.items():
                end += 60 * values["minutes"] * share / shares
                limit = most or max(1, round(usual * values["minutes"] / 2))
                for number in range(first, first + limit):
                    for what, wrong in part(lab, number):
                        counts[what] += 1
                        if wrong:
                            counts[f"{what}: BROKEN"] += 1
                            broken.append(f"--only={name} --case={number} --cases=1: {wrong}")
                            print(f"toylab: torture: {broken[-1]}", file=sys.stderr)
                    if time.monotonic() > end:
                        break
    finally:
        print("\n".join(f"{count:7}  {what}" for what, count in counts.items()), flush=True)
    grown = _peak() - before
    if grown > BYTES:
        print(f"toylab: torture: took {grown / 1e9:.1f} GB of memory", file=sys.stderr)
    return int(bool(broken) or grown > BYTES)


def _peak() -> int:
    """The most memory that this process has had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
