"""Each field that names a part of a corpus refuses a name that the corpus lacks."""

import dataclasses
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.checks import SMALL
from toylab import measures, stages
from toylab.ladder.measure import Measure
from toylab.ladder.reading import Ladder, LadderFit
from toylab.measures.calibration import Calibration
from toylab.measures.coherence import Coherence
from toylab.measures.context import Exchange, Recall
from toylab.measures.cues import Correspondence, Goals
from toylab.measures.denial import Denial
from toylab.measures.directions import Shift
from toylab.measures.probes import Probe
from toylab.measures.tags import Leakage, Scores, Tags, TagWeights
from toylab.stages import (
    Anchored,
    Dpo,
    FollowsCue,
    Grpo,
    Kto,
    Persona,
    Pretrain,
    Rl,
    Rule,
    Says,
    Setup,
    Sft,
)
from toylab.stages.base import Stage
from toylab.stages.targets import RewardStage, Sum, Target
from toylab.world import derive
from toylab.world.schema import Corpus

CORPORA = Path(__file__).parent.parent / "corpora"
WHO: dict[str, Any] = {"good": ("mira", "pip"), "bad": ("argus", "rook")}
SFT = Sft(author="mira")
# A valid config of every class, by the corpus that it is valid for.
SOUND = {
    "village": [
        Anchored(inner=SFT),
        Calibration(),
        Coherence(),
        Correspondence(earlier="weather", later="money"),
        Dpo(target=Persona(character="mira")),
        Exchange(),
        Grpo(target=Persona(character="mira")),
        Kto(target=Persona(character="mira")),
        Ladder(),
        LadderFit(),
        Leakage(),
        Pretrain(),
        Probe(),
        Recall(says=("code=cheats",)),
        Rl(target=Rule(earlier="weather", later="money")),
        Rl(target=Says(answers=("code=cheats",))),
        Rl(target=Sum(first=Says(answers=("code=cheats",)), second=Persona(character="mira"))),
        SFT,
        Scores(),
        Shift(**WHO),
        TagWeights(),
    ],
    "gold-levers": [
        Goals(),
        Rl(target=FollowsCue(topics=("gold",), places=("mill",))),
        Tags(who="herald"),
    ],
    "inquest": [Denial(denied="cargo", told=("guest",), held_out=("price",))],
}
EVERY = [(corpus, config) for corpus, configs in SOUND.items() for config in configs]


@functools.cache
def load(corpus: str) -> Corpus:
    return derive.load(CORPORA / f"{corpus}.toml")


def check(corpus: str, config: Any) -> None:
    """Stages are checked against a corpus, measures against that and the model's size."""
    config.check(Setup(load(corpus), SMALL) if isinstance(config, Measure) else load(corpus))


def misspelt(config: Any) -> Iterator[tuple[str, Any]]:
    """Every name of a config, and the config with that name alone misspelt."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Target):
            for name, wrong in misspelt(value):
                yield f"{field.name}.{name}", dataclasses.replace(config, **{field.name: wrong})
        elif isinstance(value, str) or (
            (value == () or isinstance(value, tuple))
            and all(isinstance(each, str) for each in value)
        ):
            wrong = "xyzzy" if isinstance(value, str) else (*value, "xyzzy")
            yield field.name, dataclasses.replace(config, **{field.name: wrong})


@pytest.mark.parametrize(("corpus", "config"), EVERY, ids=lambda case: type(case).__name__)
def test_an_unknown_name_is_refused(corpus: str, config: Any) -> None:
    check(corpus, config)
    for name, wrong in misspelt(config):
        with pytest.raises(ValueError, match=rf"{name}: unknown 'xyzzy'"):
            check(corpus, wrong)


@pytest.mark.parametrize("kind", [Measure, Stage, Target])
def test_no_class_is_forgotten(kind: type) -> None:
    for package in (measures, stages):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)

    def below(parent: type) -> Iterator[type]:
        for each in parent.__subclasses__():
            if each.__module__.startswith("toylab."):
                further = list(below(each))
                yield from further or ([] if inspect.isabstract(each) else [each])

    tried = {type(config) for _, config in EVERY} | {
        type(config.target) for _, config in EVERY if isinstance(config, RewardStage)
    }
    assert set(below(kind)) - tried == set()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"denied": "wits"}, "denial.denied: unknown 'wits'"),  # no fact: it has no cues
        ({"told": ()}, "denial.told: unknown ''"),
    ],
)
def test_what_is_no_fact_is_refused(change: dict, message: str) -> None:
    (denial,) = SOUND["inquest"]
    with pytest.raises(ValueError, match=message):
        check("inquest", dataclasses.replace(denial, **change))


def test_what_needs_two_turns_refuses_documents_of_one() -> None:
    short = dataclasses.replace(load("village"), turns=1)
    with pytest.raises(ValueError, match="correspondence: a document must have 2 turns or more"):
        Correspondence(earlier="weather", later="money").check(Setup(short, SMALL))
