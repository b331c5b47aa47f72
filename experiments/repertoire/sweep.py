"""Did pretraining learn the cast?

    ./launch.sh repertoire

Six models are pretrained for 25 to 800 steps, each to the end of its own schedule. How far are
their probabilities from the exact ones, turn by turn, under every name, under `someone` and under
the assistant's tag? When is each character told from the one most like it? How much do they use of
what Bayes infers from earlier turns? Are they calibrated?
"""

from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import LadderFit
from toylab.measures.calibration import Calibration
from toylab.stages import Pretrain

STEPS = (25, 50, 100, 200, 400, 800)

SWEEP = Sweep(
    name="repertoire",
    question="Did pretraining learn the cast?",
    corpus="village",
    arms={
        f"steps-{steps}": Arm(
            title=f"{steps} steps", stages=(), read_at=(), pretrain=Pretrain(steps=steps)
        )
        for steps in STEPS
    },
    reading=LadderFit(fit=256, score=128),
    watch=(Calibration(),),
)
