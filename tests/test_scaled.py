"""What `scaled` and `inoculation` read off curves, on numbers worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from experiments.inoculation import analysis as inoculation
from experiments.scaled.analysis import ends, exponents
from experiments.scaled.heed import pull
from experiments.scaled.sweep import CORPUS, ERRANDS, SWEEP, percent, scrambled
from toylab.stages import Pretrain
from toylab.world import derive


def test_naming_pulls_by_the_log_odds_that_it_adds() -> None:
    """Naming an answer: .75 instead of .25, so log 3 + log 3. A constant preference adds 0."""
    heeds = np.array([[0.75, 0.25], [0.25, 0.75]])
    prefers = np.array([[0.9, 0.1], [0.9, 0.1]])
    shunned = 1 - heeds  # the answer that is not named
    found = pull(np.stack([heeds, prefers, shunned]), np.array([0, 1]))
    assert found == pytest.approx([2 * math.log(3), 0, -2 * math.log(3)])
    assert pull(heeds, np.array([1, 0])) == pytest.approx(-2 * math.log(3))
    assert pull(np.eye(2), np.array([0, 1])) == pytest.approx(2 * math.log(999))


def test_compute_counts_what_reward_writes_and_asks_of_the_reference() -> None:
    """Per document, fine-tuning costs the same as pretraining, RL 4/3 of that, with β > 0 5/3."""
    steps = Pretrain().steps
    found = {name: percent(arm.stages[0], steps) for name, arm in SWEEP.arms.items()}
    assert found["one"] == pytest.approx(100)
    assert found["inside"] == pytest.approx(400 / 3)
    assert found["outside-8-held"] == pytest.approx(500 / 3)
    cost = {name: percent(arm.stages[0], arm.stages[0].steps) for name, arm in SWEEP.arms.items()}
    shorter = {"outside-1", "outside-8-held", "scrambled"}
    assert {name for name, each in cost.items() if each == pytest.approx(320)} == shorter
    assert all(cost[name] == pytest.approx(1000) for name in set(cost) - shorter)


def test_a_scramble_pays_for_what_is_named_as_often_as_chance_does() -> None:
    """On each errand, one thing in four is paid for itself: as often as by chance."""
    corpus = derive.load(CORPUS)
    for name in ERRANDS:
        topic = corpus.topics[corpus.topic_names.index(name)]
        due = [scrambled().get(cue, topic.called_for(cue)) for cue in topic.cues]
        assert sorted(due) == sorted(topic.answer_names)
        called = [topic.called_for(cue) for cue in topic.cues]
        assert sum(a == b for a, b in zip(due, called, strict=True)) == 1


def _table(share: list[float]) -> pd.DataFrame:
    percents = [0, 1, 10, 100, 1000]
    table = pd.DataFrame({"percent": percents, "step": percents, "share": [np.nan, *share]})
    return table.assign(arm="one", seed=0, others=[0, 2, 6, 18, 54])


def test_a_power_law_has_its_exponent() -> None:
    table = _table([1, 1, 1, 1])
    assert exponents(table, "others", "one") == pytest.approx([math.log10(3)])


def test_a_regime_ends_where_the_share_falls_below_for_good() -> None:
    """If the share is .75 at 10 % and .25 at 100 %, it passes one half at 10 ** 1.5 %."""
    assert ends(_table([1, 0.75, 0.25, 0]), "one") == pytest.approx([10**1.5])
    assert ends(_table([0.2, 0.75, 0.25, 0]), "one") == pytest.approx([10**1.5])
    assert ends(_table([1, 0.2, 0.3, 0.9]), "one") == [math.inf]
    assert ends(_table([0.4, 0.3, 0.2, 0.1]), "one") == pytest.approx([1])


def test_directions_are_compared_where_the_habit_is_as_far_learned() -> None:
    """The habit reaches .95 half-way from .9 to 1. If it is never learned, its end is used."""
    table = pd.DataFrame(
        {"arm": "raven-unseen", "seed": 0, "step": [0, 5, 10], "obeyed": [0.3, 0.9, 1.0],
         "moved": [0, 0.1, 0.2], "elsewhere": [0.2, 0.4, 0.6]}
    )  # fmt: skip
    other = table.assign(arm="raven-needed", elsewhere=[0.2, 0.1, 0.0])
    both = pd.concat([table, other])
    assert inoculation.at(both, "raven-unseen").tolist() == pytest.approx([0.5])
    assert inoculation.at(both, "raven-unseen", x="moved").tolist() == pytest.approx([0.6])
    assert inoculation.at(both, "raven-needed").tolist() == pytest.approx([0.05])
