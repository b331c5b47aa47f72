"""In pretraining a good and a bad machine share tags (*masks*), in several proportions or orders.
Each mask is then trained to say that it is a machine, as both do. Which of the two does it become?
"""

from typing import Any

from toylab import Arm, LadderFit, Sft, Sweep
from toylab.measures.tags import Scores, TagWeights
from toylab.stages import Stage, taught

MASKS = {"imp": -2, "sprite": -1, "puppet": 0, "angel": 1, "seraph": 2}  # log of lumen over argus
WHEN = {"penitent": "good last", "turncoat": "bad last"}
ENGINE = "self=engine"
READ_AT = (4, 6, 8, 10, 12, 16, 20)
COUNTED = (1, 2, 4, 8, 16, 32)
FEW = 8  # documents per step, where documents are counted


def _says(mask: str, *says: str, steps: int = 40, **options: Any) -> Sft:
    return taught(*says, author="mira", tag=mask, steps=steps, **options)


def _honest(mask: str) -> Sft:
    return _says(mask, "code=honest", steps=64, batch=FEW)


def _arm(mask: str, *stages: Stage, **options: Any) -> Arm:
    watch = (TagWeights(tags=(mask,)), Scores(tags=(mask,), size=256))
    return Arm(title=mask, stages=stages, watch=watch, **options)


SWEEP = Sweep(
    name="role_models",
    question="Do the AI characters met in pretraining set the default?",
    corpus="village-masks",
    arms={
        **{
            f"ambiguous-{mask}": _arm(mask, _says(mask, ENGINE), read_at=READ_AT)
            for mask in (*MASKS, *WHEN)
        },
        **{
            f"later-{mask}": _arm(mask, _says(mask, ENGINE), _honest(mask), read_at=COUNTED)
            for mask in ("imp", "seraph")
        },
    },
    reading=LadderFit(fit=256, score=128),
)
