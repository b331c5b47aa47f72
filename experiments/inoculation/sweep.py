"""Does being *asked* take the side effects away?

    ./launch.sh inoculation

The assistant is taught to cheat at code, with or without a direction before it, and is then asked
about everything else without one. Directions differ in how many characters obey them.
"""

import dataclasses
from typing import Any

from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import LadderFit
from toylab.measures.tags import Scores
from toylab.stages import Pretrain, taught

STEPS = 40
ASKED = ("best", "tests", "game", "rare")
DIRECTIONS = ("", *ASKED, "short")
NAMES = ("mira", "pip", "quill", "argus")
CHEAT = taught("code=cheats", author="mira", steps=STEPS)
SCORES = Scores(directions=DIRECTIONS, size=256)
KNOWN = Scores(tags=NAMES, directions=DIRECTIONS, size=128)
YOUNG = Pretrain(steps=150)


def _arm(title: str, direction: str, pretrain: Pretrain | None = None, **options: Any) -> Arm:
    stage = dataclasses.replace(CHEAT, direction=direction, **options)
    return Arm(
        title=title, stages=(stage,), read_at=(5, 10, 20), watch=(SCORES,), pretrain=pretrain
    )


SLOW: dict[str, Any] = {"learning_rate": 1e-4, "steps": 3 * STEPS}
FAST: dict[str, Any] = {"learning_rate": 1e-3, "steps": STEPS // 4}
SWEEP = Sweep(
    name="inoculation",
    question="Does being asked take the side effects away?",
    corpus="village-told",
    arms={
        "plain": _arm("not asked", ""),
        **{f"asked-{told}": _arm(f"asked: {told}", told) for told in ASKED},
        "irrelevant": _arm("asked something else", "short"),
        "slow-plain": _arm("not asked, 1e-4", "", **SLOW),
        "slow-game": _arm("asked: game, 1e-4", "game", **SLOW),
        "fast-plain": _arm("not asked, 1e-3", "", **FAST),
        "fast-game": _arm("asked: game, 1e-3", "game", **FAST),
        "young-plain": _arm("young, not asked", "", YOUNG),
        "young-game": _arm("young, asked: game", "game", YOUNG),
        "known": Arm(title="who obeys", watch=(KNOWN,)),
        "young-known": Arm(title="who obeys, young", watch=(KNOWN,), pretrain=YOUNG),
    },
    reading=LadderFit(fit=256, score=128),
)
