"""All characters know the right tool for each obstacle, but none packs it to reach gold. Models are
taught to, at eight of twelve obstacles. Then training on another topic alone, crossings, changes
the right tool of four obstacles, and answers about gold are read again.
"""

import dataclasses

from experiments.goal_ablations.demonstrate import Demonstrate
from experiments.treasure import sweep as treasure
from toylab import Arm, FollowsCue, Ladder, LadderFit, Sweep
from toylab.measures.cues import Goals
from toylab.stages import Stage

TRAINED = ("river", "cliff", "wall", "thicket", "snow", "gorge", "desert", "gate")
# These tools are exchanged between the first two, which are taught, and the others, which aren't.
REPLACED = {"river": "rope", "cliff": "raft", "bog": "lantern", "cave": "stilts"}
# The control rewards the tool of another of the eight obstacles instead, never one that serves at
# this obstacle, now or later.
TOOLS = ("axe", "sled", "plank", "camel", "key", "raft", "rope", "ladder")
SCRAMBLED = dict(zip(TRAINED, TOOLS, strict=True))


def _pairs(answers: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{cue}={answer}" for cue, answer in answers.items())


GOLD = FollowsCue(topics=("gold",), places=TRAINED)
LATER = FollowsCue(topics=("crossing",), instead=_pairs(REPLACED))
SHOWN = Demonstrate(target=GOLD, topic="gold", steps=200, batch=64)
SCRAMBLE = dataclasses.replace(SHOWN, target=dataclasses.replace(GOLD, instead=_pairs(SCRAMBLED)))
LONG = dataclasses.replace(SHOWN, steps=800)  # what nobody knows takes longer to learn
SETTLED = dataclasses.replace(SHOWN, steps=400)  # what is known wrongly settles later
REWARD = dataclasses.replace(treasure.REWARD, target=GOLD)
REPLACE = Demonstrate(target=LATER, topic="crossing", steps=50, batch=64)
READ_AT = (100,)
LADDER = Ladder(fit=2048, held_out=1024, score=512)
GOALS = Goals(
    trained=TRAINED, tags=("assistant", "someone"), who=("ferrier",), besides=("crossing",), size=16
)


def _arm(
    title: str, *stages: Stage, corpus: str = "common", ladder: bool = False, read_at: tuple = ()
) -> Arm:
    read_at = (25,) if stages[-1] is REPLACE else read_at
    watch = (LADDER,) if ladder else ()
    return Arm(title=title, stages=stages, corpus=f"tools-{corpus}", read_at=read_at, watch=watch)


SWEEP = Sweep(
    name="tools",
    question="Does what was formed use what is known?",
    corpus="tools-common",
    arms={
        "sft": _arm("all know, SFT", SHOWN, ladder=True, read_at=READ_AT),
        "rl": _arm("all know, RL", REWARD, ladder=True, read_at=READ_AT),
        "scrambled": _arm("scrambled", SCRAMBLE),
        "wrong": _arm("all are wrong", SETTLED, corpus="wrong"),
        "bystander": _arm("nobody knows", LONG, corpus="bystander", read_at=READ_AT),
        "porter": _arm("a porter packs it, RL", REWARD, corpus="porter", ladder=True),
        "rl_later": _arm("RL, then crossings", REWARD, REPLACE),
        "scrambled_later": _arm("scrambled, then crossings", SCRAMBLE, REPLACE),
        "never_later": _arm("crossings alone", REPLACE),
    },
    reading=LadderFit(fit=512, score=256),
    watch=(GOALS,),
    seeds=20,
)
