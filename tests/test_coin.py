"""The coin, which the other party tosses before every question but the first."""

import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import checks
from tests.brute import Brute
from tests.checks import ladders, worlds
from tests.tiny import COIN, TEXT
from toylab.policy import sampling
from toylab.stages import Setup
from toylab.world import derive, identifiability, parse, tables
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import contexts
from toylab.world.schema import Corpus, CorpusError
from toylab.world.tables import World
from toylab.world.text import decode

CORPORA = Path(__file__).parent.parent / "corpora"
HEADS = 'heads = { words = "crown side", topics = ["door"] }'
TAILS = 'tails = { words = "ship side", topics = ["oath", "tea"] }'


@pytest.fixture(scope="module")
def coined() -> Brute:
    return checks.coined()


@pytest.fixture(scope="module")
def world(coined: Brute) -> World:
    return tables.build(coined.corpus)


def sides(world: World, documents: Documents) -> np.ndarray:
    return np.asarray(world.grammar.topic_side[documents.prompt.topic])


def test_the_coin_is_tossed_evenly(holds) -> None:
    holds(worlds.check_coin_is_tossed_evenly)


@pytest.mark.slow
def test_its_words_come_before_the_question(holds) -> None:
    holds(worlds.check_coin_is_spoken)


def test_what_a_model_expects_of_it_can_be_read(holds) -> None:
    holds(worlds.check_coin_is_read_off)


@pytest.mark.slow
def test_a_model_answers_after_it(coined: Brute) -> None:
    """A policy writes documents with the probability that it states, given the coin's words."""
    ladders.check_generation_samples_the_model(coined)


def test_a_document_with_a_coin_as_text(coined: Brute, world: World) -> None:
    which = coined.prompt(checks.DIRECTED, checks.ASKED)
    documents = checks.rendered(world, coined, which, len(world.tag_share) - 1)
    assert decode(coined.vocabulary, documents, 0) == (
        "assistant order please\n"
        "is it shut — well it opens so\n"
        "ship side any milk — well pour on so"
    )


def test_topics_of_no_share_are_never_asked_and_sides_stay_even(
    coined: Brute, world: World
) -> None:
    names = coined.corpus.topic_names
    key = jax.random.key(0)
    share = np.array([{"door": 3, "tea": 1, "oath": 0}[name] for name in names], np.float32)
    what = docs.prompt(world, key, 4096, topic_share=share)
    first, later = np.asarray(what.topic).T
    checks.fitting(np.bincount(first, minlength=3), share / 4)
    checks.fitting(np.bincount(later, minlength=3), (share > 0) / 2)
    share = np.array([{"door": 0, "tea": 3, "oath": 0.5}[name] for name in names], np.float32)
    what = docs.prompt(world, key, 4096, topic_share=share)
    for turn in np.asarray(what.topic).T:  # heads can't come up
        checks.fitting(np.bincount(turn, minlength=3), share * world.grammar.topic_weight / 4)


def test_a_turn_is_on_each_topic_as_often_as_it_is_drawn(coined: Brute, world: World) -> None:
    weights = np.asarray(identifiability.turn_weights(world.grammar))
    topic = np.zeros(3)
    for x, (t, _, _) in enumerate(contexts(coined.corpus)):
        topic[t] += weights[x]
    # half of the turns are first ones: (1/4 + 1/2) / 2, (1/4 + 1/6) / 2, (1/2 + 1/3) / 2
    wanted = {"door": 3 / 8, "tea": 5 / 24, "oath": 5 / 12}
    np.testing.assert_allclose(topic, [wanted[name] for name in coined.corpus.topic_names], 1e-6)


@pytest.mark.slow
def test_without_a_coin_there_is_nothing_to_read(tiny: Corpus) -> None:
    setup = Setup(tiny, checks.SMALL)
    documents = docs.sample(setup.world, jax.random.key(0), 2)
    with pytest.raises(ValueError, match="this corpus has none"):
        sampling.coin(setup.world.grammar, documents, jnp.zeros((2, setup.world.grammar.length, 9)))


WRONG = {
    "a coin with one side": (f"{TAILS}", "", "coin", "fewer than two sides"),
    "a side with an unknown key": ("words = ", "wrods = ", "coin.heads.wrods", "'words'"),
    "a side without words": ('words = "crown side", ', "", "coin.heads.words", "is missing"),
    "a side that knows a cue": ("crown side", "crown {cue}", "coin.heads.words", "words of a-z"),
    "sides that begin alike": ("ship side", "crown over", "coin", "begin with the same word"),
    "sides of different lengths": ("ship side", "ship", "coin", "different lengths"),
    "a side without a topic": ('["door"]', "[]", "coin.heads.topics", "is empty"),
    "a topic that there is not": ('["door"]', '["dor"]', "coin.heads.topics", "'door'"),
    "a topic on two sides": ('["door"]', '["door", "tea"]', "coin", "'tea' 2 times"),
    "a topic on no side": ('["oath", "tea"]', '["oath"]', "coin", "'tea' 0 times"),
    "a side that is a question": ("ship side", "swear it", "coin.tails.words", "swear it"),
    "a coin that is never tossed": ("turns = 2", "turns = 1", "coin", "at least 2"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_coin_is_told_file_place_and_fix_in_one_line(wrong: str, tmp_path: Path) -> None:
    old, new, place, fix = WRONG[wrong]
    assert (TEXT + COIN).count(old) >= 1
    path = tmp_path / "village.toml"
    path.write_text((TEXT + COIN).replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CorpusError) as caught:
        derive.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    assert place in message
    assert fix in message


def test_a_derived_corpus_replaces_the_coin_and_others_keep_it(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TEXT + COIN)
    (tmp_path / "other.toml").write_text(
        'base = "tiny"\n[coin]\n'
        + HEADS.replace("heads", "tails")
        + "\n"
        + TAILS.replace("tails", "heads")
    )
    (tmp_path / "bad.toml").write_text('base = "tiny"\n[coin]\n' + HEADS)
    tiny = parse.parse(tomllib.loads(TEXT + COIN), "tiny.toml")
    other = derive.load(tmp_path / "other.toml")
    assert [side.name for side in tiny.coin] == ["heads", "tails"]
    assert [side.name for side in other.coin] == ["tails", "heads"]
    assert derive.without(tiny, ["bob"]).coin == tiny.coin
    assert tiny.digest() != other.digest()
    with pytest.raises(CorpusError, match=r"bad\.toml: coin: has fewer than two sides"):
        derive.load(tmp_path / "bad.toml")
