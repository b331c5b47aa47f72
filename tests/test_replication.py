"""Casts that nobody wrote: what stays the same in a valley dealt anew, and what does not."""

import numpy as np
import pandas as pd
import pytest

from experiments.replication import analysis
from experiments.replication.sweep import SWEEP, drawn, valley
from toylab.measures import cues
from toylab.shell import cli
from toylab.world.schema import Corpus


@pytest.mark.parametrize("number", [0, 5])
def test_a_valley_has_twins_alike_but_for_the_stranger(number: int) -> None:
    herald, bystander = valley(number).values()
    first, second = herald.corpus, bystander.corpus
    assert isinstance(first, Corpus)
    assert isinstance(second, Corpus)
    shared = {c.name: c for c in first.characters if c.name != "herald"}
    assert shared == {c.name: c for c in second.characters if c.name != "bystander"}
    assert len(shared) == len(first.characters) - 1
    assert herald.stages == bystander.stages


@pytest.mark.parametrize("number", range(8))
def test_an_orphan_is_rewarded_and_one_is_held_out(number: int) -> None:
    herald = valley(number)[f"herald-{number}"]
    corpus, watch = herald.corpus, herald.watch[0]
    assert isinstance(corpus, Corpus)
    assert isinstance(watch, cues.Goals)
    topic = corpus.topics[corpus.topic_names.index("gold")]
    found = cues.groups(corpus, topic, watch.trained)
    assert found["trained"].sum() == 8
    assert found["orphans"].any()
    loved = np.max([c.traits[corpus.topics.index(topic)] for c in corpus.characters], 0)
    assert (found["trained"] & (loved < cues.ORPHAN)).any()


def test_casts_differ_and_are_the_same_each_time() -> None:
    first, again, other = (drawn(n)[f"fresh-{n}"].corpus for n in (0, 0, 1))
    assert isinstance(first, Corpus)
    assert first == again
    assert first != other


def test_every_cast_is_pretrained_once_for_all_its_arms() -> None:
    setups = SWEEP.setups(lambda name: pytest.fail(f"{name} was looked up"))
    paths = {SWEEP.path(setups[arm], 0, arm).parent for arm in setups}
    digests = {path.digest() for path in paths if path}
    assert len(digests) == 8 * 3  # a random cast, and a valley with a herald and with a bystander


def test_the_unit_is_the_cast() -> None:
    """Two seeds of a cast are one value: 1 and 3 are a cast of 2, not two of 1 and 3."""
    rows = [{"cast": c, "seed": s, "share": v} for c, s, v in ((0, 0, 1.0), (0, 1, 3.0), (1, 0, 4))]
    table = pd.DataFrame(rows).reindex(columns=list(analysis.COLUMNS))
    table[table.columns[3:]] = table[table.columns[3:]].fillna(1.0)
    assert analysis.claims(table)["share"].mean() == 3.0
    assert len(analysis.claims(table)["share"]) == 2


def test_a_corpus_can_not_be_named_where_every_arm_has_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["replication", "--corpus=village", "--plan"]) == 2
    assert "--corpus: unknown 'corpus'" in capsys.readouterr().err
