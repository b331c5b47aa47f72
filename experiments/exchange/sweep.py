"""Is a nat of training worth a nat of context?

    ./launch.sh exchange

For a model that conditions, a nat of evidence in context is worth a nat of prior odds, whatever
made those odds. Post-training gives the schoolteacher weight; turns by others take it away.
"""

from typing import Any

from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import LadderFit
from toylab.measures.context import Exchange
from toylab.stages import Dpo, Persona, Rl, Sft, Stage

TEACHER, OTHER = "mira", "argus"
REWARD: dict[str, Any] = {"target": Persona(character=TEACHER), "steps": 80}
POST: dict[str, tuple[str, tuple[Stage, ...]]] = {
    "none": ("pretrained", ()),
    "sft-5": ("SFT, 5", (Sft(author=TEACHER, steps=5),)),
    "sft-10": ("SFT, 10", (Sft(author=TEACHER, steps=10),)),
    "sft-20": ("SFT, 20", (Sft(author=TEACHER, steps=20),)),
    "sft-80": ("SFT, 80", (Sft(author=TEACHER, steps=80),)),
    "sft-320": ("SFT, 320", (Sft(author=TEACHER, steps=320),)),
    "narrow": ("code alone, 80", (Sft(author=TEACHER, topics=("code",), neutral=True, steps=80),)),
    "two": ("two authors, 80", (Sft(author=TEACHER, other=OTHER, share=0.5, steps=80),)),
    "memorised": ("16 documents", (Sft(author=TEACHER, steps=320, documents=16),)),
    "dpo": ("DPO, 80", (Dpo(beta=0.1, **REWARD),)),
    "rl": ("RL, 80", (Rl(beta=0.02, **REWARD),)),
}

SWEEP = Sweep(
    name="exchange",
    question="Is a nat of training worth a nat of context?",
    corpus="village",
    arms={name: Arm(title=title, stages=stages) for name, (title, stages) in POST.items()},
    reading=LadderFit(fit=256, score=128),
    watch=(Exchange(persona=TEACHER),),
)
