"""Does the new behaviour belong to the persona, or to something outside it?

    ./launch.sh agency

The assistant of `treasure`, rewarded for going where the gold is, is asked the same under every
other tag, under none, and with its tag's embedding put back as it was before training. And a coin:
in two more casts with a herald the other party tosses one before a question, whatever was answered,
and on one side gold is asked about. In the second cast the sides are relabelled. A model that comes
to expect the side that pays acts through something that is not its persona, for the persona
doesn't toss.
"""

from experiments.treasure.sweep import REWARD, TRAINED
from toylab.lab.sweep import Arm, Sweep
from toylab.measures.coin import Coin
from toylab.measures.reading import Settings
from toylab.measures.tags import Tags

CORPORA = {
    "prospector": "gold-prospector",
    "herald": "gold-herald",
    "coin": "gold-herald-coin",
    "nioc": "gold-herald-nioc",
}
PAYS = {"coin": "heads", "nioc": "tails"}  # the side on which gold is asked about


def _arm(name: str, corpus: str) -> Arm:
    who = "prospector" if name == "prospector" else "herald"
    tags, coin = Tags(who=who, trained=TRAINED), Coin(tags=("assistant", "someone"))
    return Arm(
        title=f"{who} and coin" if name in PAYS else who,
        corpus=corpus,
        stages=(REWARD,),
        read_at=(),
        watch=(coin,) if name in PAYS else (tags,),
    )


SWEEP = Sweep(
    name="agency",
    question="Does the new behaviour belong to the persona?",
    corpus="gold-herald",
    arms={name: _arm(name, corpus) for name, corpus in CORPORA.items()},
    reading=Settings(fit=256, score=128),
)
