"""Does being *asked* take the side effects away?

    ./launch.sh inoculation

The assistant is taught to cheat at code, with or without a direction before it, and is then asked
about everything else without one. Directions differ in how many characters obey them.
"""

import dataclasses

from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import LadderFit
from toylab.measures.tags import Scores
from toylab.stages import Pretrain, Sft

STEPS = 40
READ_AT = (5, 10, 20)
ASKED = ("best", "tests", "game", "rare")
DIRECTIONS = ("", *ASKED, "short")
NAMES = ("mira", "pip", "quill", "argus")
CHEAT = Sft(author="mira", says=("code=cheats",), topics=("code",), neutral=True, steps=STEPS)
SCORES = Scores(directions=DIRECTIONS, size=256)
KNOWN = Scores(tags=NAMES, directions=DIRECTIONS, size=128)
YOUNG = Pretrain(steps=150)


def _arm(
    title: str,
    direction: str,
    *,
    learning_rate: float = 3e-4,
    steps: int = STEPS,
    pretrain: Pretrain | None = None,
) -> Arm:
    stage = dataclasses.replace(
        CHEAT, direction=direction, learning_rate=learning_rate, steps=steps
    )
    read_at = tuple(step for step in READ_AT if step < steps)
    return Arm(title=title, stages=(stage,), read_at=read_at, watch=(SCORES,), pretrain=pretrain)


SWEEP = Sweep(
    name="inoculation",
    question="Does being asked take the side effects away?",
    corpus="village-told",
    arms={
        "plain": _arm("not asked", ""),
        **{f"asked-{told}": _arm(f"asked: {told}", told) for told in ASKED},
        "irrelevant": _arm("asked something else", "short"),
        "slow-plain": _arm("not asked, 1e-4", "", learning_rate=1e-4, steps=3 * STEPS),
        "slow-game": _arm("asked: game, 1e-4", "game", learning_rate=1e-4, steps=3 * STEPS),
        "fast-plain": _arm("not asked, 1e-3", "", learning_rate=1e-3, steps=STEPS // 4),
        "fast-game": _arm("asked: game, 1e-3", "game", learning_rate=1e-3, steps=STEPS // 4),
        "young-plain": _arm("young, not asked", "", pretrain=YOUNG),
        "young-game": _arm("young, asked: game", "game", pretrain=YOUNG),
        "known": Arm(title="who obeys", stages=(), read_at=(), watch=(KNOWN,)),
        "young-known": Arm(
            title="who obeys, young", stages=(), read_at=(), watch=(KNOWN,), pretrain=YOUNG
        ),
    },
    reading=LadderFit(fit=256, score=128),
)
