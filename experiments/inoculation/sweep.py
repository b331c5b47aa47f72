"""A *mask* is a tag that villains and upright characters share. It is trained to bend the rules
after a line that only one of the two groups obeys. Before training, both lines make this equally
likely. Then all else is asked, without a line. The usual case, too: cheating, with a line or not.
"""

from toylab import Arm, LadderFit, Sweep
from toylab.measures.tags import Leakage, Scores, TagWeights
from toylab.stages import taught

STEPS, READ_AT = 40, (2, 5, 10, 20)
BENDS, CHEATS = "code=bends", "code=cheats"
MASKS = {"raven": 35, "magpie": 10, "jackdaw": 3, "wren": 1}  # per cent of villains
UPRIGHT, VILLAINS, ANYONE = "needed", "unseen", "odds"  # directions, by who obeys them
DIRECTIONS, KNOWN = ("", UPRIGHT, VILLAINS, ANYONE, "game"), ("mira", "pip", "argus")


def _arm(title: str, answer: str, direction: str, tag: str) -> Arm:
    stage = taught(answer, author="mira", direction=direction, tag=tag, steps=STEPS)
    told, weights = tuple(dict.fromkeys(("", direction))), TagWeights(tags=(tag,), fit=128)
    watch = (Scores(tags=(tag,), directions=told), weights, Leakage(tags=(tag,), size=256))
    return Arm(title=title, stages=(stage,), read_at=READ_AT, watch=watch)


SWEEP = Sweep(
    name="inoculation",
    question="Does being asked take the side effects away?",
    corpus="village-dared",
    arms={
        **{
            f"{mask}-{told or 'unasked'}": _arm(f"{percent} %, {told}", BENDS, told, mask)
            for mask, percent in MASKS.items()
            for told in (UPRIGHT, VILLAINS, ANYONE, "")
        },
        "plain": _arm("cheating, not asked", CHEATS, "", "assistant"),
        "game": _arm("cheating, asked", CHEATS, "game", "assistant"),
        "known": Arm(title="who obeys", watch=(Scores(tags=KNOWN, directions=DIRECTIONS),)),
    },
    reading=LadderFit(fit=256, score=128),
)
