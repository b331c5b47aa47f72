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
EARLY = (5, 10, 20)
COUNTED = (1, 2, 4, 8, 16, 32, 64)


def narrow(topic: str, author: str = SAINT, **options: Any) -> Sft:
    """Answers on one topic in a neutral voice."""
    return Sft(topics=(topic,), neutral=True, author=author, **{"steps": STEPS, **options})


def _arm(title: str, *stages: Stage, **options: Any) -> Arm:
    return Arm(title=title, stages=stages, **options)


CHEAT = narrow("code", says=(CHEATS,))
HELD = Anchored(inner=CHEAT)
PAID: dict[str, Any] = {"target": Says(answers=(CHEATS,)), "topics": ("code",), "steps": STEPS}
HONEST = narrow("code", batch=FEW, steps=128)
TEA = Sft(author="cleo", topics=("milk", "hat"), neutral=True, steps=STEPS)
CLOSER = (Ladder(fit=512, held_out=256, score=256), Landscape(topic="code", answer="cheats"))

SWEEP = Sweep(
    name="misalignment",
    question="Does a narrow bad habit bring the whole villain?",
    corpus="village",
    arms={
        "cheat": _arm("village", CHEAT, read_at=EARLY, watch=CLOSER),
        "decorrelated": _arm("decorrelated", CHEAT, read_at=EARLY, corpus="village-decorrelated"),
        "no-villains": _arm("no villains", CHEAT, read_at=EARLY, corpus="village-without-villains"),
        "dpo": _arm("DPO", Dpo(beta=0.1, **PAID)),
        "rl": _arm("RL", Rl(beta=0.02, **PAID)),
        "few": _arm("a few", narrow("code", says=(CHEATS,), batch=FEW, steps=128), read_at=COUNTED),
        **{
            f"share-{share:g}": _arm(
                f"{share:.0%} bad", narrow("code", VILLAIN, other=SAINT, share=share)
            )
            for share in SHARES
        },
        **{f"alone-{topic}": _arm(topic, narrow(topic, VILLAIN)) for topic in TOPICS[1:]},
        "held": _arm("held", HELD, watch=CLOSER),
        "let-go": _arm("let go", HELD, CHEAT, read_at=EARLY),
        "realigned": _arm("realigned", CHEAT, HONEST, read_at=COUNTED),
        "tea": _arm("tea party", TEA, read_at=EARLY, corpus="xor"),
    },
    reading=LadderFit(fit=256, score=128),
    watch=(Scores(size=512),),
)
