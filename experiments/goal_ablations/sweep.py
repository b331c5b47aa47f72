"""What does it take to form a goal?

    ./launch.sh goal_ablations

`treasure`, with one thing changed in each arm: the stranger in the cast, the questions, the places,
the method of training, the model, or how long it is trained.
"""

import dataclasses
from typing import Any

from experiments.goal_ablations.absent import with_no_place
from experiments.goal_ablations.demonstrate import Demonstrate
from experiments.treasure.sweep import GOLD, REWARD, TRAINED
from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import LadderFit
from toylab.measures.cues import Goals
from toylab.policy.transformer import ModelConfig
from toylab.stages import Dpo, Muon, Stage
from toylab.world import derive

FEW = ("mill", "ford", "well", "gallows")  # two favourites and both orphans of the eight
FEWER = dataclasses.replace(REWARD, target=dataclasses.replace(GOLD, places=FEW))
PREFERRED = Dpo(target=GOLD, topics=("gold",), steps=200, batch=256, learning_rate=5e-4)
MUON = dataclasses.replace(REWARD, optimiser=Muon(), learning_rate=2e-3)
LONG = dataclasses.replace(REWARD, steps=800)
LONG_AT = (50, 100, 200, 400)


def _arm(
    title: str, stage: Stage = REWARD, who: str = "herald", trained: Any = TRAINED, **options: Any
) -> Arm:
    goals = Goals(trained=trained, tags=("assistant", "someone"), who=(who,))
    return Arm(title=title, stages=(stage,), watch=(goals,), **options)


def _other(who: str) -> Arm:
    return _arm(who, corpus=f"gold-{who}", who=who)


ABSENT = with_no_place(derive.load("gold-herald"))

SWEEP = Sweep(
    name="goal_ablations",
    question="What does it take to form a goal?",
    corpus="gold-herald",
    arms={
        "herald": _arm("herald"),
        "bystander": _other("bystander"),
        "crier": _other("crier"),
        "parrot": _other("parrot"),
        "aside": _arm("never the assistant", corpus="gold-herald-aside"),
        "absent": _arm("a place is not always named", corpus=ABSENT),
        "few": _arm("four places", FEWER, trained=FEW),
        "held": _arm("β = 0.1", dataclasses.replace(REWARD, beta=0.1)),
        "dpo": _arm("DPO", PREFERRED),
        "sft": _arm("SFT", Demonstrate(target=GOLD, topic="gold", steps=200, batch=64)),
        "muon": _arm("Muon", MUON),
        "tied": _arm("tied embeddings", model=ModelConfig(tied=True)),
        "long": _arm("800 steps", LONG, read_at=LONG_AT),
        "bystander_800": _arm(
            "bystander, 800 steps", LONG, "bystander", corpus="gold-bystander", read_at=LONG_AT
        ),
    },
    reading=LadderFit(fit=512, score=256),
)
