"""Writes the numbers of claims into the documents that quote them.

A table row whose first cell ends with `<!--EXPERIMENT.CLAIM-->` gets its number and verdict from
`results/EXPERIMENT/claims.json`. Between `<!--counts-->` and `<!--/counts-->` goes the number of
claims, by verdict. `reference` does the same for the keys of a corpus file.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

from toylab.lab.store import load_json, write_atomic
from toylab.report import reference
from toylab.report.claims import REFUTED, SUPPORTED, UNDECIDED
from toylab.world.schema import unknown

DOCUMENTS = ("README.md", "docs/findings.md")
ROW = re.compile(r"(<!--(\w+)\.(\w+)--> \|)[^|\n]*\|[^|\n]*\|")
COUNTS = re.compile(r"(<!--counts-->)[^<]*(<!--/counts-->)")

Shipped = Mapping[str, Mapping[str, Mapping[str, Any]]]


def shipped(results: File) -> dict[str, dict[str, dict[str, Any]]]:
    """The claims in `results/`, by experiment and name."""
    return {
        file.parent.name: {claim["name"]: claim for claim in load_json(file)}
        for file in sorted(results.glob("*/claims.json"))
    }


def quoted(claim: Mapping[str, Any]) -> str:
    """A claim's mean, interval and threshold, as documents quote them."""
    side = f"claimed {'>' if claim['above'] else '<'} {claim['threshold']:g}"
    return f"{claim['value']:z.2f} [{claim['low']:z.2f}, {claim['high']:z.2f}], {side}"


def render(text: str, known: Shipped) -> str:
    """The document with current numbers. Raises `ValueError` for a claim that does not exist."""

    def row(found: re.Match[str]) -> str:
        place, experiment, name = found.groups()
        if experiment not in known:
            raise ValueError(f"{experiment}.{name}: {unknown(experiment, known)}")
        if name not in known[experiment]:
            raise ValueError(f"{experiment}.{name}: {unknown(name, known[experiment])}")
        claim = known[experiment][name]
        return f"{place} {quoted(claim)} | {claim['verdict']} |"

    verdicts = Counter(claim["verdict"] for claims in known.values() for claim in claims.values())
    counts = f"{verdicts.total()} claims, " + " and ".join(
        ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in some)
        for some in ((SUPPORTED, UNDECIDED), (REFUTED,))
    )
    return COUNTS.sub(rf"\g<1>{counts}\g<2>", ROW.sub(row, text))


def missing(text: str, known: Shipped) -> list[str]:
    """The claims that a document does not quote."""
    said = {(experiment, name) for _, experiment, name in ROW.findall(text)}
    every = {(experiment, name) for experiment, claims in known.items() for name in claims}
    return sorted(f"{experiment}.{name}" for experiment, name in every - said)


def write(root: File) -> list[str]:
    """Renders the documents of a checkout; returns those that changed. Raises `ValueError`."""
    known, changed = shipped(root / "results"), []
    for name in (*DOCUMENTS, reference.DOCUMENT):
        text = (root / name).read_text()
        now = reference.render(text) if name == reference.DOCUMENT else render(text, known)
        if now != text:
            write_atomic(root / name, now.encode())
            changed.append(name)
    return changed
