"""Models are pretrained for 25 to 800 steps, each to the end of its own schedule, and compared with
the exact distribution: turn by turn, name by name.
"""

from toylab import Arm, LadderFit, Pretrain, Sweep
from toylab.measures.calibration import Calibration

SWEEP = Sweep(
    name="repertoire",
    question="Did pretraining learn the cast?",
    corpus="village",
    arms={
        f"steps-{steps}": Arm(title=f"{steps} steps", pretrain=Pretrain(steps=steps))
        for steps in (25, 50, 100, 200, 400, 800)
    },
    reading=LadderFit(fit=256, score=128),
    watch=(Calibration(),),
)
