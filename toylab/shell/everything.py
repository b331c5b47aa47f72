"""`./launch.sh all`: every experiment in turn, then the report."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from toylab.lab import experiments
from toylab.lab.flags import Help
from toylab.shell import report
from toylab.shell.files import INTERRUPTED, RESULTS, RUNS, user_path

if TYPE_CHECKING:
    from toylab.lab.sweep import Sweep

HELP = """./launch.sh all [FLAGS]

Runs every experiment, those that share a corpus one after the other, and writes the report.
Flags, like --quick or --seeds=3, are passed on to each. What has been trained is not trained again.
  --long   also those that ask again: of other casts, other seeds, other sizes of model and cast
  --plan   says what would be trained and read, and minutes, for each and in all
"""


def order(*, long: bool) -> list[str]:
    """The experiments, those on the same corpus together, the default one first.

    Experiments that are `long` come last, or are left out.
    """
    names = experiments.shipped()
    sweeps = {name: _sweep(name) for name in names}
    first = sweeps["selection"].corpus

    def place(name: str) -> tuple[bool, bool, str, bool, str]:
        sweep = sweeps[name]
        return (sweep.long, sweep.corpus != first, sweep.corpus, name != "selection", name)

    return sorted((name for name in names if long or not sweeps[name].long), key=place)


def _sweep(name: str) -> "Sweep":
    return experiments.sweep_of(experiments.HOME / name)


def main(arguments: Sequence[str]) -> int:
    """Goes on when an experiment fails; stops when interrupted."""
    if "--help" in arguments:
        raise Help(HELP)
    names = order(long="--long" in arguments)
    passed = [argument for argument in arguments if argument != "--long"]
    if "--plan" in passed:
        return _plan(names)
    ended: dict[str, int] = {}
    folder = RUNS / "quick" if "--quick" in passed else RESULTS
    for given in passed:
        if given.startswith("--results="):
            folder = user_path(given.partition("=")[2])
    for name in names:
        began = time.monotonic()
        print(f"\n==== {name}", flush=True)
        ended[name] = _run(name, passed)
        print(
            f"==== {name}: {_verdicts(folder / name)}; {time.monotonic() - began:.0f} s", flush=True
        )
        if ended[name] == INTERRUPTED:
            break
    if folder.is_dir():
        report.main([f"--results={folder.resolve()}"])
    failed = [name for name, code in ended.items() if code]
    if failed:
        print(f"toylab: not finished: {', '.join(failed)}", file=sys.stderr)
    return INTERRUPTED if INTERRUPTED in ended.values() else int(bool(failed))


def _run(name: str, arguments: Sequence[str]) -> int:
    """Runs one experiment in its own process, which gives back all its memory.

    Ctrl-C reaches both processes; SIGTERM is passed on to the child.
    """
    with subprocess.Popen([sys.executable, "-m", "toylab", name, *arguments]) as process:

        def stop(number: int, frame: Any) -> None:
            process.terminate()
            sys.exit(128 + number)

        before = signal.signal(signal.SIGTERM, stop)
        try:
            while True:
                try:
                    return process.wait()
                except KeyboardInterrupt:
                    pass  # the child got it, too, and is writing the results of the finished seeds
        finally:
            signal.signal(signal.SIGTERM, before)


def _verdicts(folder: File) -> str:
    from toylab.lab.store import load_json
    from toylab.shell.page import VERDICTS

    file = folder / "claims.json"
    if not file.exists():
        return "no claims"
    verdicts = [claim["verdict"] for claim in load_json(file)]
    return ", ".join(f"{verdicts.count(v)} {v}" for v in VERDICTS if v in verdicts)


def _plan(names: Sequence[str]) -> int:
    """Prints what each experiment would train and read that those before it have not."""
    from toylab.lab.plan import plan
    from toylab.report import results
    from toylab.shell.experiment import corpus

    seen: set[str] = set()
    total = 0.0
    for name in names:
        sweep = _sweep(name)
        legs = [
            leg
            for leg in plan(sweep, sweep.setups(corpus), RUNS)
            if not (leg.path.digest() in seen and not leg.cost)
        ]
        train = sum(leg.train for leg in legs if leg.path.digest() not in seen)
        units = train + sum(leg.cost for leg in legs)
        seen |= {leg.path.digest() for leg in legs}
        minutes = units * results.seconds_a_unit(RESULTS / name) / 60
        total += minutes
        print(f"{name:16} {sum(leg.train > 0 for leg in legs):4} to train  {minutes:6.1f} min")
    print(f"in all about {total:.0f} min")
    return 0
