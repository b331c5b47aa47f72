"""Topics with the same answers, and cues that call for answers of another name."""

import tomllib
from collections.abc import Callable

import numpy as np
import pytest

from tests import checks
from tests.brute import Brute
from tests.checks import beliefs, worlds
from tests.tiny import SHARED
from toylab.ladder import traits
from toylab.measures import ask
from toylab.stages import FollowsCue
from toylab.world import derive, identifiability, tables
from toylab.world.grammar import STANCE, contexts, vocabulary
from toylab.world.parse import parse
from toylab.world.schema import Corpus, CorpusError


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return parse(tomllib.loads(SHARED), "tiny.toml")


@pytest.fixture(scope="module")
def twin(corpus: Corpus) -> Brute:
    return Brute(corpus, vocabulary(corpus))


@pytest.mark.parametrize(
    "check",
    [
        worlds.check_words_are_those_of_the_twin,
        beliefs.check_log_likelihood,
        beliefs.check_predictive,
    ],
)
def test_documents_and_beliefs_are_those_of_the_twin(
    twin: Brute, check: Callable[[Brute], None]
) -> None:
    check(twin)


def test_an_answer_has_the_words_of_the_other_topic_unless_it_has_its_own(corpus: Corpus) -> None:
    door, gate = corpus.topics
    assert gate.answers == (("open", "it opens"), ("shut", "it closes"))
    assert door.answers == (("open", "it opens"), ("shut", "it shuts"))


def test_who_follows_gives_what_the_cue_calls_for(corpus: Corpus) -> None:
    """Bob follows with probability 0.9, else answers evenly; one answer in 25 is a slip."""
    logp = np.asarray(tables.build(corpus).cast.logp, float)[STANCE, :, :2, 1]
    for x, (t, c, direction) in enumerate(contexts(corpus)):
        if t == 1 and not direction:
            follows = (
                np.array([0, 1]) if c == 0 else np.array([1, 0])
            )  # the cat: shut; a cart: open
            checks.same(np.exp(logp[x]), 0.96 * (0.9 * follows + 0.05) + 0.02)


def test_characters_differ_on_both_topics_by_what_the_cue_calls_for(corpus: Corpus) -> None:
    """KL between Bob and Cyd on stances, by hand: at the gate, and on the door."""

    def nats(p: float, q: float) -> float:
        return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

    def said(called: float, trait: float, follows: float) -> float:
        return 0.96 * (follows * called + (1 - follows) * trait) + 0.02

    gate = [nats(said(c, 0.5, 0.9), said(c, 0.2, 0.5)) for c in (0, 1)]  # P(shut)
    door = [nats(said(0, 0.6, 0), said(c, 0.1, 0.3)) for c in (0, 1)]  # P(open)
    apart = identifiability.divergence(tables.build(corpus), (STANCE,))
    checks.same(apart[1, 2], np.mean([np.mean(gate), np.mean(door)]))


def test_rewards_and_measures_take_what_the_cue_calls_for(corpus: Corpus) -> None:
    gate = corpus.topics[1]
    assert ask.cued(corpus, "gate").target.tolist() == [1, 0]
    plain, other = FollowsCue(), FollowsCue(topics=("gate",), instead=("cat=open",))
    for target in (plain, other):
        target.check(corpus, "target")
    assert plain.reward_of(corpus, gate, "cat", -1) == [0, 1]
    assert [other.reward_of(corpus, gate, cue, -1) for cue in gate.cues] == [[1, 0], [1, 0]]
    with pytest.raises(ValueError, match=r"target.instead: unknown 'cat=opn'; did you mean"):
        FollowsCue(topics=("gate",), instead=("cat=opn",)).check(corpus, "target")


def test_a_topic_with_shared_answers_is_no_tell(tiny: Corpus, corpus: Corpus) -> None:
    assert tiny.tells == ("tea",)
    assert corpus.tells == ()
    assert not any(item.tell for item in traits.items(corpus))


def test_a_derived_corpus_changes_what_one_cue_calls_for(corpus: Corpus) -> None:
    gate = {"calls_for": {"cat": "open"}, "answers": {"shut": "it slams"}}
    changed = derive.overlay(corpus, {"topics": {"gate": gate}}).topics[1]
    assert changed.calls_for == (("cat", "open"), ("cart", "open"))
    assert dict(changed.answers)["shut"] == "it slams"
    assert derive.overlay(corpus, {}) == corpus


def test_words_are_still_kept_apart_from_all_other_topics(corpus: Corpus) -> None:
    oath = {"questions": ["swear it"], "answers": {"aye": "it closes", "nay": "by nobody"}}
    with pytest.raises(CorpusError, match=r"oath.answers: 'it' is also in topics.gate.answers"):
        derive.overlay(corpus, {"topics": {"oath": oath}})


def test_the_twin_would_notice_a_cue_that_calls_for_what_it_is_named(
    twin: Brute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toylab.world.schema.Topic.called_for", lambda self, cue: cue)
    with pytest.raises(AssertionError):
        beliefs.check_log_likelihood(twin)
