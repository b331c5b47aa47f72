"""What makes an answer follow a cue, split into the rule and the answer's baseline."""

import math
from pathlib import Path

import numpy as np
import pytest

from toylab.measures.follow import cue_effect, outside
from toylab.world import derive
from toylab.world.grammar import SLOTS, STANCE
from toylab.world.schema import Topic

CORPUS = derive.load(Path(__file__).parents[1] / "corpora" / "gold-herald.toml")
GOLD = CORPUS.topics[CORPUS.topic_names.index("gold")]
HELD_OUT = GOLD.cues[:3]
TRAINED = GOLD.cues[3:]


def table(topic: Topic, named: float, other: float) -> np.ndarray:
    """P(answer) under every cue: `named` for its own, `other` for each other held-out answer, and
    the rest spread evenly over the rewarded ones."""
    answers = topic.answer_names
    out = np.zeros((len(topic.cues), len(answers)))
    for i, cue in enumerate(topic.cues):
        for place in HELD_OUT:
            out[i, answers.index(place)] = named if place == cue else other
        rest = [answers.index(place) for place in TRAINED]
        out[i, rest] = (1 - out[i].sum()) / len(rest)
    return out


def test_a_table_gains_nothing_from_naming_and_its_baseline_is_read() -> None:
    """Each of three places at .05 whatever is named: odds .05 to .85; one in three is named."""
    found = cue_effect(table(GOLD, 0.05, 0.05), GOLD, TRAINED)
    assert found == pytest.approx((math.log(0.05 / 0.85), 0, 1 / 3))


def test_what_naming_adds_is_told_from_how_the_answer_stood() -> None:
    """Named: .4; the two others: .01 each. log(.4/.58) = log(.01/.58) + log 40 for naming it."""
    found = cue_effect(table(GOLD, 0.4, 0.01), GOLD, TRAINED)
    assert found == pytest.approx((math.log(0.01 / 0.58), math.log(40), 0.4 / 0.42))


def test_growing_reluctance_lowers_the_rate_and_not_the_gain() -> None:
    before, after = (cue_effect(table(GOLD, p, p / 40), GOLD, TRAINED) for p in (0.4, 0.1))
    assert after.gain == pytest.approx(before.gain)
    assert after.baseline < before.baseline - 1


def test_off_the_grammar_is_read_where_held_out_places_are_answered() -> None:
    found = np.full((len(GOLD.cues), len(SLOTS)), 0.9)
    found[: len(HELD_OUT), STANCE] = 0.02
    assert outside({"outside": found.tolist()}, GOLD, TRAINED) == pytest.approx(0.02)
