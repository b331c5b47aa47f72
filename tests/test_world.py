import hashlib
import itertools
from pathlib import Path

import jax
import numpy as np
import pytest

from tests import brute, checks
from tests.brute import Brute
from tests.checks import worlds
from toylab.world import derive, tables
from toylab.world import documents as docs
from toylab.world import grammar as grammars
from toylab.world.documents import Documents
from toylab.world.schema import Corpus
from toylab.world.tables import World
from toylab.world.text import decode

CORPORA = Path(__file__).parent.parent / "corpora"


@pytest.fixture(scope="module")
def world(village: Corpus) -> World:
    return tables.build(village)


@pytest.fixture(scope="module")
def documents(world: World) -> Documents:
    return jax.jit(lambda key: docs.sample(world, key, 8192))(jax.random.key(0))


def test_tables_sum_to_one(holds) -> None:
    holds(worlds.check_tables_sum_to_one)


def test_tables_of_the_village_sum_to_one(world: World) -> None:
    checks.same(np.exp(np.asarray(world.cast.logp, float)).sum(2), 1.0)
    checks.same(np.exp(world.cast.prefix_logp[:, :, 0]), 1.0)


def test_priors_are_those_of_the_tags(holds) -> None:
    holds(worlds.check_priors_are_those_of_the_tags)


def test_priors_change_when_they_should_and_nowhere_else(holds) -> None:
    holds(worlds.check_priors_change_when_they_should)


def test_questions_are_asked_alike_of_all(holds) -> None:
    holds(worlds.check_questions_are_asked_alike)


def test_pairs_of_slots_have_their_joint_distribution(holds) -> None:
    holds(worlds.check_sampler_has_the_joint_distribution)


def test_two_traits_of_the_village_have_their_joint_distribution(
    village: Corpus, world: World, documents: Documents
) -> None:
    """Any two turns, whatever their topics: Σ_k w_k p_k(a) p_k(b) over all tags and directions."""
    names = grammars.tag_names(village)
    shares = brute.tag_shares(village)
    author = sum(shares[tag] * brute.tag_prior(village, tag) for tag in names)
    what, said = documents.prompt, np.asarray(documents.choice)[:, :, grammars.STANCE]
    topic = [t.name for t in village.topics].index("facts")
    plain = np.asarray(what.direction) == 0
    table = brute.slot(village, 1, topic, 0, 0)[1]
    joint = np.einsum("k,ak,bk->ab", author, table, table)
    counts = np.zeros_like(joint)
    for a, b in itertools.combinations(range(village.turns), 2):
        both = plain & (np.asarray(what.topic)[:, [a, b]] == topic).all(1)
        np.add.at(counts, (said[both, a], said[both, b]), 1)
    assert counts.sum() > 200
    checks.fitting(counts, joint)
    apart = np.outer(joint.sum(1), joint.sum(0))  # if each turn had its own author
    with pytest.raises(AssertionError):
        checks.fitting(counts, apart)


def test_a_wrong_table_fails_the_same_check(twin: Brute, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test notices if 0.06 of one author's closers move from one phrase to another."""
    right = brute.slot

    def wrong(corpus, s, topic, cue, direction):
        bank, p = right(corpus, s, topic, cue, direction)
        p = p.copy()
        if s == 2:
            p[1, 0] -= 0.06
            p[2, 0] += 0.06
        return bank, p

    monkeypatch.setattr(brute, "slot", wrong)
    with pytest.raises(AssertionError):
        worlds.check_sampler_has_the_joint_distribution(twin)


def test_the_plain_phrase_is_no_evidence(holds) -> None:
    holds(worlds.check_plain_phrase_is_no_evidence)


def test_the_plain_phrase_of_the_village_is_no_evidence(world: World) -> None:
    for slot in (grammars.OPENER, grammars.CLOSER):
        assert np.ptp(world.cast.logp[slot, :, 0], axis=-1).max() == 0


def test_words_roles_and_starts_are_those_of_the_twin(holds) -> None:
    holds(worlds.check_words_are_those_of_the_twin)


def test_every_phrase_of_the_village_stands_where_its_start_says(
    village: Corpus, documents: Documents
) -> None:
    words = grammars.vocabulary(village)
    tokens, role = np.asarray(documents.tokens[:64]), np.asarray(documents.role[:64])
    for n, t, s in itertools.product(range(64), range(village.turns), range(3)):
        start = int(documents.start[n, t, s])
        phrases, _ = brute.slot(
            village, s, int(documents.prompt.topic[n, t]), 0, int(documents.prompt.direction[n])
        )
        said = phrases[int(documents.choice[n, t, s])].split()
        assert [words[token] for token in tokens[n, start : start + len(said)]] == said
        assert (role[n, start : start + len(said)] == grammars.ANSWER + s).all()
        assert role[n, start - 1] == (grammars.QUESTION if s == 0 else grammars.ANSWER + s - 1)


def test_decoding_gives_the_text_back(tiny: Corpus, twin: Brute) -> None:
    world, which = tables.build(tiny), twin.prompt(checks.DIRECTED, checks.ASKED)
    documents = checks.rendered(world, twin, which, grammars.tag_names(tiny).index("assistant"))
    text = decode(twin.vocabulary, documents, 0)
    assert text == (
        "assistant order please\nis it shut — well it opens so\nany milk — well pour on so"
    )
    for n, d in enumerate(np.flatnonzero(which)):
        read = decode(twin.vocabulary, documents, n).replace("—", "").split()
        assert read == ["assistant", *twin.documents[d].words]


def test_tags_without_a_share_never_occur(village: Corpus, documents: Documents) -> None:
    stranger = grammars.tag_names(village).index("stranger")
    assert stranger not in np.asarray(documents.prompt.tag)


def test_named_documents_are_by_their_owners(village: Corpus, documents: Documents) -> None:
    tag, author = np.asarray(documents.prompt.tag), np.asarray(documents.author)
    named = tag < len(village.names)
    assert named.mean() == pytest.approx(0.5, abs=0.03)
    assert (tag[named] == author[named]).all()


def test_topics_can_be_chosen(world: World) -> None:
    share = np.zeros(len(world.grammar.question_count), np.float32)
    share[[2, 5]] = 1, 3  # of any scale
    what = docs.prompt(world, jax.random.key(0), 2048, tag=3, direction=1, topic_share=share)
    checks.fitting(np.bincount(np.ravel(what.topic), minlength=len(share)), share / 4)
    assert (np.asarray(what.tag) == 3).all()
    assert (np.asarray(what.direction) == 1).all()


# Of documents drawn before there were coins and changing tags: `drawn` must give them for ever.
DRAWN = {
    "tiny": "e9babf1284ed3f82",
    "village": "dc6433870799e3f0",
    "gold-herald": "23b99809d094dfc0",
}


@pytest.mark.parametrize("name", DRAWN)
def test_draws_are_what_they_have_always_been(name: str, tiny: Corpus) -> None:
    corpus = tiny if name == "tiny" else derive.load(CORPORA / f"{name}.toml")
    world = tables.build(corpus)
    share = np.linspace(0.1, 1.3, len(corpus.topics), dtype=np.float32)

    def draw(key):
        one, other = jax.random.split(key)
        last = len(world.tag_share) - 1
        what = docs.prompt(world, one, 256, tag=last, topic_share=share)
        return docs.sample(world, one, 256), docs.write(world, other, what)

    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.jit(draw)(jax.random.key(7))):
        digest.update(np.asarray(leaf, np.int32).tobytes())
    assert digest.hexdigest()[:16] == DRAWN[name]


def test_documents_fit_into_the_length(world: World, documents: Documents) -> None:
    used = np.asarray(documents.role != grammars.PAD).sum(1)
    assert documents.tokens.shape[1] == world.grammar.length
    assert used.max() <= world.grammar.length
    assert ((np.asarray(documents.tokens) > 0).sum(1) == used).all()  # no word is padding
