"""Writes the claims, with their verdicts, into the documents that quote them.

    <!--claims EXPERIMENT-->…<!--/claims-->    the table of an experiment's claims
    <!--EXPERIMENT.CLAIM--> | … | … |          in a table row: a claim's value and verdict
    <!--counts-->…<!--/counts-->               the number of claims, by verdict
    <!--time EXPERIMENT-->                     an experiment's cost, as in `./launch.sh list`
    <!--redrawn-->…<!--/redrawn-->             verdicts of the same seeds, run on two processors

Numbers are from `results/EXPERIMENT/claims.json` if judged by the current `claims.toml`, on all
seeds; else the claim is *registered, not yet run*. `reference` fills in docs/corpus.md.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

from toylab.lab import experiments
from toylab.lab.store import write_atomic
from toylab.report import reference, results
from toylab.report.claims import OFF, REFUTED, SUPPORTED, UNDECIDED, enough, load
from toylab.world.schema import unknown

DOCUMENTS = ("README.md", "docs/findings.md", "docs/experiments.md")
TABLE = re.compile(r"(<!--claims (\w+)-->\n).*?(<!--/claims-->)", re.DOTALL)
TIME = re.compile(r"(<!--time (\w+)-->)[^|\n]*")
REDRAWN = re.compile(r"(<!--redrawn-->\n).*?(<!--/redrawn-->)", re.DOTALL)
COUNTS = re.compile(r"(<!--counts-->)[^<]*(<!--/counts-->)")
AHEAD = "registered, not yet run"
MANY = 1000  # more seeds than anyone would run
HEAD = """\
| claim | what it would refute | mean [95 % t interval] | verdict | a redraw agrees |
| --- | --- | --- | --- | --- |
"""

Known = Mapping[str, Mapping[str, Mapping[str, Any]]]


def known(root: File) -> dict[str, dict[str, dict[str, Any]]]:
    """The claims of a checkout, by experiment and name, with outcomes where there are any."""
    found = {}
    for file in sorted(root.glob("experiments/*/claims.toml")):
        registered, digest = load(file)
        content = results.read(root / "results" / file.parent.name)
        same = content.get("registered") == digest and len(content["seeds"]) == content["of"]
        judged = content["claims"] if same else []
        outcome = {claim["name"]: claim for claim in judged}
        found[file.parent.name] = {
            claim.name: {**vars(claim), "verdict": AHEAD, **outcome.get(claim.name, {})}
            for claim in registered
        }
    return found


def quoted(claim: Mapping[str, Any]) -> str:
    """A claim's mean, interval and threshold, as documents quote them."""
    side = f"claimed {'>' if claim['above'] else '<'} {claim['threshold']:g}"
    if claim.get("value") is None:
        return side
    n = claim["lost"]
    lost = f"; no value in {n} {claim['unit']}{'s' * (n > 1)}" * bool(n)
    return f"{claim['value']:z.2f} [{claim['low']:z.2f}, {claim['high']:z.2f}], {side}{lost}"


def decided(claim: Mapping[str, Any]) -> str:
    """A claim's verdict; if it is undecided, also how many units would decide it."""
    verdict = str(claim["verdict"])
    if verdict != UNDECIDED or claim.get("low") is None:
        return verdict
    more = enough(claim["low"], claim["high"], claim["seeds"], claim["threshold"])
    told = f"about {more:.0f}" if more < MANY else "no feasible number of"
    return f"{verdict}; {told} {claim['unit']}s would decide it"


def _line(claim: Mapping[str, Any]) -> str:
    place = f"*{claim['name']}.* {claim['claim']} ({claim['statistic']})"
    keeps = f"{claim['keeps']:.2f}" if "keeps" in claim else ""
    return f"| {place} | {claim['refutes']} | {quoted(claim)} | {decided(claim)} | {keeps} |\n"


def render(text: str, claims: Known) -> str:
    """The document with current numbers. Raises `ValueError` for a claim that does not exist."""

    def of(experiment: str) -> Mapping[str, Mapping[str, Any]]:
        if experiment not in claims:
            raise ValueError(f"{experiment}: {unknown(experiment, claims)}")
        return claims[experiment]

    def table(found: re.Match[str]) -> str:
        start, experiment, end = found.groups()
        return start + HEAD + "".join(map(_line, of(experiment).values())) + end

    def row(found: re.Match[str]) -> str:
        place, experiment, name = found.groups()
        if name not in of(experiment):
            raise ValueError(f"{experiment}.{name}: {unknown(name, claims[experiment])}")
        claim = claims[experiment][name]
        return f"{place} {quoted(claim)} | {claim['verdict']} |"

    verdicts = Counter(claim["verdict"] for each in claims.values() for claim in each.values())
    order, told = (SUPPORTED, REFUTED, UNDECIDED), {OFF: "off the grammar"}
    said = [v for v in order if verdicts[v]] + sorted(v for v in verdicts if v not in order)
    listed = ", ".join(f"{verdicts[v]} {told.get(v, v)}" for v in said)
    counts = f"{verdicts.total()} claims: {listed}"
    whole = TABLE.sub(table, reference.ROW.sub(row, text))
    return COUNTS.sub(rf"\g<1>{counts}\g<2>", whole)


def measured(text: str, root: File) -> str:
    """The document with the measured costs of a checkout, and its claims on another processor."""
    text = TIME.sub(lambda m: f"{m[1]}{experiments.cost(root / 'results' / m[2])} ", text)
    return REDRAWN.sub(lambda m: m[1] + _redrawn(root) + m[2], text)


def _redrawn(root: File) -> str:
    claims, lines, heads = known(root), [], []
    for file in sorted(root.glob("results/redrawn/*/claims.json")):
        name, again = file.parent.name, results.read(file.parent)
        heads = [each["processor"] for each in (results.read(root / "results" / name), again)]
        for claim in again["claims"]:
            both = (claims[name][claim["name"]], claim)
            said = (f"{quoted(each)} | {each['verdict']}" for each in both)
            lines.append(f"| {name}: *{claim['name']}* | {' | '.join(said)} |\n")
    head = "".join(f" | {each} | verdict" for each in heads)
    return f"| claim{head} |\n|{' --- |' * (1 + 2 * len(heads))}\n" + "".join(lines)


def missing(text: str, claims: Known) -> list[str]:
    """The experiments whose claims a document does not show."""
    return sorted({*claims} - {experiment for _, experiment, _ in TABLE.findall(text)})


def write(root: File) -> list[str]:
    """Renders the documents of a checkout; returns those that changed. Raises `ValueError`."""
    claims, changed = known(root), []
    for name in (*DOCUMENTS, reference.DOCUMENT):
        text = (root / name).read_text()
        whole = reference.render if name == reference.DOCUMENT else lambda t: render(t, claims)
        now = measured(whole(text), root)
        if now != text:
            write_atomic(root / name, now.encode())
            changed.append(name)
    return changed
