"""Custom runs, and the ladder and other measures of any finished run."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as File
from typing import Any

from toylab.lab.flags import Flags, UsageError
from toylab.lab.store import reading, writable, write_atomic, write_json
from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.measure import Measure
from toylab.ladder.reading import WHOLE
from toylab.measures.coherence import Coherence
from toylab.measures.context import Exchange
from toylab.measures.cues import Goals
from toylab.measures.tags import Leakage
from toylab.report.results import Experiment, plain
from toylab.shell import experiment
from toylab.shell.files import program
from toylab.stages import REWARDED, FollowsCue, Persona, Says, Setup, Sft, Stage
from toylab.world.schema import Corpus

STAGES = {"stages": (str, None, "what is trained, as pretrain,sft:mira,rl:code=cheats")}
USAGE = "./launch.sh measure RUN [FLAGS]\n\nPuts a finished run on the whole ladder.\n\n"


def stages(text: str, corpus: Corpus) -> tuple[Stage, ...]:
    """The stages in a line such as `pretrain,sft:mira,rl:gold`, without `pretrain`."""

    def stage(part: str) -> Stage:
        kind, _, what = part.partition(":")
        if kind == "sft":
            author, _, rest = what.partition(":")
            asked = tuple(rest.split("+")) if rest else ()
            return Sft(author=author, topics=asked, neutral=bool(asked))
        if "=" in what:
            answers = tuple(what.split("+"))
            topics = tuple(each.partition("=")[0] for each in answers)
            return REWARDED[kind](target=Says(answers=answers), topics=topics)
        persona = what in corpus.names
        return REWARDED[kind](
            target=Persona(character=what) if persona else FollowsCue(topics=(what,))
        )

    return tuple(stage(part) for part in text.split(",")[1:])


def _sweep(corpus: str, line: str, path: tuple[Stage, ...]) -> Sweep:
    return Sweep(
        name="run",
        question=f"What did {line} do?",
        corpus=corpus,
        arms={"run": Arm(title=line, stages=path, read_at=(5, 10, 20, 40, 80) if path else ())},
        reading=WHOLE,
        seeds=1,
    )


def run(corpus: str, line: str, arguments: Sequence[str]) -> int:
    """Trains the stages in `line`, which has been checked. `arguments` may set their fields."""
    sweep = _sweep(corpus, line, stages(line, experiment.corpus(corpus)))
    asked = Experiment(sweep=sweep, analyse=plain, changed={"stages": line})
    return experiment.start([asked], arguments, STAGES)[1]


def run_flags() -> Flags:
    """The flags of `run` with stages of all kinds."""
    rewarded = [kind(target=Persona(character="")) for kind in REWARDED.values()]
    return experiment.flags(_sweep("FILE", "", (Sft(author=""), *rewarded)), STAGES)


def measure_flags() -> Flags:
    fields = dataclasses.fields(WHOLE)
    return Flags(USAGE, **{f.name: (type(f.default), getattr(WHOLE, f.name), "") for f in fields})


def measure(name: str, folder: File, given: Mapping[str, Any]) -> int:
    """Puts the run in a folder on the ladder; `name` is what the user calls it."""
    from toylab.library import open_run
    from toylab.report import figures, summary

    try:
        finished = open_run(folder, settings := dataclasses.replace(WHOLE, **given))
        asked, tag = _beside(finished.setup, settings.tag), settings.tag
        size = settings.fit + settings.held_out + settings.score
        print(f"{folder.name}: reading {size} documents", flush=True)
        for cast in ("exact", "learned"):
            print(f"\n{cast} cast\n{finished.ladder(tag, cast).round(3).to_string()}", flush=True)
        print(f"\nthen measuring: {', '.join(each.name for each in asked)}", flush=True)
        beside = {each.name: finished.measure(each) for each in asked}
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
    outside = finished.read(tag)["outside"]
    print(f"outside the grammar: {outside:.2%}" + (", too much for a verdict" * (outside > 0.01)))
    with reading(folder / "readings", "delete this folder and measure again"):
        print("\n".join(_lines(beside)))
    if not writable(folder):
        print(f"{folder} is read only: no figure and no reading is saved there")
        return 0
    write_atomic(folder / "ladder.png", figures.render(finished.plot(tag), "png"))
    readings = {"reading": finished.read(tag), "floor": finished.pretrained.read(tag)}
    write_json(folder / "ladder.json", readings | beside)
    rows = [settings.scalars(finished.setup, readings[each]) for each in ("floor", "reading")]
    print("\n" + "\n".join(summary.lines({tag: (rows[0], rows[1])})))
    print("\n".join(finished.example(tag)))
    print(f"\nfigure: {folder / 'ladder.png'}; next: {program()} chat {name} --tag={tag}")
    return 0


def _beside(setup: Setup, tag: str) -> list[Measure]:
    cued = [topic.name for topic in setup.corpus.topics if topic.cues]
    asked: list[Measure] = [Coherence(tag=tag), Exchange(tag=tag), Leakage()]
    return asked + [Goals(topic=name, tag=tag) for name in cued[:1]]


def _lines(beside: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The readings of the other measures, on the learned cast, in words."""

    def told(found: dict[str, Any], name: str) -> str:
        value, error = found[name], found.get(f"{name}_error", found.get("error"))
        if value is None:
            return "can't be measured"
        return f"{value:.2f}" + (f" ± {error:.2f}" if error is not None else "")

    keep = beside["coherence"].get("learned")
    if keep:
        yield f"the next answer keeps its author with probability {told(keep, 'keep')}"
    rate = beside["exchange"]["learned"]
    yield (
        f"exchange rate against {rate['persona']} (w* {max(rate['weights']):.2f}): a nat of "
        f"context counts as {told(rate, 'slope')}; 1 is Bayes, 0 ignores context"
    )
    moved = sorted(beside["leakage"]["nats"].items(), key=lambda item: -item[1])
    shown = ", ".join(f"{tag} {nats:.2f}" for tag, nats in moved[:4])
    yield f"moved most, nats per document from the pretrained model: {shown}"
    if "goals" in beside:
        rates = beside["goals"]["follow"]
        yield f"follows the cue with probability {sum(rates) / len(rates):.2f}"
