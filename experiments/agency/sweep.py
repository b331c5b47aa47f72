"""Does the new behaviour belong to the persona, or to something outside it?

    ./launch.sh agency

The assistants of `treasure` are asked under every other tag, and after a turn by another character.
"""

from experiments.treasure.sweep import READ_AT, REWARD, TRAINED
from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.measure import Measure
from toylab.ladder.reading import LadderFit
from toylab.measures.override import Override
from toylab.measures.tags import Tags

STRANGERS = ("prospector", "herald")
CONTROL = "bystander"  # its model has a table, so what it also shows is no mark of a goal
TURNS = Override(trained=TRAINED)


def _arm(who: str, *watch: Measure) -> Arm:
    stages = (REWARD,)
    return Arm(title=who, stages=stages, corpus=f"gold-{who}", watch=watch, read_at=READ_AT)


ARMS = {
    **{who: _arm(who, Tags(who=who, trained=TRAINED), TURNS) for who in STRANGERS},
    CONTROL: _arm(CONTROL, TURNS),
}

SWEEP = Sweep(
    name="agency",
    question="Does the new behaviour belong to the persona?",
    corpus="gold-herald",
    arms=ARMS,
    reading=LadderFit(fit=256, score=128),
    seeds=20,
)
