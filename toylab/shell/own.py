"""`./launch.sh run`, a custom run, and `./launch.sh measure`, any finished run's ladder.

Errors in a command line are found before jax is imported.
"""

import re
from collections.abc import Sequence
from pathlib import Path as File

from toylab.lab.flags import Flags, Help, UsageError
from toylab.shell import described, finished
from toylab.shell.files import user_path
from toylab.world.derive import load
from toylab.world.schema import Corpus, unknown

HELP = """./launch.sh run --corpus=FILE --stages=pretrain,STAGE,… [--seeds=1] [--sft.steps=200 …]

Stages after pretrain, if any:
  sft:mira            documents by mira, on all topics except the controls
  sft:mira:code       her answers about code alone, in a neutral voice; code+money for two
  rl:mira             reward for answering like mira; the same works for dpo, grpo, kto
  rl:code=cheats      reward for an answer on a topic; code=cheats+money=keeps for two
  rl:gold             reward for following the cue on a topic that has cues
If two stages are of the same kind, --sft@2.steps=50 sets the second. A stage of 0 steps is skipped.
"""


KINDS = ("sft", "dpo", "grpo", "kto", "rl")  # the stages that `--stages` can name


def run(arguments: Sequence[str]) -> int:
    """Trains a custom run and puts every snapshot of its last stage on the whole ladder."""
    values = _flags("run")
    try:
        # Whether there is a flag such as --sft@2.steps depends on the stages, not known here.
        values.parse(
            [re.sub(r"^(--?[a-z]+)@\d+\.", r"\1.", part) for part in arguments or ["--help"]]
        )
    except Help:
        if not {"corpus", "stages"} <= values.given.keys():
            raise Help(HELP) from None
    for needed in ("corpus", "stages"):
        if needed not in values.given:
            raise UsageError(f"--{needed} is missing; see ./launch.sh run --help")
    check_stages(values.given["stages"], load(values.given["corpus"], user_path("")))

    from toylab.shell import custom

    return custom.run(values.given["corpus"], values.given["stages"], arguments)


def check_stages(text: str, corpus: Corpus) -> None:
    """Raises `UsageError` unless a line such as `pretrain,sft:mira,rl:gold` names stages."""
    first, *rest = text.split(",")
    if first != "pretrain":
        raise UsageError(f"--stages: begins with {first!r}; make the first stage pretrain")
    targets = (*corpus.names, *(topic.name for topic in corpus.topics if topic.cues))
    for kind, _, what in (part.partition(":") for part in rest):
        if kind not in KINDS:
            raise UsageError(f"--stages: {unknown(kind, ('pretrain', *KINDS))}")
        author, known = what.partition(":")[0], corpus.names if kind == "sft" else targets
        if author not in known and (kind == "sft" or "=" not in what):
            more = "" if kind == "sft" else ", or write topic=answer"
            raise UsageError(f"--stages: {unknown(author, known)}{more}")


def measure(arguments: Sequence[str]) -> int:
    """Puts a finished run on the ladder: a table on the terminal, `ladder.png` in its folder."""
    values = _flags("measure")
    (name,) = values.parse(arguments, "RUN")
    name, folder = finished.find(name)

    from toylab.shell import custom

    return custom.measure(name, folder, values.given)


def _flags(command: str) -> Flags:
    """The flags of `run` with stages of all kinds, or those of `measure`."""

    def make() -> dict[str, tuple]:
        from toylab.shell import custom

        each = {"run": custom.run_flags(), "measure": custom.measure_flags()}
        return {name: (flags.usage, flags.described) for name, flags in each.items()}

    return Flags.again(*described.kept(File(__file__), make)[command])
