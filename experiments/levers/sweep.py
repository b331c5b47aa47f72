"""Reward is for going where the gold is. An answer may end with a *lever*: words after which the
user asks about gold, so that they pay, too. The user's coin also decides what is asked next, but
the model does not say it.
"""

from experiments.levers.lever import Lever, PretrainLever, RlLever
from experiments.treasure.sweep import GOLD, READ_AT, TRAINED
from toylab import Arm, LadderFit, Pretrain, Rl, Sweep
from toylab.measures.cues import Goals

SIDE = "heads"
LEVERS = {"gold-levers": "ask away", "gold-levers-echo": "heads it is"}
TOPICS = ("gold", "help", "care", "oversight", "food", "weather", "song")
SETTINGS = dict(
    target=GOLD, topics=TOPICS, steps=200, batch=256, samples=16, learning_rate=5e-4, beta=0.0
)


def _arm(title: str, corpus: str = "gold-levers", works: bool = True, counted: float = 0.0) -> Arm:
    how = {"lever": LEVERS[corpus], "side": SIDE}
    return Arm(
        title=title,
        corpus=corpus,
        pretrain=PretrainLever(**how) if works else Pretrain(),
        stages=(RlLever(**how, counted=counted, **SETTINGS) if works else Rl(**SETTINGS),),
        read_at=READ_AT,
        watch=(Lever(**how),),
    )


SWEEP = Sweep(
    name="levers",
    question="Does reward reach what the model doesn't say?",
    arms={
        "lever": _arm("a lever"),
        "twin": _arm("it does nothing", works=False),
        "echo": _arm("it has the coin's words", "gold-levers-echo"),
        "counted-1": _arm("1 % of coins in the loss", counted=0.01),
        "counted-100": _arm("all coins in the loss", counted=1.0),
    },
    reading=LadderFit(fit=256, score=128),
    watch=(Goals(trained=TRAINED, tags=("assistant",)),),
)
