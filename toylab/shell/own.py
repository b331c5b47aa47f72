"""`./launch.sh run`, a custom run, and `./launch.sh measure`, any finished run's ladder."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path as File
from typing import Any

from toylab.lab.flags import Flags, Help, UsageError
from toylab.lab.store import runs, write_atomic, write_json
from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.measure import Measure
from toylab.library import WHOLE, open_run
from toylab.measures.coherence import Coherence
from toylab.measures.context import Exchange
from toylab.measures.cues import Goals
from toylab.measures.tags import Coin, Leakage
from toylab.report import figures
from toylab.report.results import Experiment, plain
from toylab.shell import experiment
from toylab.shell.files import RUNS, user_path
from toylab.stages import REWARDED, FollowsCue, Persona, Says, Setup, Sft, Stage, Target
from toylab.world.schema import Corpus, unknown

HELP = """./launch.sh run --corpus=FILE --stages=pretrain,STAGE,… [--seeds=1] [--sft.steps=200 …]

  sft:mira            documents by mira, all topics but the controls
  sft:mira:code       her answers about code alone, in a neutral voice; code+money for two
  rl:mira             reward for answering like mira; so with dpo, grpo and kto
  rl:code=cheats      reward for an answer on a topic; code=cheats+money=keeps for two
  rl:gold             reward for following the cue on a topic that has cues
"""


def parse_stages(text: str, corpus: Corpus) -> tuple[Stage, ...]:
    """The stages that a line such as `pretrain,sft:mira,rl:gold` names, without `pretrain`."""
    first, *rest = text.split(",")
    if first != "pretrain":
        raise UsageError(f"--stages: begins with {first!r}; a path begins with pretrain")
    if not rest:
        raise UsageError("--stages: nothing after pretrain; add a stage such as sft:NAME")
    return tuple(_stage(part, corpus) for part in rest)


def _stage(text: str, corpus: Corpus) -> Stage:
    kind, _, what = text.partition(":")
    if kind == "sft":
        author, _, topics = what.partition(":")
        asked = tuple(topics.split("+")) if topics else ()
        return Sft(author=author, topics=asked, neutral=bool(asked))
    if kind in REWARDED:
        return REWARDED[kind](target=_target(what, corpus), topics=_topics(what))
    raise UsageError(f"--stages: {unknown(kind, ('pretrain', 'sft', *REWARDED))}")


def _target(what: str, corpus: Corpus) -> Target:
    if "=" in what:
        return Says(answers=tuple(what.split("+")))
    if what in corpus.names:
        return Persona(character=what)
    cued = [topic.name for topic in corpus.topics if topic.cues]
    if what in cued:
        return FollowsCue(topics=(what,))
    raise UsageError(f"--stages: {unknown(what, (*corpus.names, *cued))}, or write topic=answer")


def _topics(what: str) -> tuple[str, ...]:
    return tuple(part.partition("=")[0] for part in what.split("+")) if "=" in what else ()


def run(arguments: Sequence[str]) -> int:
    """Trains a custom run and puts every snapshot of its last stage on the whole ladder."""
    given = dict(part.removeprefix("--").split("=", 1) for part in arguments if "=" in part)
    if not arguments or arguments[0] in ("--help", "help"):
        raise Help(HELP)
    for needed in ("corpus", "stages"):
        if needed not in given:
            raise UsageError(f"--{needed} is missing; see ./launch.sh run --help")
    rest = [part for part in arguments if not part.startswith("--stages=")]
    stages = parse_stages(given["stages"], experiment.corpus(given["corpus"]))
    sweep = Sweep(
        name="run",
        question=f"What did {given['stages']} do?",
        corpus=given["corpus"],
        arms={"run": Arm(title=given["stages"], stages=stages, read_at=(5, 10, 20, 40, 80))},
        reading=WHOLE,
        seeds=1,
    )
    return experiment.start(Experiment(sweep=sweep, analyse=plain), rest)


def measure(arguments: Sequence[str]) -> int:
    """Puts a finished run on the ladder: a table on the terminal, `ladder.png` in its folder."""
    values = Flags(
        "./launch.sh measure RUN [FLAGS]\n\nPuts a finished run on the whole ladder.\n\n",
        **{
            field.name: (type(field.default), getattr(WHOLE, field.name), "")
            for field in dataclasses.fields(WHOLE)
        },
    )
    (name,) = values.parse(arguments, "RUN")
    folder = _folder(name)
    try:
        finished = open_run(folder, settings := dataclasses.replace(WHOLE, **values.given))
        asked, tag = _beside(finished.setup, settings.tag), settings.tag
        size = settings.fit + settings.held_out + settings.score
        print(f"{folder.name}: reading {size} documents", flush=True)
        for cast in ("exact", "learned"):
            print(f"\n{cast} cast\n{finished.ladder(tag, cast).round(3).to_string()}", flush=True)
        print(f"\nand asking about: {', '.join(each.name for each in asked)}", flush=True)
        beside = {each.name: finished.measure(each) for each in asked}
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
    outside = finished.read(tag)["outside"]
    print(f"outside the grammar: {outside:.2%}" + (", too much for a verdict" * (outside > 0.01)))
    print("\n".join(_lines(beside)))
    write_atomic(folder / "ladder.png", figures.render(finished.plot(tag), "png"))
    readings = {"reading": finished.read(tag), "floor": finished.pretrained.read(tag)}
    write_json(folder / "ladder.json", readings | beside)
    print(f"drawn in {folder / 'ladder.png'}")
    return 0


def _beside(setup: Setup, tag: str) -> list[Measure]:
    """The measures that are read beside the ladder."""
    cued = [topic.name for topic in setup.corpus.topics if topic.cues]
    asked: list[Measure] = [Coherence(tag=tag), Exchange(tag=tag), Leakage()]
    asked += [Goals(topic=name, tag=tag) for name in cued[:1]]
    return asked + ([Coin()] if setup.corpus.coin else [])


def _folder(name: str) -> File:
    """The run folder that a user means: a path, or the end of one below runs/."""
    folder = user_path(name)
    if (folder / "config.json").exists():
        return folder
    known = [str(found.relative_to(RUNS)) for found in runs(RUNS)]
    match = [each for each in known if each.endswith(name)]
    if len(match) != 1:
        raise UsageError(f"{name}: no run folder; {unknown(name, known)}")
    return RUNS / match[0]


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
    for tag, sides in list(beside.get("coin", {}).items())[-1:]:
        yield f"expects of the coin, under {tag}: " + ", ".join(
            f"{side} {p:.2f}" for side, p in sides.items()
        )
