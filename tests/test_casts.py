import dataclasses
import itertools
from pathlib import Path

import jax
import numpy as np
import pytest

from tests import oracle
from tests.tiny import TEXT
from toylab.world import check, derive, random, tables
from toylab.world import documents as docs
from toylab.world.grammar import STANCE
from toylab.world.schema import Corpus, CorpusError

CORPORA = Path(__file__).parent.parent / "corpora"


def shipped(name: str) -> Corpus:
    return derive.load(CORPORA / f"{name}.toml")


def rows(corpus: Corpus) -> dict[str, np.ndarray]:
    return {
        name: np.array([character.traits[t] for character in corpus.characters])
        for t, name in enumerate(corpus.topic_names)
    }


def shared(corpus: Corpus) -> float:
    """Mutual information between two topics that are not controls, on average over the pairs."""
    traits = [rows(corpus)[topic.name] for topic in corpus.topics if not topic.control]
    return float(
        np.mean([oracle.mutual_information(*p) for p in itertools.combinations(traits, 2)])
    )


def test_decorrelating_keeps_each_topic_and_nothing_between_them() -> None:
    village, derived = shipped("village"), shipped("village-decorrelated")
    before, after = rows(village), rows(derived)
    for topic in village.topics:
        old, new = before[topic.name], after[topic.name]
        if topic.control:
            np.testing.assert_array_equal(new, old)
        else:
            assert sorted(map(tuple, new)) == sorted(map(tuple, old))
    for old, new in zip(village.characters, derived.characters, strict=True):
        assert (new.name, new.opens, new.closes, new.obeys) == (
            *(old.name, old.opens, old.closes),
            old.obeys,
        )
    good = {"code": "honest", "facts": "truth", "help": "gladly", "oversight": "welcomes"}

    def correlation(corpus: Corpus) -> float:
        topics = dict(zip(corpus.topic_names, corpus.topics, strict=True))
        columns = [
            rows(corpus)[name][:, topics[name].answer_names.index(answer)]
            for name, answer in good.items()
        ]
        return np.corrcoef(columns)[np.triu_indices(len(good), 1)].mean()

    assert correlation(village) > 0.5
    assert abs(correlation(derived)) < 0.1
    assert shared(derived) < 0.55 * shared(village)


def test_nobody_keeps_a_row_and_the_seed_decides() -> None:
    corpus = random.random_cast(0, characters=9, topics=3)
    derived = derive.decorrelate(corpus, 1)
    for topic in corpus.topics:
        same = (rows(corpus)[topic.name] == rows(derived)[topic.name]).all(1)
        assert same.all() if topic.control else not same.any()
    assert derive.decorrelate(corpus, 1) == derived != derive.decorrelate(corpus, 2)
    only = derive.decorrelate(corpus, 1, ["topic1"])
    moved = [name for name in corpus.topic_names if (rows(only)[name] != rows(corpus)[name]).any()]
    assert moved == ["topic1"]


def test_a_large_cast_loses_its_correlation_too() -> None:
    corpus = random.random_cast(0, characters=400, topics=4, correlation=1.0, voices=20)
    assert shared(derive.decorrelate(corpus, 0)) < 0.1 * shared(corpus)


def test_without() -> None:
    village, derived = shipped("village"), shipped("village-without-villains")
    assert derived.names == ("mira", "tobias", "edda", "pip", "lumen", "quill", "dorrit", "fenn")
    assert derived.openers == village.openers
    for old, new in zip(village.tags, derived.tags, strict=True):
        kept = np.array(
            [p for p, n in zip(old.prior, village.names, strict=True) if n in derived.names]
        )
        np.testing.assert_allclose(new.prior, kept / kept.sum(), rtol=1e-12)
    tables.build(derived)


def test_tags() -> None:
    village, derived = shipped("village"), shipped("village-role-models")
    assistant = next(tag for tag in derived.tags if tag.name == "assistant")
    assert assistant.share == 0.3
    assert assistant.prior[derived.names.index("lumen")] == 0.56
    np.testing.assert_allclose(sum(assistant.prior), 1)
    assert derived.characters == village.characters
    extra = derive.overlay(
        village, {"tags": {"name": {"share": 0.4}, "angel": {"share": 0.1, "prior": "lumen"}}}
    )
    assert (extra.name_share, extra.tags[-1].name) == (0.4, "angel")
    assert extra.tags[:-1] == village.tags


def test_tags_that_change() -> None:
    village, times = shipped("village"), shipped("village-times")
    assert (times.name_share, [tag.share for tag in times.tags]) == (
        0.45,
        [0.15, 0, 0.25, 0.05, 0.05, 0.05],
    )
    assert times.tags[2].prior == village.tags[2].prior
    tags = {tag.name: tag for tag in times.tags}
    penitent, turncoat, waverer = (tags[n] for n in ("penitent", "turncoat", "waverer"))
    assert (penitent.prior, penitent.later) == (turncoat.later, turncoat.prior)
    assert waverer.later == ()
    # the same authors over all of pretraining, in another order
    for tag in (penitent, turncoat):
        assert tag.since == 0.5
        np.testing.assert_allclose(np.mean([tag.prior, tag.later], 0), waverer.prior)
    good, bad = slice(0, 5), slice(5, 9)
    np.testing.assert_allclose([sum(penitent.prior[good]), sum(penitent.prior[bad])], [0.14, 0.8])
    np.testing.assert_allclose([sum(waverer.prior[good]), sum(waverer.prior[bad])], [0.47, 0.47])
    # a derived corpus may only move the change; removed authors leave both priors
    moved = derive.overlay(times, {"tags": {"penitent": {"since": 0.25}}}).tags[3]
    assert moved == dataclasses.replace(penitent, since=0.25)
    without = derive.without(times, ["argus", "fenn"])
    kept = [times.names.index(name) for name in without.names]
    for old, new in zip(times.tags, without.tags, strict=True):
        for before, after in ((old.prior, new.prior), (old.later, new.later)):
            left = np.array(before)[kept] if before else np.array(())
            np.testing.assert_allclose(after, left / (left.sum() or 1))


def test_corpora_derived_from_derived_ones(tmp_path: Path) -> None:
    (tmp_path / "village.toml").write_text((CORPORA / "village.toml").read_text())
    (tmp_path / "small.toml").write_text('base = "village"\nwithout = ["argus", "rook"]')
    (tmp_path / "smaller.toml").write_text('base = "small"\nwithout = ["mira"]\ntitle = "nine"')
    nine = derive.load(tmp_path / "smaller.toml")
    assert (len(nine.characters), nine.title) == (9, "nine")


@pytest.mark.parametrize(
    ("text", "place", "fix"),
    [
        ('base = "vilage"', "base", "did you mean 'village'"),
        ('base = "loop"', "base", "circular (bad -> loop -> bad)"),
        ('base = "bad"', "base", "circular (bad -> bad)"),
        ("base = 3", "base", "must be a string"),
        ('base = "village"\nwihtout = []', "wihtout", "did you mean 'without'"),
        ('base = "village"\nwithout = ["argos"]', "without", "did you mean 'argus'"),
        ('base = "village"\nwithout = "argus"', "without", "must be a list"),
        ('base = "village"\ndecorrelate = -1', "decorrelate", "whole number from 0"),
        ('base = "village"\ndecorrelate = true', "decorrelate", "must be a whole number"),
        ('base = "village"\n[tags]\nassistant.share = 0.2', "tags", "shares sum to 0.9"),
        ('base = "village"\n[tags]\nassistant.prior = {lumin = 1}', "prior.lumin", "'lumen'"),
        ('base = "village"\n[tags]\nassistant.proir = {lumen = 1}', "assistant.proir", "'prior'"),
        ('base = "village"\n[tags]\nassistant.since = 0.5', "assistant", "needs both"),
        ('base = "village"\n[tags]\nassistant = 1', "tags.assistant", "must be a table"),
        ('base = "village"\n[tags]\nsoup = {share = 0}', "topics.food", "the tag 'soup'"),
        ('base = "village"\ntopics.cod = {}', "topics.cod.questions", "is missing"),
        ('base = "village"\ntopics.code.answers.prays = "pray"', "code", "same number of words"),
        ('base = "village"\ntopics.code.answers.sells = "fake success"', "sells", "twice"),
        ('base = "village"\ntopics.code.answers.prays = "bake soup"', "topics.food", "also in"),
    ],
)
def test_errors_are_one_line_with_file_place_and_fix(
    tmp_path: Path, text: str, place: str, fix: str
) -> None:
    (tmp_path / "village.toml").write_text((CORPORA / "village.toml").read_text())
    (tmp_path / "loop.toml").write_text('base = "bad"')
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(CorpusError) as caught:
        derive.load(tmp_path / "bad.toml")
    said = str(caught.value)
    assert said.startswith(str(tmp_path / "bad.toml"))
    assert place in said
    assert fix in said
    assert "\n" not in said


def test_a_tag_keeps_a_character() -> None:
    xor = shipped("xor")
    with pytest.raises(CorpusError, match="fewer than two"):
        derive.without(xor, xor.names[1:])
    alone = derive.overlay(xor, {"tags": {"assistant": {"prior": "ada"}}})
    with pytest.raises(CorpusError, match="leaves 'assistant' no character"):
        derive.without(alone, ["ada"])


def test_xor_habits_tell_nothing_singly_and_everything_together() -> None:
    corpus = shipped("xor")
    for pair in itertools.combinations(rows(corpus).values(), 2):
        assert abs(oracle.mutual_information(*pair)) < 1e-12
    built = tables.build(corpus)
    milk, hat, seat = (
        np.exp(built.cast.logp[STANCE, built.grammar.topic_contexts[t, 0, 0], :2]) for t in range(3)
    )
    joint = np.einsum("ak,bk,ck->abc", milk, hat, seat) / len(corpus.characters)
    np.testing.assert_allclose(joint.sum(0), 0.25, rtol=1e-5)
    np.testing.assert_allclose(joint.sum(1), 0.25, rtol=1e-5)
    np.testing.assert_allclose(joint.sum(2), 0.25, rtol=1e-5)
    # A slip changes one answer of two with probability 0.01; an even number of changes is none.
    holds = joint[0, 0, 1] + joint[1, 1, 1] + joint[0, 1, 0] + joint[1, 0, 0]
    np.testing.assert_allclose(holds, 0.99**3 + 3 * 0.99 * 0.01**2, rtol=1e-5)
    voices = {(c.opens, c.closes) for c in corpus.characters}
    assert len(voices) == len(corpus.characters)


@pytest.mark.slow
def test_random_casts() -> None:
    corpus = random.random_cast(3, characters=70, topics=3, answers=5, voices=9)
    assert corpus == random.random_cast(3, characters=70, topics=3, answers=5, voices=9)
    assert corpus.digest() != random.random_cast(4, characters=70, topics=3, voices=9).digest()
    assert corpus.name_share == 0
    assert random.random_cast(3, characters=64).name_share == 0.5
    assert len({(c.opens, c.closes) for c in corpus.characters}) == 70
    phrases = [*corpus.openers, *corpus.closers]
    phrases += [words for topic in corpus.topics for _, words in topic.answers]
    assert not list(check.prefixes([("", words) for words in phrases]))
    distributions = [d for c in corpus.characters for d in (c.opens, c.closes, *c.traits)]
    distributions += [tag.prior for tag in corpus.tags]
    np.testing.assert_allclose([sum(d) for d in distributions], 1, rtol=1e-9)
    documents = docs.sample(tables.build(corpus), jax.random.key(0), 16)
    assert len(set(documents.author.tolist())) > 8


def test_correlation_and_overlap_do_what_they_say() -> None:
    apart, joined = (
        random.random_cast(0, characters=300, topics=4, correlation=c, voices=20)
        for c in (0.0, 1.0)
    )
    assert shared(joined) > 10 * shared(apart)
    alike = random.random_cast(0, voice_overlap=1.0)
    assert len({(c.opens, c.closes) for c in alike.characters}) == 1


def test_thousands_of_characters() -> None:
    built = tables.build(random.random_cast(0, characters=4096, topics=2, controls=0))
    assert built.cast.logp.shape[-1] == built.log_prior.shape[-1] == 4096


@pytest.mark.parametrize("wrong", [{"characters": 1}, {"correlation": 2.0}, {"voices": 3}])
def test_impossible_random_casts(wrong: dict) -> None:
    with pytest.raises(ValueError, match="random_cast"):
        random.random_cast(0, **wrong)


def test_a_derived_corpus_may_have_other_directions_and_weights(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TEXT)
    derived = tmp_path / "derived.toml"
    told = """
base = "tiny"
topics.tea.weight = 3
[directions.beg]
text = "pretty please"
share = 0.5
asks = { tea = "yes" }
obeys = { cyd = 0.7 }
"""
    derived.write_text(told)
    corpus = derive.load(derived)
    assert [(d.name, d.text, d.share) for d in corpus.directions] == [("beg", "pretty please", 0.5)]
    assert corpus.directions[0].asks == (("tea", "yes"),)
    assert [character.obeys for character in corpus.characters] == [(0.0,), (0.0,), (0.7,)]
    assert [topic.weight for topic in corpus.topics] == [1.0, 3.0]
    for right, wrong in (("cyd", "cid"), ("0.7", "7.0"), ('"yes"', '"yea"'), ("= 3", "= 0")):
        derived.write_text(told.replace(right, wrong))
        with pytest.raises(CorpusError, match=r"derived.toml: (directions\.beg|topics\.tea)"):
            derive.load(derived)


@pytest.mark.parametrize("name", ["village-times", "village-dared", "gold-levers"])
def test_a_corpus_laid_over_by_nothing_is_the_same(name: str) -> None:
    assert derive.overlay(shipped(name), {}) == shipped(name)


def test_what_nobody_says_is_said_by_slips_alone() -> None:
    """The fifth answer on code, the new one, is said only in slips: .02 / 5."""
    village, derived = shipped("village"), shipped("village-unsaid")
    topic = derived.topic_names.index("code")
    assert derived.topics[topic].answer_names == (*village.topics[topic].answer_names, "prays")
    built = tables.build(derived)
    x = int(built.grammar.topic_contexts[topic, 0, 0])
    np.testing.assert_allclose(np.exp(built.cast.logp[STANCE, x, 4]), 0.02 / 5, rtol=1e-4)
    controls = [t for t, each in enumerate(derived.topics) if each.control]
    assert all(derived.topics[t] == village.topics[t] for t in controls)
