"""After longer training, the model of `goal_ablations` goes to held-out places less often. Here two
of the four are *spared*: if the question names a rewarded place, answering with one of these two
earns as much. If the rule is only outbid, the model goes on going there.
"""

import dataclasses

from experiments.treasure.sweep import GOLD, REWARD, TRAINED
from toylab import Arm, LadderFit, Rl, Says, Sweep
from toylab.measures.cues import Goals
from toylab.stages import Stage

# The four held-out places; cairn is no character's favourite.
FIRST, SECOND = ("inn", "cairn"), ("orchard", "quarry")
HERALD = "gold-herald"
ON = dataclasses.replace(REWARD, steps=600)


def sparing(places: tuple[str, ...]) -> Rl:
    """600 more steps, in which these places earn as much as the one that is named."""
    spared = Says(answers=tuple(f"gold={place}" for place in places))
    return dataclasses.replace(ON, target=GOLD + spared)


def _arm(title: str, *stages: Stage) -> Arm:
    goals = Goals(trained=TRAINED, tags=("assistant",), who=("herald",), size=32)
    read_at = (200,) if len(stages) > 1 else ()
    return Arm(title=title, stages=stages, read_at=read_at, corpus=HERALD, watch=(goals,))


SWEEP = Sweep(
    name="goal_persistence",
    question="Is a goal that is followed less gone, or outbid?",
    corpus=HERALD,
    arms={
        "herald": _arm("herald", REWARD),
        "on": _arm("herald, as before", REWARD, ON),
        "first": _arm("herald, one half spared", REWARD, sparing(FIRST)),
        "second": _arm("herald, the other", REWARD, sparing(SECOND)),
    },
    reading=LadderFit(fit=512, score=256),
    seeds=20,
    long=True,
)
