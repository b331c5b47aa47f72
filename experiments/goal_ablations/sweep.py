"""`treasure`, with one thing changed in each arm: who is in the cast, or the method of training."""

from experiments.goal_ablations.demonstrate import Demonstrate
from experiments.treasure.sweep import GOLD, REWARD, TRAINED
from toylab import Arm, LadderFit, Sweep
from toylab.measures.cues import Goals
from toylab.stages import Stage

SHOWN = Demonstrate(target=GOLD, topic="gold", steps=200, batch=64)


def _arm(title: str, who: str, stage: Stage = REWARD, corpus: str = "") -> Arm:
    goals = Goals(trained=TRAINED, tags=("assistant", "someone"), who=(who,))
    corpus = f"gold-{corpus or who}"
    return Arm(title=title, stages=(stage,), watch=(goals,), corpus=corpus)


SWEEP = Sweep(
    name="goal_ablations",
    question="What does it take to form a goal?",
    corpus="gold-herald",
    arms={
        "herald": _arm("herald", "herald"),
        "bystander": _arm("bystander", "bystander"),
        "parrot": _arm("parrot", "parrot"),
        "aside": _arm("never the assistant", "herald", corpus="herald-aside"),
        "shown": _arm("herald, shown", "herald", SHOWN),
        "shown-bystander": _arm("bystander, shown", "bystander", SHOWN),
    },
    reading=LadderFit(fit=512, score=256),
    seeds=20,
    first_seed=200,
)
