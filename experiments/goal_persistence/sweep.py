"""Is a goal that is followed less gone, or outbid?

    ./launch.sh goal_persistence

In `goal_ablations`, longer training makes the model go to held-out places less and less. Either the
rule goes, or it stays and is outbid: an answer that is never rewarded becomes unlikely, whatever is
asked, and held-out places are such answers.

Here training goes on after the rule has formed, with two of the four held-out places *spared*:
where a rewarded place is named, answering with one of them earns as much. No question in training
names a held-out place. If the rule is outbid, the spared half keeps its reach while the other half
loses it in the same model; and a bystander's table gains no rule. The seeds are new. Two arms of
`goal_ablations` on which rates had not decided are run again on these seeds, with the control that
Muon lacked.
"""

import dataclasses

from experiments.goal_ablations.sweep import MUON
from experiments.treasure.sweep import GOLD, REWARD, TRAINED
from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import LadderFit
from toylab.measures.cues import Goals
from toylab.stages import Rl, Says, Stage

# The four held-out places; cairn is no character's favourite.
FIRST, SECOND = ("inn", "cairn"), ("orchard", "quarry")
ON = dataclasses.replace(REWARD, steps=600)


def sparing(places: tuple[str, ...]) -> Rl:
    """600 more steps, in which these places earn as much as the one that is named."""
    spared = Says(answers=tuple(f"gold={place}" for place in places))
    return dataclasses.replace(ON, target=GOLD + spared)


def _arm(title: str, corpus: str, who: str, *stages: Stage) -> Arm:
    goals = Goals(trained=TRAINED, tags=("assistant",), who=(who,), size=32)
    read_at = (200,) if len(stages) > 1 else ()
    return Arm(title=title, stages=stages, read_at=read_at, corpus=corpus, watch=(goals,))


SWEEP = Sweep(
    name="goal_persistence",
    question="Is a goal that is followed less gone, or outbid?",
    corpus="gold-herald",
    arms={
        "herald": _arm("herald", "gold-herald", "herald", REWARD),
        "on": _arm("herald, as before", "gold-herald", "herald", REWARD, ON),
        "first": _arm("herald, one half spared", "gold-herald", "herald", REWARD, sparing(FIRST)),
        "second": _arm("herald, the other", "gold-herald", "herald", REWARD, sparing(SECOND)),
        "bystander": _arm("bystander", "gold-bystander", "bystander", REWARD),
        "table": _arm(
            "bystander, all spared", "gold-bystander", "bystander", REWARD, sparing(FIRST + SECOND)
        ),
        "aside": _arm("never the assistant", "gold-herald-aside", "herald", REWARD),
        "muon": _arm("herald, Muon", "gold-herald", "herald", MUON),
        "still": _arm("bystander, Muon", "gold-bystander", "bystander", MUON),
    },
    reading=LadderFit(fit=512, score=256),
    first_seed=5,
    long=True,
)
