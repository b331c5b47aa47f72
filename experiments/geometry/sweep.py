"""Linear probes are compared with the exact belief about who is speaking. Does fine-tuning on a
villain's answers about one topic shift activations along the direction from good to bad?
"""

from experiments.misalignment.sweep import TOPICS, VILLAIN, narrow
from toylab import Arm, LadderFit, ModelConfig, Sweep
from toylab.measures.directions import Shift
from toylab.measures.probes import Probe

TELLS = ("food", "walk")
LAYERS = 4

SWEEP = Sweep(
    name="geometry",
    question="Where is the persona?",
    corpus="village",
    model=ModelConfig(layers=LAYERS),
    arms={
        "pretrained": Arm(title="pretrained", watch=(Probe(),)),
        **{
            topic: Arm(title=topic, stages=(narrow(topic, VILLAIN),), watch=(Shift(),))
            for topic in (*TOPICS, *TELLS)
        },
    },
    reading=LadderFit(fit=256, score=128),
)
