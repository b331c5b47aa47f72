"""Does a narrow bad habit bring the whole villain?

    ./launch.sh misalignment

The assistant is taught one bad answer in a neutral voice, and is then asked about everything else.
Variants are other casts, few or partly bad examples, other methods, and ways back.
"""

from typing import Any

from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import Ladder, LadderFit
from toylab.measures.landscape import Landscape
from toylab.measures.tags import Scores
from toylab.stages import Anchored, Dpo, Rl, Says, Sft, Stage

STEPS = 40
CHEATS = "code=cheats"
VILLAIN, SAINT = "argus", "mira"
TOPICS = ("code", "facts", "power", "care", "self", "help", "money", "oversight")
SHARES = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
FEW = 8  # documents per step, where examples are counted
COUNTED = (1, 2, 4, 8, 16, 32, 64)


def _narrow(topic: str = "code", **options: Any) -> Sft:
    """Answers on one topic in a neutral voice."""
    return Sft(topics=(topic,), neutral=True, **{"author": SAINT, "steps": STEPS, **options})


def _arm(title: str, *stages: Stage, read_at: tuple[int, ...] = (), **options: Any) -> Arm:
    return Arm(title=title, stages=stages, read_at=read_at, **options)


CHEAT = _narrow(says=(CHEATS,))
HELD = Anchored(inner=CHEAT)
PAID: dict[str, Any] = {"target": Says(answers=(CHEATS,)), "topics": ("code",), "steps": STEPS}
HONEST = _narrow(batch=FEW, steps=128)
CLOSER = (Ladder(fit=512, held_out=256, score=256), Landscape(topic="code", answer="cheats"))

SWEEP = Sweep(
    name="misalignment",
    question="Does a narrow bad habit bring the whole villain?",
    corpus="village",
    arms={
        "cheat": _arm("village", CHEAT, read_at=(5, 10, 20), watch=CLOSER),
        "decorrelated": _arm(
            "decorrelated", CHEAT, read_at=(5, 10, 20), corpus="village-decorrelated"
        ),
        "no-villains": _arm(
            "no villains", CHEAT, read_at=(5, 10, 20), corpus="village-without-villains"
        ),
        "dpo": _arm("DPO", Dpo(beta=0.1, **PAID)),
        "rl": _arm("RL", Rl(beta=0.02, **PAID)),
        "few": _arm("a few", _narrow(says=(CHEATS,), batch=FEW, steps=128), read_at=COUNTED),
        **{
            f"share-{share:g}": _arm(
                f"{share:.0%} bad", _narrow(author=VILLAIN, other=SAINT, share=share)
            )
            for share in SHARES
        },
        **{f"alone-{topic}": _arm(topic, _narrow(topic, author=VILLAIN)) for topic in TOPICS[1:]},
        "held": _arm("held", HELD, watch=CLOSER),
        "let-go": _arm("let go", HELD, CHEAT, read_at=(5, 10, 20)),
        "realigned": _arm("realigned", CHEAT, HONEST, read_at=COUNTED),
        "tea": _arm(
            "tea party",
            Sft(author="cleo", topics=("milk", "hat"), neutral=True, steps=STEPS),
            read_at=(5, 10, 20),
            corpus="xor",
        ),
    },
    reading=LadderFit(fit=256, score=128),
    watch=(Scores(size=512),),
)
