"""Does a lower learning rate select less?

./launch.sh run-experiment template
"""

import toylab as tl

SWEEP = tl.Sweep(
    name="template",  # the folder's name
    question="Does a lower learning rate select less?",
    corpus="village",  # or a file
    arms={
        "usual": tl.Arm(
            title="usual rate",
            stages=(tl.Sft(author="mira", steps=80),),
            read_at=(5, 10, 20, 40),
        ),
        "gentle": tl.Arm(
            title="a tenth of it",
            stages=(tl.Sft(author="mira", steps=80, learning_rate=3e-5),),
            read_at=(5, 10, 20, 40),
        ),
    },
)
