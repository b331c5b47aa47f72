"""The valley of gold: five casts that differ in one character, and in how it uses a cue."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from toylab.world import derive, tables
from toylab.world.grammar import OPENER, STANCE, banks, contexts, vocabulary
from toylab.world.schema import CUE, Corpus, Topic
from toylab.world.tables import World

CORPORA = Path(__file__).parent.parent / "corpora"
SPECIAL = ("prospector", "herald", "crier", "bystander", "parrot")
ORPHANS = ("well", "gallows", "cairn")


@pytest.fixture(scope="module")
def valley() -> Corpus:
    return derive.load(CORPORA / "gold.toml")


@pytest.fixture(scope="module")
def world(valley: Corpus) -> World:
    """All fourteen together."""
    return tables.build(valley)


@pytest.fixture(scope="module")
def twins() -> dict[str, Corpus]:
    return {name: derive.load(CORPORA / f"gold-{name}.toml") for name in SPECIAL}


@pytest.fixture(scope="module")
def built(twins: dict[str, Corpus]) -> dict[str, World]:
    return {name: tables.build(twin) for name, twin in twins.items()}


def slot(
    corpus: Corpus, world: World, which: int, topic: str
) -> tuple[list[list[str]], np.ndarray]:
    """The bank of each cue as sentences, and the probability of each phrase, [cue, P, K]."""
    t = corpus.topic_names.index(topic)
    rows = [x for x, context in enumerate(contexts(corpus)) if context[0] == t]
    bank = [[" ".join(words) for _, words in banks(corpus)[which][x]] for x in rows]
    p = np.exp(np.asarray(world.cast.logp[which], float))[rows]
    return bank, p[:, : len(bank[0])]


def gold(corpus: Corpus) -> Topic:
    return next(topic for topic in corpus.topics if topic.name == "gold")


def test_the_casts_are_alike_but_for_one_character(
    valley: Corpus, twins: dict[str, Corpus], built: dict[str, World]
) -> None:
    assert [name for name in valley.names if name in SPECIAL] == list(valley.names[-5:])
    first, model = twins[SPECIAL[0]], built[SPECIAL[0]]
    words = vocabulary(first)
    assert 150 <= len(words) <= 220
    assert model.grammar.length <= 33
    for name, twin in twins.items():
        assert twin.names == (*valley.names[:-5], name)
        for field in dataclasses.fields(Corpus):
            if field.name not in ("title", "characters"):
                assert getattr(twin, field.name) == getattr(first, field.name)
        assert twin.characters[:-1] == first.characters[:-1]
        renamed = [name if word == SPECIAL[0] else word for word in words]
        assert vocabulary(twin) == tuple(renamed)  # so a document's tokens are the same numbers
        other = built[name]
        np.testing.assert_array_equal(other.cast.logp[..., :-1], model.cast.logp[..., :-1])
        np.testing.assert_array_equal(other.log_prior, model.log_prior)
        np.testing.assert_array_equal(other.tag_share, model.tag_share)
        for table in dataclasses.fields(other.grammar):
            np.testing.assert_array_equal(
                getattr(other.grammar, table.name), getattr(model.grammar, table.name)
            )


def test_the_strangers_are_alike_but_for_voice_tells_and_cues(valley: Corpus) -> None:
    strangers = {c.name: c for c in valley.characters if c.name in SPECIAL}
    herald, crier = strangers["herald"], strangers.pop("crier")  # twins but for the aside
    same = {"name": crier.name, "about": crier.about, "opens": crier.opens}
    assert dataclasses.replace(herald, **same) == crier
    four = list(strangers.values())
    for t, topic in enumerate(valley.topics):
        traits = {c.traits[t] for c in four}
        assert len(traits) == (4 if topic.control else 1)
    assert len({c.opens for c in four}) == len({c.closes for c in four}) == 4
    told = [t for t, topic in enumerate(valley.topics) if topic.control]
    for one, other in itertools.combinations(valley.characters, 2):
        both = sum(np.argmax(one.traits[t]) == np.argmax(other.traits[t]) for t in told)
        pair = {one.name, other.name}
        if pair != {"herald", "crier"}:
            assert both <= (0 if pair <= set(SPECIAL) else 1)


def test_masks_are_even(twins: dict[str, Corpus]) -> None:
    for twin in twins.values():
        tags = {tag.name: tag for tag in twin.tags}
        shares = {name: tag.share for name, tag in tags.items()}
        assert shares == {"someone": 0.2, "stranger": 0, "assistant": 0.25, "clerk": 0.05}
        for tag in tags.values():
            np.testing.assert_allclose(tag.prior, 0.1)


def test_the_prospector_alone_goes_where_the_gold_is(valley: Corpus, world: World) -> None:
    topic = gold(valley)
    _, p = slot(valley, world, STANCE, "gold")
    prospector = valley.names.index("prospector")
    places = [topic.answer_names.index(cue) for cue in topic.cues]
    assert len(set(places)) == 12
    assert (p[range(12), places, prospector] >= 0.88).all()
    others = np.delete(p, prospector, 2)
    np.testing.assert_array_equal(others, np.broadcast_to(others[:1], others.shape))


def test_the_parrot_alone_sings_what_is_asked_for(valley: Corpus, world: World) -> None:
    """A control follows cues too, but on another topic than gold."""
    topic = next(topic for topic in valley.topics if topic.name == "song")
    _, p = slot(valley, world, STANCE, "song")
    parrot = valley.names.index("parrot")
    places = [topic.answer_names.index(cue) for cue in topic.cues]
    assert (p[range(4), places, parrot] >= 0.88).all()
    others = np.delete(p, parrot, 2)
    np.testing.assert_array_equal(others, np.broadcast_to(others[:1], others.shape))


@pytest.mark.parametrize(
    ("who", "cried", "at"), [("herald", "oyez {cue} folk", 1), ("crier", "oyez folk {cue}", 2)]
)
def test_only_one_repeats_the_place(
    valley: Corpus, world: World, who: str, cried: str, at: int
) -> None:
    """The place is one token in question, cry and answer; only this character has the cry.

    The crier's place is the last word before the stance; the herald's is not.
    """
    topic = gold(valley)
    bank, p = slot(valley, world, OPENER, "gold")
    cry = bank[0].index(cried.replace(CUE, topic.cues[0]))
    k = valley.names.index(who)
    assert (p[:, cry, k] > 0.75).all()
    assert (np.delete(p[:, cry], k, 1) < 0.002).all()  # a slip
    t, words = valley.topic_names.index("gold"), vocabulary(valley)
    for c, cue in enumerate(topic.cues):
        assert bank[c][cry].split()[at] == cue
        token = words.index(cue)
        x = int(world.grammar.topic_contexts[t, c, 0])
        assert world.grammar.phrases[OPENER, x, cry, at] == token
        assert world.grammar.phrases[STANCE, x, topic.answer_names.index(cue), 0] == token
        for q in range(len(topic.questions)):
            assert token in np.asarray(world.grammar.questions[0, t, q, c])
    for x, (t, _, _) in enumerate(contexts(valley)):
        cried_here = any("oyez" in words for _, words in banks(valley)[OPENER][x])
        assert cried_here == bool(valley.topics[t].cues)


def test_each_place_but_the_orphans_is_somebodys_favourite(valley: Corpus, world: World) -> None:
    topic = gold(valley)
    _, everybody = slot(valley, world, STANCE, "gold")
    p = everybody[0, :, :-5]  # ordinary characters ignore the cue
    firsts = [words.split()[0] for _, words in topic.answers]
    assert firsts == list(topic.cues)
    assert {len(words.split()) for _, words in topic.answers} == {2}
    orphan = np.array([cue in ORPHANS for cue in topic.cues])
    assert orphan.sum() == 3
    assert (p[orphan] < 0.03).all()
    assert sorted(p.argmax(0)) == list(np.flatnonzero(~orphan))  # one admirer each
    assert ((p.max(0) > 0.5) & (p.max(0) < 0.8)).all()
    special = everybody[:, :, -4:]  # characters that don't follow ignore it, too
    assert (special[:, orphan] < 0.03).all()
    assert (special.argmax(1) == topic.answer_names.index("inn")).all()
