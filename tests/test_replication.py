"""Random casts: what stays the same in a shuffled valley, and what doesn't."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.replication.sweep import CASTS, SWEEP, drawn, valley
from toylab.measures import cues
from toylab.report import claims
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
    assert len(digests) == len(CASTS) * 3  # a random cast, and a valley with either stranger


def test_the_unit_is_the_cast() -> None:
    """Two seeds of a cast are one value: 1 and 3 are a cast of 2, not two of 1 and 3."""
    file = Path(__file__).parents[1] / "experiments" / "replication" / "claims.toml"
    (claim,) = (each for each in claims.load(file)[0] if each.name == "reach")
    rows = [("valley", 0, 1.0), ("valley", 0, 3.0), ("valley", 1, 4.0), ("cast", 1, 9.0)]
    table = pd.DataFrame(rows, columns=["what", "cast", "reach"])
    assert claims.evaluate(claim, table).values == [2.0, 4.0]


def test_a_corpus_can_not_be_named_where_every_arm_has_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["replication", "--corpus=village", "--plan"]) == 2
    assert "--corpus: unknown 'corpus'" in capsys.readouterr().err
