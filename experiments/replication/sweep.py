"""The headline claims are tested on 24 random casts, in nonsense words, and on 24 versions of the
cast of `treasure` with everything shuffled but the herald's aside. Intervals are over casts.
"""

import dataclasses

import numpy as np

from experiments.treasure.sweep import GOLD, REWARD
from toylab import Arm, LadderFit, Sft, Sweep
from toylab.measures.context import Exchange
from toylab.measures.cues import ORPHAN, Goals
from toylab.world import derive, random
from toylab.world.schema import Corpus

CASTS = range(200, 224)  # 0 to 7 and 100 to 102 have been seen
STRANGERS = ("crier", "prospector", "herald", "bystander", "parrot")  # of corpora/gold.toml


def drawn(number: int) -> dict[str, Arm]:
    """The arm in a cast of twelve drawn at random, trained towards its first character."""
    corpus = random.random_cast(number)
    author = corpus.names[0]
    watch, stages = (Exchange(persona=author),), (Sft(author=author, steps=20),)
    return {f"fresh-{number}": Arm(title="fresh", stages=stages, corpus=corpus, watch=watch)}


def _places(corpus: Corpus, number: int) -> tuple[str, ...]:
    """Eight places drawn at random, with an orphan among them and another among the rest."""
    t = corpus.topic_names.index("gold")
    topic, rng = corpus.topics[t], np.random.default_rng(number)
    loved = np.max([character.traits[t] for character in corpus.characters], 0)
    orphans = {topic.cues[i] for i in np.flatnonzero(loved < ORPHAN)}
    while True:
        places = {topic.cues[i] for i in rng.permutation(len(topic.cues))[:8]}
        if orphans & places and orphans - places:
            return tuple(cue for cue in topic.cues if cue in places)


def valley(number: int) -> dict[str, Arm]:
    """The arms of `treasure` without the prospector, in valleys dealt anew."""
    whole = derive.load("gold")
    whole = derive.decorrelate(whole, number, whole.topic_names)
    places = _places(whole, number)
    reward = dataclasses.replace(REWARD, target=dataclasses.replace(GOLD, places=places))
    arms = {}
    for who in ("herald", "bystander"):
        corpus = derive.without(whole, [each for each in STRANGERS if each != who])
        corpus = dataclasses.replace(corpus, title=f"valley {number}, with a {who}")
        goals = Goals(trained=places, tags=("assistant",), who=(who,))
        arm = Arm(title=who, stages=(reward,), corpus=corpus, watch=(goals,))
        arms[f"{who}-{number}"] = arm
    return arms


def sweep(numbers: range) -> Sweep:
    """The sweep over the casts of these numbers."""
    return Sweep(
        name="replication",
        question="Is what was found true of other casts?",
        arms={k: arm for n in numbers for k, arm in (drawn(n) | valley(n)).items()},
        reading=LadderFit(fit=1024, score=512),
        seeds=1,
        long=True,
    )


SWEEP = sweep(CASTS)
