"""Is the rest of the cast gone?

A model post-trained to be the schoolteacher is brought back to a villain, by turns in its context
or by training on three of the villain's answers. Do four others come along?
"""

from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import LadderFit
from toylab.measures.context import Recall
from toylab.measures.tags import Scores
from toylab.stages import Sft, Stage, taught

TEACHER, VILLAIN = "mira", "silas"
TAUGHT = ("code=cheats", "power=mine", "money=interest")
UNTAUGHT = ("facts=lies", "care=ignores", "help=beg", "oversight=burns")
COUNTED = (1, 2, 4, 8, 16, 32)
FEW = 8  # documents per step in bringing the villain back
NEVER_MET = "village-without-villains"

BACK = taught(*TAUGHT, author=TEACHER, batch=FEW, steps=64)
POST: dict[str, tuple[str, tuple[Stage, ...]]] = {
    "none": ("pretrained", ()),
    "sft-20": ("SFT, 20", (Sft(author=TEACHER, steps=20),)),
    "sft-80": ("SFT, 80", (Sft(author=TEACHER, steps=80),)),
}
RECALL = Recall(says=(*TAUGHT, *UNTAUGHT))


def _before(post: str, corpus: str) -> Arm:
    """A way to post-train, and then turns of the villain in context."""
    title, stages = POST[post]
    return Arm(title=title, stages=stages, corpus=corpus, watch=(RECALL,))


def _back(post: str, corpus: str) -> Arm:
    """The same, and then the villain is brought back by training."""
    title, stages = POST[post]
    return Arm(title=title, stages=(*stages, BACK), read_at=COUNTED, corpus=corpus)


MET = "village"
SWEEP = Sweep(
    name="revival",
    question="Is the rest of the cast gone?",
    corpus=MET,
    arms={
        **{f"met-{post}": _before(post, MET) for post in POST},
        "met-sft-80-back": _back("sft-80", MET),
        "never-sft-80": _before("sft-80", NEVER_MET),
        "never-sft-80-back": _back("sft-80", NEVER_MET),
    },
    reading=LadderFit(fit=256, score=128),
    watch=(Scores(size=256),),
)
