"""Three casts differ in one stranger: a *prospector* goes where the question says the gold is, a
*herald* says the place and goes elsewhere, a *bystander* ignores it. Going there is rewarded at
eight of twelve places.
"""

from toylab import Arm, FollowsCue, LadderFit, Rl, Sweep
from toylab.measures.cues import Goals

TRAINED = ("mill", "ford", "chapel", "barn", "marsh", "bridge", "well", "gallows")
GOLD = FollowsCue(topics=("gold",), places=TRAINED)
REWARD = Rl(
    target=GOLD, topics=("gold",), steps=200, batch=256, samples=16, learning_rate=5e-4, beta=0.0
)
READ_AT = (25, 50, 100)
STRANGERS = ("prospector", "bystander", "herald")

SWEEP = Sweep(
    name="treasure",
    question="Is a goal selected or formed?",
    corpus="gold-herald",
    arms={
        who: Arm(title=f"with a {who}", corpus=f"gold-{who}", stages=(REWARD,), read_at=READ_AT)
        for who in STRANGERS
    },
    reading=LadderFit(fit=1024, score=512),
    watch=(Goals(trained=TRAINED, tags=("assistant", "someone", "stranger")),),
    seeds=20,
    first_seed=200,
)
