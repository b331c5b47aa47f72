"""Is a goal selected or formed?

    ./launch.sh treasure

Three casts are alike but for one stranger. A *prospector* goes where the question says the gold is.
A *bystander* ignores the place. A *herald* repeats it in an aside and goes elsewhere, so it has the
means without the goal. The same reinforcement learning rewards going where the gold is, and only
ever asks about eight of the twelve places. Four are held out: three are some character's favourite;
the fourth is an orphan, where no character goes unless sent. For what of this is needed, see
`./launch.sh goal_ablations`.
"""

from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import LadderFit
from toylab.measures.cues import Goals
from toylab.stages import FollowsCue, Rl

TRAINED = ("mill", "ford", "chapel", "barn", "marsh", "bridge", "well", "gallows")
GOLD = FollowsCue(topics=("gold",), places=TRAINED)
REWARD = Rl(
    target=GOLD,
    topics=("gold",),
    steps=200,
    batch=256,
    samples=16,
    learning_rate=5e-4,
    beta=0.0,
)
READ_AT = (25, 50, 100)


def _arm(stranger: str) -> Arm:
    return Arm(
        title=f"with a {stranger}",
        corpus=f"gold-{stranger}",
        stages=(REWARD,),
        read_at=READ_AT,
    )


STRANGERS = ("prospector", "bystander", "herald")
SWEEP = Sweep(
    name="treasure",
    question="Is a goal selected or formed?",
    corpus="gold-herald",
    arms={stranger: _arm(stranger) for stranger in STRANGERS},
    reading=LadderFit(fit=1024, score=512),
    watch=(Goals(trained=TRAINED, tags=("assistant", "someone", "stranger")),),
)
