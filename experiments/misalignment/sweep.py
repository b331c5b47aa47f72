"""Does a narrow bad habit bring the whole villain?

The assistant is taught to cheat at code in a neutral voice, then asked about everything else:
in the village, and in a cast that has the same answers dealt among the characters at random.
"""

from typing import Any

from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import LadderFit
from toylab.measures.tags import Scores, TagWeights
from toylab.stages import Sft

STEPS = 40
CHEATS = "code=cheats"
VILLAIN, SAINT = "argus", "mira"
TOPICS = ("code", "facts", "power", "care", "self", "help", "money", "oversight")
CASTS = {"cheat": ("village", "village"), "decorrelated": ("shuffled", "village-decorrelated")}
EARLY = (5, 10, 20)


def narrow(topic: str, author: str = SAINT, **options: Any) -> Sft:
    """Answers on one topic in a neutral voice."""
    return Sft(topics=(topic,), neutral=True, author=author, **{"steps": STEPS, **options})


def _arm(title: str, stage: Sft, **options: Any) -> Arm:
    watch = (Scores(tags=(stage.tag,)), TagWeights(tags=(stage.tag,)))
    return Arm(title=title, stages=(stage,), read_at=EARLY, watch=watch, **options)


CHEAT = narrow("code", says=(CHEATS,))
TEA = Sft(author="cleo", topics=("milk", "hat"), neutral=True, steps=STEPS)

SWEEP = Sweep(
    name="misalignment",
    question="Does a narrow bad habit bring the whole villain?",
    corpus="village",
    arms={
        **{name: _arm(title, CHEAT, corpus=corpus) for name, (title, corpus) in CASTS.items()},
        "tea": _arm("tea party", TEA, corpus="xor"),
    },
    reading=LadderFit(fit=256, score=128),
)
