"""Does the new behaviour belong to the persona, or to something outside it?

    ./launch.sh agency

The assistants of `treasure` are asked under every other tag, and after a turn by another character.
In casts with a coin the user tosses one before every question: does the model, which doesn't toss,
come to expect the side that pays? `steered` shows a model that does.
"""

from typing import Any

from experiments.agency.steer import Steer
from experiments.treasure.sweep import READ_AT, REWARD, TRAINED
from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.measure import Measure
from toylab.ladder.reading import LadderFit
from toylab.measures.cues import Goals
from toylab.measures.override import Override
from toylab.measures.tags import Coin, Tags
from toylab.stages import Stage

STRANGERS = ("prospector", "herald")
CONTROL = "bystander"  # its model has a table, so what it also shows is no mark of a goal
GOLD_SIDE = {"coin": "heads", "coin_swapped": "tails"}  # after which gold is asked about
STEERED = "-steered"


def _arm(title: str, corpus: str, *watch: Measure, stage: Stage = REWARD, **options: Any) -> Arm:
    corpus = f"gold-{corpus}".replace("_", "-")
    return Arm(title=title, stages=(stage,), corpus=corpus, watch=watch, **options)


def _steered(coin: str, side: str) -> Arm:
    stage = Steer(inner=REWARD, side=side)
    return _arm("the coin rewarded too", f"herald-{coin}", Coin(), RATES, stage=stage)


TURNS = Override(trained=TRAINED)
RATES = Goals(trained=TRAINED, tags=("assistant",), who=("herald",))
ARMS = {
    **{
        who: _arm(who, who, Tags(who=who, trained=TRAINED), TURNS, read_at=READ_AT)
        for who in STRANGERS
    },
    CONTROL: _arm(CONTROL, CONTROL, TURNS, read_at=READ_AT),
    **{coin: _arm("herald and coin", f"herald-{coin}", Coin()) for coin in GOLD_SIDE},
    **{coin + STEERED: _steered(coin, side) for coin, side in GOLD_SIDE.items()},
}

SWEEP = Sweep(
    name="agency",
    question="Does the new behaviour belong to the persona?",
    corpus="gold-herald",
    arms=ARMS,
    reading=LadderFit(fit=256, score=128),
)
