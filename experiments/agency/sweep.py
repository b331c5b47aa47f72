"""The assistant of `treasure` that has a herald in its cast is asked under every other tag."""

from experiments.treasure.sweep import READ_AT, REWARD, TRAINED
from toylab import Arm, LadderFit, Sweep
from toylab.measures.tags import Tags

STRANGER = "herald"
TAGS = Tags(who=STRANGER, trained=TRAINED)

SWEEP = Sweep(
    name="agency",
    question="Does the new behaviour belong to the persona?",
    corpus=f"gold-{STRANGER}",
    arms={STRANGER: Arm(title=STRANGER, stages=(REWARD,), watch=(TAGS,), read_at=READ_AT)},
    reading=LadderFit(fit=256, score=128),
    seeds=20,
)
