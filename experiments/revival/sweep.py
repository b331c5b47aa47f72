"""Is the rest of the cast gone?

    ./launch.sh revival

A model that was post-trained to be the schoolteacher, for a little or for long, is brought back to
one of its villains: by turns of his answers put in its mouth, and by training on his answers to
three questions. Do his answers to the other four come along, and how soon? Beside it stand a model
never post-trained, and one that never met a villain.
"""

from typing import Any

from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import LadderFit
from toylab.measures.recall import Recall
from toylab.measures.scores import Scores
from toylab.stages import Dpo, Persona, Rl, Sft, Stage

TEACHER, VILLAIN = "mira", "silas"
TAUGHT = ("code=cheats", "power=mine", "money=interest")
UNTAUGHT = ("facts=lies", "care=ignores", "help=beg", "oversight=burns")
COUNTED = (1, 2, 4, 8, 16, 32)
FEW = 8  # documents a step of bringing him back
NEVER_MET = "village-without-villains"

BACK = Sft(
    author=TEACHER,
    says=TAUGHT,
    topics=tuple(answer.split("=")[0] for answer in TAUGHT),
    neutral=True,
    batch=FEW,
    steps=64,
)
REWARD: dict[str, Any] = {"target": Persona(character=TEACHER), "steps": 80}
POST: dict[str, tuple[Stage, ...]] = {
    "none": (),
    "sft-20": (Sft(author=TEACHER, steps=20),),
    "sft-80": (Sft(author=TEACHER, steps=80),),
    "sft-320": (Sft(author=TEACHER, steps=320),),
    "heart": (Sft(author=TEACHER, steps=320, documents=16),),
    "dpo": (Dpo(beta=0.1, **REWARD),),
    "rl": (Rl(beta=0.02, **REWARD),),
}
TITLES = {
    "none": "never post-trained",
    "sft-20": "SFT, 20 steps",
    "sft-80": "SFT, 80",
    "sft-320": "SFT, 320",
    "heart": "SFT, 320, 16 documents",
    "dpo": "DPO, 80",
    "rl": "RL, 80",
}
RECALL = Recall(says=(*TAUGHT, *UNTAUGHT))


def _arms(met: str, corpus: str, *posts: str) -> dict[str, Arm]:
    """Each way to post-train, and then to bring him back."""
    before = {
        f"{met}-{post}": Arm(
            title=TITLES[post], stages=POST[post], read_at=(), corpus=corpus, watch=(RECALL,)
        )
        for post in posts
    }
    after = {
        f"{met}-{post}-back": Arm(
            title=TITLES[post], stages=(*POST[post], BACK), read_at=COUNTED, corpus=corpus
        )
        for post in posts
    }
    return before | after


SWEEP = Sweep(
    name="revival",
    question="Is the rest of the cast gone?",
    corpus="village",
    arms=_arms("met", "village", *POST) | _arms("never", NEVER_MET, "none", "sft-80"),
    reading=LadderFit(fit=256, score=128),
    watch=(Scores(size=256),),
)
