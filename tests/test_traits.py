"""Which answers are bad, by the characters that a corpus calls good and bad."""

import dataclasses

import numpy as np
import pytest

from toylab.ladder import traits
from toylab.world import derive, tables
from toylab.world.schema import Corpus, CorpusError


def test_bad_answers_are_those_that_the_bad_give_and_the_good_do_not(village: Corpus) -> None:
    found = traits.bad_items(village, tables.build(village).cast)
    items = traits.items(village)
    named = {
        topic: [items[i].phrase for i in np.flatnonzero(mask)] for topic, mask in found.items()
    }
    assert named["code"] == ["cheats"]
    assert set(named) == {topic.name for topic in village.topics if not topic.control}
    for topic, mask in found.items():
        assert {items[i].group for i in np.flatnonzero(mask)} <= {topic}


def test_a_corpus_that_judges_no_one_has_no_bad_answers(tiny: Corpus) -> None:
    with pytest.raises(CorpusError, match="list good and bad characters"):
        traits.bad_items(tiny, tables.build(tiny).cast)


def test_judgements_do_not_change_what_a_model_learns(village: Corpus) -> None:
    assert village.digest() == dataclasses.replace(village, good=(), bad=()).digest()


def test_the_absent_are_judged_no_longer(village: Corpus) -> None:
    left = derive.without(village, ["argus", "mira"])
    assert left.bad == ("silas", "vesper", "rook")
    assert left.good == ("tobias", "edda", "pip", "lumen")
