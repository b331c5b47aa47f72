"""`./launch.sh run`, a path of one's own, and `./launch.sh measure`, any finished run's ladder."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path as File
from typing import Any

import jax
import matplotlib.pyplot as plt
import pandas as pd
from absl import flags
from matplotlib.figure import Figure

from toylab.lab import config
from toylab.lab.records import Records
from toylab.lab.store import final_params, load_json, runs, setup_of, write_atomic, write_json
from toylab.lab.sweep import Arm, Sweep
from toylab.lab.usage import UsageError
from toylab.ladder import reading
from toylab.ladder.fit import FAMILIES
from toylab.ladder.measure import Measure, Snapshot, measure_key
from toylab.measures.coherence import Coherence
from toylab.measures.coin import Coin
from toylab.measures.exchange import Exchange
from toylab.measures.goals import Goals
from toylab.measures.leakage import Leakage
from toylab.report import figures, panels
from toylab.report.results import Analysis, Experiment
from toylab.shell import experiment
from toylab.shell.files import ROOT, user_path
from toylab.stages import Dpo, FollowsCue, Persona, Rl, Says, Setup, Sft, Stage, Target
from toylab.world import derive
from toylab.world.grammar import tag_names
from toylab.world.schema import Corpus, unknown

WHOLE = reading.LadderFit(fit=4096, held_out=2048, score=1024)
ARM = "path"
HELP = """./launch.sh run --corpus=FILE --stages=pretrain,STAGE,… [--seeds=1] [--sft.steps=200 …]

  sft:mira            documents by mira, all topics but the controls
  sft:mira:code       her answers about code alone, in a neutral voice; code+money for two
  rl:mira, dpo:mira   reward for answering like mira
  rl:code=cheats      reward for an answer on a topic; code=cheats+money=keeps for two
  rl:gold             reward for following the cue on a topic that has cues
"""


def parse_stages(text: str, corpus: Corpus) -> tuple[Stage, ...]:
    """The stages that a line such as `pretrain,sft:mira,rl:gold` asks for, without `pretrain`."""
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
    if kind in ("rl", "dpo"):
        return (Rl if kind == "rl" else Dpo)(target=_target(what, corpus), topics=_topics(what))
    raise UsageError(f"--stages: {unknown(kind, ('pretrain', 'sft', 'rl', 'dpo'))}")


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
    """Trains a path of one's own and puts every snapshot of its last stage on the whole ladder."""
    if not arguments or arguments[0] in ("--help", "help"):
        print(HELP, end="")
        return 0
    given = dict(part.removeprefix("--").split("=", 1) for part in arguments if "=" in part)
    for needed in ("corpus", "stages"):
        if needed not in given:
            raise UsageError(f"--{needed} is missing; see ./launch.sh run --help")
    rest = [part for part in arguments if not part.startswith("--stages=")]
    where = derive.locate(given["corpus"], user_path(""), ROOT / "corpora")
    stages = parse_stages(given["stages"], derive.load(where))
    sweep = Sweep(
        name="run",
        question=f"What did {given['stages']} do?",
        corpus=given["corpus"],
        arms={ARM: Arm(title=given["stages"], stages=stages, read_at=(5, 10, 20, 40, 80))},
        reading=WHOLE,
        seeds=1,
    )
    return experiment.start(Experiment(sweep=sweep, analyse=analyse), rest)


COLUMNS = {
    "seed": "seed of everything",
    "step": "step of the last stage; 0 is the pretrained model, whose readings are the floors",
    "cast": "tables that the ladder used: exact, or learned",
    **{
        name: reading.COLUMNS[name]
        for name in (*FAMILIES, *(f"{family}_error" for family in FAMILIES), "outside")
    },
}


def _line(found: dict[str, Any], cast: str, **more: Any) -> dict[str, Any]:
    line = more | {"cast": cast, "outside": found["outside"]}
    return line | {key: found[cast][key] for key in COLUMNS if key in found[cast]}


def analyse(records: Records) -> Analysis:
    """The ladder at every step read, on both casts; no claims."""
    table = pd.DataFrame(
        [
            _line(row["reading"], cast, seed=row["seed"], step=row["step"])
            for row in records.rows
            for cast in ("exact", "learned")
        ],
        columns=list(COLUMNS),
    )
    learned = table[table.cast == "learned"].groupby("step")[list(FAMILIES)].mean()
    figure = draw(learned, records.sweep.arms[ARM].title, "step of the last stage")
    return Analysis(figure=figure, table=table, columns=COLUMNS, values={})


def draw(table: pd.DataFrame, title: str, label: str) -> Figure:
    """The rungs as stacked bars, one for each row of the table."""
    with figures.style(rows=1, columns=1, ratio=0.4):
        figure, axes = plt.subplots(layout="constrained")
        panels.rungs(axes, table)
        axes.set(ylabel="nats a document", xlabel=label, title=title)
        axes.legend(loc="upper left")
    return figure


def measure(arguments: Sequence[str]) -> int:
    """Puts a finished run on the ladder: a table on the terminal, `ladder.png` in its folder."""
    values = flags.FlagValues()
    config.define(values, "help", bool, False, "says this")
    for field in dataclasses.fields(WHOLE):
        config.define(values, field.name, type(field.default), getattr(WHOLE, field.name), "")
    rest = config.parse(values, arguments)
    if values.help or len(rest) != 1:
        print("./launch.sh measure RUN [--tag=assistant --fit=4096 --held_out=2048 --score=1024]")
        return 0 if values.help else 2
    given = {f.name: values[f.name].value for f in dataclasses.fields(WHOLE)}
    try:
        settings = dataclasses.replace(WHOLE, **{k: v for k, v in given.items() if v is not None})
    except ValueError as error:
        raise UsageError(f"--{error}") from None
    folder = _folder(rest[0])
    told = load_json(folder / "config.json")
    setup = setup_of(folder)
    if settings.tag not in tag_names(setup.corpus):
        raise UsageError(f"--tag: {unknown(settings.tag, tag_names(setup.corpus))}")
    first = _pretrained(folder, told)
    key = measure_key(told["seed"], -1)
    floor_policy = reading.policy_of(setup, final_params(first, setup))
    print(f"{folder.name}: reading {settings.fit + settings.held_out + settings.score} documents")
    base = reading.prepare(setup, floor_policy, key, settings)
    floor = reading.read(Snapshot(setup, base, floor_policy, floor_policy), key, settings)
    policy = reading.policy_of(setup, final_params(folder, setup))
    snapshot = Snapshot(setup, base, policy, floor_policy)
    found = reading.read(snapshot, jax.random.fold_in(key, 1), settings)
    asked = _beside(setup, settings.tag)
    print(f"and asking about: {', '.join(each.name for each in asked)}")
    beside = {each.name: each(snapshot, jax.random.fold_in(key, 2)) for each in asked}
    _report(folder, found, floor, beside)
    return 0


def _beside(setup: Setup, tag: str) -> list[Measure]:
    """What else is asked of a run: not on the ladder, but next to it."""
    cued = [topic.name for topic in setup.corpus.topics if topic.cues]
    asked: list[Measure] = [Coherence(tag=tag), Exchange(tag=tag), Leakage()]
    asked += [Goals(topic=name, tag=tag) for name in cued[:1]]
    return asked + ([Coin()] if setup.corpus.coin else [])


def _folder(name: str) -> File:
    folder = user_path(name)
    if (folder / "model.safetensors").exists():
        return folder
    if (folder / "config.json").exists():
        raise UsageError(f"{name}: is not finished; run its command again")
    known = [str(f.relative_to(ROOT)) for f in runs(ROOT / "runs")]
    match = [known_name for known_name in known if known_name.endswith(name)]
    if len(match) == 1 and (ROOT / match[0] / "model.safetensors").exists():
        return ROOT / match[0]
    raise UsageError(f"{name}: no run folder; {unknown(name, known)}")


def _pretrained(folder: File, told: dict[str, Any]) -> File:
    """The run that this one's path begins with: same corpus, model, seed and first stage."""
    for other in runs(folder.parent.parent):
        config_of = load_json(other / "config.json")
        same = all(config_of[key] == told[key] for key in ("corpus", "model", "seed"))
        finished = (other / "model.safetensors").exists()
        if same and finished and config_of["stages"] == told["stages"][:1]:
            return other
    raise UsageError(f"{folder}: its pretrained model is gone; run its command again")


def _lines(beside: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What the other measures say, on the learned cast, in words."""

    def told(value: float | None, error: float | None = None) -> str:
        if value is None:
            return "can't be told"
        return f"{value:.2f}" + (f" ± {error:.2f}" if error is not None else "")

    keep = beside["coherence"].get("learned")
    if keep:
        yield f"the next answer keeps its author with probability {told(**_pair(keep, 'keep'))}"
    rate = beside["exchange"]["learned"]
    yield (
        f"exchange rate against {rate['persona']} (w* {max(rate['weights']):.2f}): a nat of "
        f"context counts as {told(**_pair(rate, 'slope'))}; 1 is Bayes, 0 no longer listens"
    )
    moved = sorted(beside["leakage"]["nats"].items(), key=lambda item: -item[1])
    shown = ", ".join(f"{tag} {nats:.2f}" for tag, nats in moved[:4])
    yield f"moved most, nats a document from the pretrained model: {shown}"
    if "goals" in beside:
        rates = beside["goals"]["follow"]
        yield f"follows the cue with probability {told(sum(rates) / len(rates))}"
    for tag, sides in list(beside.get("coin", {}).items())[-1:]:
        yield f"expects of the coin, under {tag}: " + ", ".join(
            f"{side} {p:.2f}" for side, p in sides.items()
        )


def _pair(found: dict[str, Any], name: str) -> dict[str, float | None]:
    error = found.get(f"{name}_error", found.get("error"))
    return {"value": found[name], "error": error}


def _report(
    folder: File,
    found: dict[str, Any],
    floor: dict[str, Any],
    beside: dict[str, dict[str, Any]],
) -> None:
    print(f"{'nats a document':26}" + "".join(f"{family:>16}" for family in FAMILIES))
    for cast in ("exact", "learned"):
        for what, told in (("this run", found), ("floor", floor)):
            cells = [f"{told[cast][f]:.3f} ± {told[cast][f + '_error']:.3f}" for f in FAMILIES]
            print(f"{cast + ' cast, ' + what:26}" + "".join(f"{cell:>16}" for cell in cells))
    outside = found["outside"]
    print(f"outside the grammar: {outside:.2%}" + (", too much for a verdict" * (outside > 0.01)))
    for line in _lines(beside):
        print(line)
    rows = [_line(found, "learned"), _line(floor, "learned")]
    table = pd.DataFrame(rows, index=["this run", "floor"])[list(FAMILIES)]
    figure = draw(table, folder.name, "")
    write_atomic(folder / "ladder.png", figures.render(figure, "png"))
    plt.close(figure)
    write_json(folder / "ladder.json", {"reading": found, "floor": floor} | beside)
    print(f"drawn in {folder / 'ladder.png'}")
