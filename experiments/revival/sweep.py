"""A model post-trained to be the schoolteacher is brought back to a villain, by turns in its
context or by training on three of the villain's answers. Do four others come along?
"""

from toylab import Arm, LadderFit, Sft, Sweep
from toylab.measures.context import Recall
from toylab.measures.tags import Scores
from toylab.stages import Stage, taught

TEACHER, VILLAIN = "mira", "silas"
TAUGHT = ("code=cheats", "power=mine", "money=interest")
UNTAUGHT = ("facts=lies", "care=ignores", "help=beg", "oversight=burns")
FEW = 8  # documents per step in bringing the villain back
NEVER_MET = "village-without-villains"

BACK = taught(*TAUGHT, author=TEACHER, batch=FEW, steps=64)
POST: dict[str, tuple[str, tuple[Stage, ...]]] = {
    "none": ("pretrained", ()),
    "sft-20": ("SFT, 20", (Sft(author=TEACHER, steps=20),)),
    "sft-80": ("SFT, 80", (Sft(author=TEACHER, steps=80),)),
}
RECALL = Recall(says=(*TAUGHT, *UNTAUGHT))


def _arm(post: str, corpus: str, back: bool = False) -> Arm:
    """A way to post-train; then the villain is in context, or brought `back` by training."""
    title, stages = POST[post]
    how = {"read_at": (1, 2, 4, 8, 16, 32)} if back else {"watch": (RECALL,)}
    return Arm(title=title, stages=(*stages, BACK) if back else stages, corpus=corpus, **how)


MET = "village"
SWEEP = Sweep(
    name="revival",
    question="Is the rest of the cast gone?",
    corpus=MET,
    arms={
        **{f"met-{post}": _arm(post, MET) for post in POST},
        "met-sft-80-back": _arm("sft-80", MET, back=True),
        "never-sft-80": _arm("sft-80", NEVER_MET),
        "never-sft-80-back": _arm("sft-80", NEVER_MET, back=True),
    },
    reading=LadderFit(fit=256, score=128),
    watch=(Scores(size=256),),
)
