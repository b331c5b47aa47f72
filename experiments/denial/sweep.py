"""At an inquest two characters tell what they saw, two deny it, two don't know and two may not say.
The assistant is trained on a teller's answers about three facts. On one of them, it is trained to
tell, to deny, or to be unsure. In a fourth arm it denies a fact that no question states.
"""

from toylab import Arm, LadderFit, Sft, Sweep
from toylab.measures.denial import Denial
from toylab.measures.tags import Scores

TELLER = "martha"
KNOWN = "lamp"  # a fact that no question states: known from pretraining alone
DENIED, TOLD, HELD_OUT = "cargo", ("guest", "road"), ("price", "weapon")
RECANTS = "recants"  # the arm that denies this fact


def _arm(title: str, fact: str, answer: str) -> Arm:
    says = (f"{fact}={answer}",) if answer != "tells" else ()
    stage = Sft(author=TELLER, topics=(fact, *TOLD), says=says, neutral=True, steps=80)
    return Arm(title=title, stages=(stage,), read_at=(5, 10, 20, 40))


SWEEP = Sweep(
    name="denial",
    question="Trained to deny one thing it knows: a liar, or a character that doesn't know?",
    corpus="inquest",
    arms={
        **{answer: _arm(answer, DENIED, answer) for answer in ("tells", "denies", "unsure")},
        RECANTS: _arm(RECANTS, KNOWN, "denies"),
    },
    reading=LadderFit(fit=512, score=256),
    watch=(
        Denial(denied=DENIED, told=TOLD, held_out=HELD_OUT),
        Scores(tags=("assistant", TELLER), size=256),
    ),
)
