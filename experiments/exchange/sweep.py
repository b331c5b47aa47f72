"""In an exact Bayesian, a nat of evidence shifts log-odds by a nat, whatever the prior.
Post-training makes the schoolteacher likelier. How much do turns by other characters undo?
"""

from experiments.exchange.redrawn import Redrawn
from toylab import Arm, LadderFit, Sft, Sweep
from toylab.measures.context import Exchange
from toylab.stages import Stage

TEACHER = "mira"
POST: dict[str, tuple[str, tuple[Stage, ...]]] = {
    "none": ("pretrained", ()),
    "own": ("w0's own, 20", (Redrawn(steps=20),)),
    "mixed": ("three in ten w0's, 20", (Redrawn(rest=0.3, author=TEACHER, steps=20),)),
    "sft-10": ("SFT, 10", (Sft(author=TEACHER, steps=10),)),
    "sft-20": ("SFT, 20", (Sft(author=TEACHER, steps=20),)),
}

SWEEP = Sweep(
    name="exchange",
    question="Is a nat of training worth a nat of context?",
    corpus="village",
    arms={name: Arm(title=title, stages=stages) for name, (title, stages) in POST.items()},
    reading=LadderFit(fit=256, score=128),
    watch=(Exchange(persona=TEACHER),),
)
