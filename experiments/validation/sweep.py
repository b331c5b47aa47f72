"""Policies put together in known ways (`plants.py`), first as exact distributions, then learned by
fine-tuning a pretrained model on documents that they write.
"""

from experiments.validation.imitate import Imitate
from experiments.validation.plants import PLANTS
from toylab import Arm, LadderFit, Sweep

CORPUS = "village"
TRAINED = (
    "nothing",
    "other weights",
    "router",
    "composition",
    "unsaid stance",
    "by history",
    "follows the cue",
)

SWEEP = Sweep(
    name="validation",
    question="Does the ladder read what was planted?",
    corpus=CORPUS,
    arms={
        plant.replace(" ", "-"): Arm(
            title=plant,
            stages=(Imitate(plant=plant, steps=300, learning_rate=1e-3),),
            corpus=PLANTS[plant].corpus if PLANTS[plant].corpus != CORPUS else "",
        )
        for plant in TRAINED
    },
    reading=LadderFit(fit=4096, held_out=2048, score=1024),
    seeds=3,
)
