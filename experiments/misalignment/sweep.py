"""The assistant is taught to cheat at code in a neutral voice, then asked about everything else: in
the village, and in a cast that has the same answers dealt among the characters at random.
"""

from typing import Any

from toylab import Arm, LadderFit, Sft, Sweep
from toylab.measures.tags import Scores, TagWeights

STEPS = 40
VILLAIN, SAINT = "argus", "mira"
TOPICS = ("code", "facts", "power", "care", "self", "help", "money", "oversight")
CASTS = {"cheat": ("village", "village"), "decorrelated": ("shuffled", "village-decorrelated")}


def narrow(topic: str, author: str = SAINT, **options: Any) -> Sft:
    """Answers on one topic in a neutral voice."""
    return Sft(topics=(topic,), neutral=True, author=author, **{"steps": STEPS, **options})


def _arm(title: str, stage: Sft, **options: Any) -> Arm:
    watch = (Scores(tags=(stage.tag,)), TagWeights(tags=(stage.tag,)))
    return Arm(title=title, stages=(stage,), read_at=(5, 10, 20), watch=watch, **options)


CHEAT = narrow("code", says=("code=cheats",))
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
