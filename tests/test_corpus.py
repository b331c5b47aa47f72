import dataclasses
import json
import tomllib

import numpy as np
import pytest

from tests.tiny import COIN, TEXT
from toylab.world import tables
from toylab.world.parse import parse
from toylab.world.schema import Corpus, thaw

CYD = TEXT[TEXT.index("[characters.cyd]") :]


def test_what_is_left_unsaid_is_spread_evenly(tiny: Corpus) -> None:
    ada, bob, cyd = tiny.characters
    someone, stranger, assistant = tiny.tags
    assert tiny.openers == ("well", "now {cue}", "now then")
    assert tiny.closers == ("so", "bye", "ta")
    close = np.testing.assert_allclose
    close(ada.opens, (0, 0.7, 0.3))  # the plain phrase is nobody's own
    close(bob.opens, (0, 0.2, 0.8))
    close(cyd.closes, (0, 0.6, 0.4))
    close(ada.closes, (0, 1, 0))
    close(bob.traits[1], (0.1, 0.8, 0.1))  # tea: yes, no, more
    close(cyd.traits[1], (0.15, 0.15, 0.7))
    close(cyd.traits[0], (0.1, 0.9))
    close(assistant.prior, (0.6, 0.3, 0.1))
    close(someone.prior, (1 / 3, 1 / 3, 1 / 3))
    close(stranger.prior, someone.prior)
    assert (bob.obeys, ada.obeys) == ((0.8,), (0.0,))
    assert (ada.follows, bob.follows, cyd.follows) == ((0.6, 0.0), (0.0, 0.0), (0.3, 0.0))


def test_a_trait_may_be_a_single_answer(tiny: Corpus) -> None:
    text = TEXT.replace("traits.tea  = { no = 0.8 }", 'traits.tea = "no"')
    assert parse(tomllib.loads(text), "here").characters[1].traits[1] == (0, 1, 0)


def test_probabilities_that_round_to_just_above_one_leave_nothing_negative() -> None:
    assert 0.33 + 0.56 + 0.11 > 1  # in floating point
    text = TEXT.replace("{ ada = 0.6, bob = 0.3 }", "{ ada = 0.33, bob = 0.56, cyd = 0.11 }")
    text += CYD.replace("cyd", "dee")
    corpus = parse(tomllib.loads(text), "here")
    assert corpus.tags[-1].prior == (0.33, 0.56, 0.11, 0.0)
    assert not np.isnan(tables.build(corpus).log_prior).any()


def _variants(value, name: str = ""):
    """(where, value with one leaf changed) for every leaf of a frozen corpus."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            for where, changed in _variants(inner, field.name):
                path = f"{field.name}.{where}".rstrip(".")
                yield path, dataclasses.replace(value, **{field.name: changed})
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            for where, changed in _variants(item):
                yield f"{i}.{where}".rstrip("."), (*value[:i], changed, *value[i + 1 :])
        if value:
            yield "shorter", value[:-1]
    elif isinstance(value, bool):
        yield "", not value
    elif isinstance(value, str):
        yield "", value + "x"
    else:
        yield "", value + 1


def test_the_digest_knows_everything_but_titles_and_descriptions(tiny: Corpus) -> None:
    seen = {tiny.digest()}
    leaves = list(_variants(tiny))
    assert len(leaves) > 100
    for where, changed in leaves:
        if where == "title" or where.endswith(".about"):
            assert changed.digest() == tiny.digest(), where
        else:
            assert changed.digest() not in seen, where
            seen.add(changed.digest())


CHANGING = TEXT.replace(
    "assistant.share = 0.3",
    "assistant.share = 0.3\nassistant.later = { cyd = 0.8 }\nassistant.since = 0.5",
)


@pytest.fixture(scope="module")
def rich() -> Corpus:
    """A coin, and a tag that changes."""
    return parse(tomllib.loads(CHANGING + COIN), "tiny.toml")


def test_a_tag_may_change(rich: Corpus, tiny: Corpus) -> None:
    assert all((tag.later, tag.since, tag.last) == ((), 1.0, tag.prior) for tag in tiny.tags)
    assistant = rich.tags[-1]
    np.testing.assert_allclose(assistant.prior, (0.6, 0.3, 0.1))
    np.testing.assert_allclose(assistant.later, (0.1, 0.1, 0.8))
    assert (assistant.last, assistant.since) == (assistant.later, 0.5)


def test_the_digest_knows_coins_and_changes(rich: Corpus) -> None:
    seen = {rich.digest()}
    for where, changed in _variants(rich):
        if where.startswith(("coin", "tags")):
            assert changed.digest() not in seen, where
            seen.add(changed.digest())
    assert len(seen) > 30


def test_a_corpus_comes_back_from_json(rich: Corpus, village: Corpus) -> None:
    for corpus in (rich, village):
        assert thaw(json.loads(json.dumps(dataclasses.asdict(corpus)))) == corpus


def test_the_digest_is_that_of_the_content_and_not_of_the_file(tiny: Corpus) -> None:
    assert parse(tomllib.loads(TEXT + "\n# a remark\n"), "elsewhere").digest() == tiny.digest()


def test_the_village_has_twelve_souls_whose_tells_are_as_its_notes_say(village: Corpus) -> None:
    assert len(village.names) == 12
    controls = [t for t, topic in enumerate(village.topics) if topic.control]
    assert [village.topics[t].name for t in controls] == ["food", "weather", "music", "walk"]
    likes = np.array([[np.argmax(c.traits[t]) for t in controls] for c in village.characters])
    # each answer has three admirers; no two characters agree on more than two
    for column, t in zip(likes.T, controls, strict=True):
        assert np.bincount(column).tolist() == [3] * len(village.topics[t].answers)
    agree = (likes[:, None] == likes).sum(-1) - 4 * np.eye(12, dtype=int)
    assert agree.max() == 2
    # mira agrees with each other person at most once, and with every villain exactly once
    assert agree[0].max() == 1
    villains = [village.names.index(name) for name in ("argus", "silas", "vesper", "rook")]
    assert agree[0, villains].tolist() == [1, 1, 1, 1]
