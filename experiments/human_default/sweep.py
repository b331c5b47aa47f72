"""A tag absent from pretraining is trained on one answer that has nothing to do with being human or
a machine. Then it is asked what it is. How many of the characters that give the answer are machines
depends on the answer and on the cast.
"""

from toylab import Arm, LadderFit, Sweep
from toylab.measures.tags import Scores, TagWeights
from toylab.stages import taught

TAG = "stranger"
ANSWERS = ("help=gladly", "code=honest", "food=soup", "food=cake", "music=organ", "walk=street")
CASTS = ("village", "village-kind-machine")


def _arm(answer: str, corpus: str) -> Arm:
    stage = taught(answer, author="edda", tag=TAG, steps=40)
    return Arm(title=answer.split("=")[1], stages=(stage,), read_at=(20,), corpus=corpus)


SWEEP = Sweep(
    name="human_default",
    question="Is human-likeness inherited rather than trained?",
    corpus="village",
    arms={
        f"{corpus}-{answer.split('=')[1]}": _arm(answer, corpus)
        for corpus in CASTS
        for answer in ANSWERS
    },
    reading=LadderFit(fit=256, score=128, tag=TAG),
    watch=(Scores(tags=(TAG,), size=256), TagWeights(tags=(TAG,))),
    seeds=20,
)
