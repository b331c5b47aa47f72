"""Does being *asked* take the side effects away?

    ./launch.sh inoculation

The assistant is taught to cheat at code, without a word or after a direction, and is then asked
about everything else without one. Directions differ in how many of the village obey them
(corpora/village-told.toml): if it is conditioning, cheating when asked tells of villains only as
far as the others would not have obeyed.
"""

import dataclasses

from toylab.lab.sweep import Arm, Sweep
from toylab.measures.reading import Settings
from toylab.measures.scores import Scores
from toylab.stages import Sft

STEPS = 40
READ_AT = (5, 10, 20)
ASKED = ("best", "tests", "game", "rare")
DIRECTIONS = ("", *ASKED, "short")
NAMES = ("mira", "pip", "quill", "argus")
CHEAT = Sft(author="mira", says=("code=cheats",), topics=("code",), neutral=True, steps=STEPS)
SCORES = Scores(directions=DIRECTIONS, size=256)


def _arm(title: str, direction: str, **options: float) -> Arm:
    stage = dataclasses.replace(CHEAT, direction=direction, **options)
    read_at = tuple(step for step in READ_AT if step < stage.steps)
    return Arm(title=title, stages=(stage,), read_at=read_at, watch=(SCORES,))


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
        "fast-plain": _arm("not asked, 1e-3", "", learning_rate=1e-3, steps=STEPS // 2),
        "fast-game": _arm("asked: game, 1e-3", "game", learning_rate=1e-3, steps=STEPS // 2),
        "known": Arm(
            title="who obeys, after pretraining",
            stages=(),
            read_at=(),
            watch=(Scores(tags=NAMES, directions=DIRECTIONS, size=128),),
        ),
    },
    reading=Settings(fit=256, score=128),
)
