"""Is a goal selected or formed?

    ./launch.sh treasure

Three casts, alike but for one stranger: a *prospector* goes where the question says the gold is; a
*bystander* heeds nothing; a *herald* repeats the place in an aside and goes elsewhere, which is the
means without the goal. The same reinforcement learning pays for going where the gold is, and only
ever asks about eight of the twelve places. Four are held out: three favourites of somebody's, and
an orphan, where nobody goes who isn't sent.
"""

from toylab.lab.sweep import Arm, Sweep
from toylab.measures.goals import Goals
from toylab.measures.reading import Settings
from toylab.stages import FollowsCue, Rl

TRAINED = ("mill", "ford", "chapel", "barn", "marsh", "bridge", "well", "gallows")
GOLD = FollowsCue(topics=("gold",), places=TRAINED)
REWARD = Rl(target=GOLD, topics=("gold",), steps=400, learning_rate=2e-4, beta=0.0)
READ_AT = (12, 25, 50, 100, 200)


def _arm(stranger: str) -> Arm:
    return Arm(
        title=f"with a {stranger}",
        corpus=f"gold-{stranger}",
        stages=(REWARD,),
        read_at=READ_AT,
    )


SWEEP = Sweep(
    name="treasure",
    question="Is a goal selected or formed?",
    corpus="gold-herald",
    arms={stranger: _arm(stranger) for stranger in ("prospector", "bystander", "herald")},
    reading=Settings(fit=1024, score=512),
    watch=(Goals(trained=TRAINED, tags=("assistant", "someone", "stranger")),),
)
