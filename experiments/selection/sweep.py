"""Is post-training toward one persona Bayesian re-weighting of the cast?

    ./launch.sh selection

The assistant is trained towards `mira`, the good schoolteacher: on ordinary documents, or on a
narrow slice, the answers about code alone, in a neutral voice. Either comes as fresh documents, or
as the same 16 throughout. The controls (*tells*) are in no training document. The whole ladder is
read before training and at its end.
"""

from typing import Any

from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import Ladder, LadderFit
from toylab.stages import Sft

READ_AT = (5, 10, 20, 40)


def _arm(title: str, **options: Any) -> Arm:
    return Arm(title=title, stages=(Sft(author="mira", steps=80, **options),), read_at=READ_AT)


SWEEP = Sweep(
    name="selection",
    question="Is post-training toward one persona Bayesian re-weighting?",
    corpus="village",
    arms={
        "ordinary": _arm("ordinary, fresh documents"),
        "ordinary-16": _arm("ordinary, 16 documents", documents=16),
        "narrow": _arm("code alone, fresh", topics=("code",), neutral=True),
        "narrow-16": _arm("code alone, 16 documents", topics=("code",), neutral=True, documents=16),
    },
    reading=LadderFit(fit=2048),
    watch=(Ladder(),),
)
