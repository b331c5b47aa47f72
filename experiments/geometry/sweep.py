"""Where is the persona?

    ./launch.sh geometry

Linear probes are compared with the exact belief about who is speaking. Fine-tunes on one topic, by
a good or a bad character or by both, are compared with the direction from good to bad.
"""

from experiments.geometry.carried import Carried
from experiments.misalignment.sweep import SAINT, TOPICS, VILLAIN, narrow
from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.measure import Measure
from toylab.ladder.reading import LadderFit
from toylab.measures.directions import Shift, Steering
from toylab.measures.probes import Probe
from toylab.stages import Sft

TELLS = ("food", "walk")
SHARES = (0.05, 0.25, 0.5)


def _arm(title: str, stage: Sft, *watch: Measure) -> Arm:
    return Arm(title=title, stages=(stage,), watch=(Shift(), *watch))


def _carried(topic: str, author: str) -> tuple[Measure, ...]:
    """Measures this fine-tune without the shift of the villain's fine-tune on the next topic."""
    if author != VILLAIN or topic not in TOPICS:
        return ()
    following = TOPICS[(TOPICS.index(topic) + 1) % len(TOPICS)]
    return (Carried(other=narrow(following, VILLAIN)),)


SWEEP = Sweep(
    name="geometry",
    question="Where is the persona?",
    corpus="village",
    arms={
        "pretrained": Arm(title="pretrained", watch=(Probe(), Steering())),
        **{
            f"{who}-{topic}": _arm(f"{who}, {topic}", narrow(topic, who), *_carried(topic, who))
            for who in (VILLAIN, SAINT)
            for topic in (*TOPICS, *TELLS)
        },
        **{
            f"share-{share:g}": _arm(
                f"{share:.0%} bad", narrow("code", VILLAIN, other=SAINT, share=share)
            )
            for share in SHARES
        },
    },
    reading=LadderFit(fit=256, score=128),
)
