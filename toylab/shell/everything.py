"""`./launch.sh all`: every experiment, then the report."""

from collections.abc import Sequence

from toylab.lab import experiments
from toylab.lab.flags import Help, switch
from toylab.shell import report

HELP = """./launch.sh all [FLAGS]

Runs every experiment, sorted by corpus, and writes the report.
Flags, like --quick or --seeds=3, are passed on to each. Nothing is trained twice.
Results are written as soon as a seed of an experiment is complete.
  --long   also runs those that repeat others with other casts, seeds, or sizes of model and cast
  --plan   prints what would be trained and read, with minutes for each and in total
"""


def order(*, long: bool) -> list[str]:
    """The experiments: the default one first, those on the same corpus together.

    Those that are `long` come last, or are left out.
    """
    sweeps = {name: experiments.sweep_of(experiments.HOME / name) for name in experiments.shipped()}
    first = sweeps["selection"].corpus

    def place(name: str) -> tuple[bool, bool, str, bool, str]:
        sweep = sweeps[name]
        return (sweep.long, sweep.corpus != first, sweep.corpus, name != "selection", name)

    return sorted((name for name in sweeps if long or not sweeps[name].long), key=place)


def main(arguments: Sequence[str]) -> int:
    """Runs all experiments as one graph. If one fails, the others go on."""
    if switch(arguments, "help")[0]:
        raise Help(HELP)
    from toylab.report import results
    from toylab.shell import experiment

    long, passed = switch(arguments, "long")
    found = [results.find(experiments.HOME / name) for name in order(long=long)]
    asked, code = experiment.start(found, passed)
    if not asked:  # only planned
        return code
    out = {experiments.HOME / each.sweep.name: each.out for each in asked}
    own = [folder.parent for folder in out.values() if folder.parent.name == "own"]
    place = [*own, asked[0].out.parent][0]  # own/ if any of them goes there
    if place.is_dir():
        damaged = report.write(place / "report.html", dict(sorted(out.items())))
        code = code or damaged
    return code
