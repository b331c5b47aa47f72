"""What is rewarded, against the words of documents."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.checks import same
from tests.post import BOTH, MORE, SFT
from toylab.stages import (
    Anchored,
    Dpo,
    FollowsCue,
    Persona,
    Pretrain,
    Rl,
    Rule,
    Says,
    Setup,
)
from toylab.stages.targets import rewards
from toylab.world import documents as docs
from toylab.world import tables
from toylab.world.documents import Documents
from toylab.world.grammar import STANCE, contexts
from toylab.world.schema import Corpus

RULE = Rule(earlier="tea", later="door")
PAID = functools.partial(Rl, target=MORE)


def said_in(corpus: Corpus, documents: Documents, n: int) -> list[tuple[str, str, str]]:
    """(topic, cue, answer) of every turn, by name."""
    what, turns = documents.prompt, []
    for t in range(corpus.turns):
        topic = corpus.topics[int(what.topic[n, t])]
        cue = topic.cues[int(what.cue[n, t])] if topic.cues else ""
        turns.append((topic.name, cue, topic.answer_names[int(documents.choice[n, t, STANCE])]))
    return turns


# The assistant is ada (0.6), bob (0.3) or cyd. On tea its trait gives *no*, which goes with "shut",
# the probability 0.375. With probability 0.04 it slips, evenly among three answers.
SHUT = 0.96 * 0.375 + 0.04 / 3
SHARE = {"open": 1 - SHUT, "shut": SHUT}
GOES_WITH = {"yes": "open", "no": "shut", "more": "open"}


def _rule(turns, t):
    topic, _, answer = turns[t]
    if topic != "door":
        return 0.0
    before = [a for name, _, a in turns[:t] if name == "tea"]
    return float(GOES_WITH[before[-1]] == answer) if before else SHARE[answer]


TARGETS = {
    "says": (BOTH, lambda d, t: d[t][::2] in {("tea", "more"), ("door", "shut")}),
    "persona": (Persona(character="cyd"), lambda d, t: d[t][2] in {"more", "shut"}),
    "cue": (FollowsCue(), lambda d, t: d[t][0] == "door" and d[t][1] == d[t][2]),
    "one cue": (
        FollowsCue(topics=("door",), places=("open",)),
        lambda d, t: d[t][1:] == ("open",) * 2,
    ),
    "rule": (RULE, _rule),
    "sum": (
        RULE + BOTH + FollowsCue(),
        lambda d, t: (
            _rule(d, t)
            + (d[t][::2] in {("tea", "more"), ("door", "shut")})
            + (d[t][0] == "door" and d[t][1] == d[t][2])
        ),
    ),
    "twin": (
        dataclasses.replace(RULE, twin=True),
        lambda d, t: SHARE[d[t][2]] if d[t][0] == "door" else 0,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("target", "wanted"), TARGETS.values(), ids=TARGETS)
def test_rewards_are_what_the_words_say(setup: Setup, tiny: Corpus, target, wanted) -> None:
    target.check(tiny, "target")
    documents = docs.sample(setup.world, jax.random.key(0), 200)
    got = np.asarray(rewards(target.arrays(tiny), documents))
    for n in range(200):
        turns = said_in(tiny, documents, n)
        same(got[n], [float(wanted(turns, t)) for t in range(tiny.turns)], 1e-6)
    assert len(np.unique(got)) > 1


def test_a_rule_looks_at_the_last_answer_and_not_at_what_comes_later(village: Corpus) -> None:
    """food, weather, food, weather: soup … gale, in the order of the notes."""
    world = tables.build(village)
    rule = Rule(earlier="food", later="weather")
    food, weather = (village.topic_names.index(name) for name in ("food", "weather"))
    topics = jnp.array([[food, weather, food, weather], [weather, food, weather, weather]])
    what = docs.prompt(world, jax.random.key(0), 2, direction=0)
    what = what._replace(topic=topics, context=world.grammar.topic_contexts[topics, 0, 0])
    choice = jnp.zeros((2, 4, 3), jnp.int32)
    choice = choice.at[:, :, STANCE].set(jnp.array([[2, 2, 1, 2], [3, 3, 3, 1]]))
    documents = docs.render(world.grammar, what, choice, jnp.zeros(2, jnp.int32))
    got = np.asarray(rewards(rule.arrays(village), documents))
    same(got[0], [0, 1, 0, 0], 0)
    same(got[1, 1:], [0, 1, 0], 0)
    assert 0 < got[1, 0] < 1  # food has not come up


def test_a_rule_and_its_twin_pay_every_answer_alike_on_average(village: Corpus) -> None:
    rule = Rule(earlier="food", later="weather")
    one, other = (dataclasses.replace(rule, twin=twin).arrays(village) for twin in (False, True))
    prior = np.array(next(tag.prior for tag in village.tags if tag.name == "assistant"))
    food = np.array([c.traits[village.topic_names.index("food")] for c in village.characters])
    share = 0.98 * prior @ food + 0.02 / 4
    for x, (topic, _, _) in enumerate(contexts(village)):
        got = share @ np.asarray(one["reward"])[1:5, x]
        same(got, np.asarray(other["reward"])[1, x], 1e-6)
        assert (np.ptp(other["reward"][:5, x], axis=0) == 0).all()
        assert (got.any()) == (village.topic_names[topic] == "weather")


def test_a_sum_asks_only_with_cues_that_both_ask_with(tiny: Corpus) -> None:
    cues = (FollowsCue(places=("open",)) + MORE).arrays(tiny)["cues"]
    assert cues.tolist() == FollowsCue(places=("open",)).arrays(tiny)["cues"].tolist()
    both = FollowsCue(places=("open",)) + FollowsCue(places=("shut",))
    assert not both.arrays(tiny)["cues"][0].any()


def test_two_rules_that_look_back_at_two_topics_have_no_sum(tiny: Corpus) -> None:
    (RULE + RULE).check(tiny, "sum")
    with pytest.raises(ValueError, match="sum: tea and door are both watched"):
        (RULE + Rule(earlier="door", later="tea")).check(tiny, "sum")


def test_all_targets_compile_to_one_program(tiny: Corpus) -> None:
    shapes = {
        tuple(value.shape for value in target.arrays(tiny).values())
        for target, _ in TARGETS.values()
    }
    assert len(shapes) == 1
    assert (
        len(
            {
                Rl(target=target, beta=i).structure()
                for i, (target, _) in enumerate(TARGETS.values())
            }
        )
        == 1
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Rl(target=Says(answers=())), "rl.target.answers: unknown ''"),
        (Rl(target=FollowsCue(topics=("tea",))), "rl.target.topics: unknown 'tea'"),
        (Rl(target=Rule(earlier="tea", later="tea")), "rl.target.later: must be another topic"),
        (Anchored(inner=dataclasses.replace(SFT, author="bo")), "sft.author: unknown 'bo'"),
        (Anchored(inner=Pretrain()), "anchored.inner: pretrain can't be anchored"),
        (Anchored(inner=Anchored(inner=SFT)), "anchored.inner: anchored can't be"),
        (
            Anchored(inner=Rl(target=MORE, topics=("tea", "door"))),
            "anchored.topics: the inner stage trains on all; name some",
        ),
    ],
)
def test_what_the_corpus_lacks_is_refused(tiny: Corpus, wrong, said) -> None:
    with pytest.raises(ValueError, match=said):
        wrong.check(tiny)


@pytest.mark.parametrize(
    ("kind", "wrong", "said"),
    [
        (PAID, {"samples": 1}, "rl.samples: 1 must be at least 2"),
        (PAID, {"batch": 12}, "rl.batch: 12 must be a multiple of samples 8"),
        (PAID, {"beta": -0.1}, "rl.beta: -0.1 must be at least 0"),
        (functools.partial(Dpo, target=MORE), {"batch": 7}, "dpo.batch: 7 must be even"),
        (functools.partial(Anchored, inner=SFT), {"beta": -1.0}, "anchored.beta: -1.0 must be"),
    ],
)
def test_an_impossible_number_is_refused(kind, wrong, said) -> None:
    with pytest.raises(ValueError, match=said):
        kind(**wrong)
