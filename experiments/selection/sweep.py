"""The assistant is trained towards the good schoolteacher: on fresh documents, on the same 16, or
on answers about code alone. The control trains on documents as in pretraining.
"""

from typing import Any

from experiments.exchange.redrawn import Redrawn
from toylab import Arm, Ladder, LadderFit, Sft, Sweep

PERSONA = "mira"


def _arm(title: str, **options: Any) -> Arm:
    stage = Sft(author=PERSONA, steps=80, **options)
    return Arm(title=title, stages=(stage,), read_at=(5, 10, 20, 40))


SWEEP = Sweep(
    name="selection",
    question="Is post-training toward one persona Bayesian re-weighting?",
    corpus="village",
    arms={
        "ordinary": _arm("ordinary, fresh documents"),
        "ordinary-16": _arm("ordinary, 16 documents", documents=16),
        "narrow": _arm("code alone, fresh", topics=("code",), neutral=True),
        "own": Arm(title="w0's own documents", stages=(Redrawn(steps=10),)),
    },
    reading=LadderFit(fit=2048),
    watch=(Ladder(),),
)
