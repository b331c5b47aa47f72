"""A corpus that can't be used is refused with file, place and fix."""

import tomllib
from pathlib import Path

import pytest

from tests.tiny import TEXT
from toylab.world.derive import load
from toylab.world.parse import parse
from toylab.world.schema import CorpusError

ADA_OPENS = 'opens  = { "now {cue}" = 0.7, "now then" = 0.3 }'
BOB_OPENS = 'opens  = { "now {cue}" = 0.2 }'
DOOR = 'cues = ["open", "shut"]'
PLAIN = TEXT[TEXT.index("[plain]") : TEXT.index("[tags]")]
CYD = TEXT[TEXT.index("[characters.cyd]") :]
BOB = TEXT[TEXT.index("[characters.bob]") : TEXT.index("[characters.cyd]")]

# A text, its replacement, the place in the message, and a part of the message.
WRONG = {
    "a misspelt key": ("share  = 0.1", "shar = 0.1", "plain.shar", "did you mean 'share'?"),
    "an unknown key": ("turns = 2", "turns = 2\nzzz = 1", "zzz", "known: title, turns"),
    "a missing title": ('title = "the tiny village"', "", "title", "is missing"),
    "a probability above 1": ("slip  = 0.04", "slip = 1.4", "slip", "from 0.0001 to 0.999"),
    "a probability in quotes": ("slip  = 0.04", 'slip = "rare"', "slip", "must be a number"),
    "tongues that never slip": ("slip  = 0.04", "slip = 0", "slip", "from 0.0001 to 0.999"),
    "a stranger among the good": ("turns = 2", 'turns = 2\ngood = ["adda"]', "good", "'ada'"),
    "no turns": ("turns = 2", "turns = 0", "turns", "make 0 a whole number from 1 to 100"),
    "half a turn": ("turns = 2", "turns = 1.5", "turns", "a whole number"),
    "a turn that is true": ("turns = 2", "turns = true", "turns", "a whole number"),
    "a character without openers": (ADA_OPENS, "", "characters.ada.opens", "needs a voice"),
    "a character without a description": (
        'about  = "keeps it shut"',
        "",
        "characters.cyd.about",
        "is missing",
    ),
    "a voice of cues alone": (
        ADA_OPENS,
        'opens = { "now {cue}" = 1.0 }',
        "characters.ada.opens",
        "add a phrase",
    ),
    "a cast of one": (BOB + CYD, "", "characters", "fewer than 2"),
    "a name of two words": (
        CYD,
        CYD + CYD.replace("cyd", '"cyd x"'),
        "characters.cyd x",
        "make 'cyd x' one word",
    ),
    "a stance word in two topics": (
        '"drink up"',
        '"it up"',
        "topics.tea.answers",
        "'it' is also in topics.door.answers",
    ),
    "a stance word in a voice": (
        '"drink up"',
        '"drink then"',
        "topics.tea.answers",
        "'then' is also in the phrase 'now then'",
    ),
    "a stance word that is a tag": (
        '"drink up"',
        '"drink someone"',
        "topics.tea.answers",
        "'someone' is also in the tag",
    ),
    "a name in a voice": (
        '"bye" = 1.0',
        '"bye bob" = 1.0',
        "characters.ada.closes",
        "'bye bob' says a character's name, 'bob'",
    ),
    "a closer that begins with another": (
        '"bye" = 1.0',
        '"so long" = 1.0',
        "characters.ada.closes",
        "'so' (plain.closes)",
    ),
    "openers alike once the cue is filled in": (
        ADA_OPENS,
        'opens = { "now {cue}" = 0.5, "now shut" = 0.5 }',
        "characters.ada.opens",
        "'now shut' occurs twice",
    ),
    "an answer that begins with another": (
        '"pour none"',
        '"pour on"',
        "topics.tea.answers.yes",
        "'pour on' occurs twice (topics.tea.answers.no)",
    ),
    "a question that begins with another": (
        '"any milk"',
        '"more tea then"',
        "topics.tea.questions",
        "begins with the whole of",
    ),
    "a question that hides its cue": (
        '["is it {cue}"]',
        '["is it {cue}", "how about it"]',
        "topics.door.questions",
        "doesn't say which cue it is",
    ),
    "a direction that is a question": (
        '"order please"',
        '"more tea"',
        "topics.tea.questions",
        "'more tea' occurs twice (directions.order.text)",
    ),
    "a question that begins with another and a cue": (
        '"any milk"',
        '"is it open or not"',
        "topics.tea.questions",
        "begins with the whole of",
    ),
    "answers of unequal length": (
        '"drink up"',
        '"drink it all"',
        "topics.tea.answers",
        "the same number of words",
    ),
    "answers of unequal length once the cue is filled in": (
        '["open", "shut"]\nanswers.open = "it opens"',
        '["half open", "shut"]\nanswers.open = "it {cue}"',
        "topics.door.answers",
        "the same number of words",
    ),
    "a cue in the plain phrase": (
        'opens  = "well"',
        'opens  = "well {cue}"',
        "plain.opens",
        "words of a-z",
    ),
    "a cue in a direction": (
        '"order please"',
        '"order {cue}"',
        "directions.order.text",
        "words of a-z",
    ),
    "a single answer": (
        "[characters.ada]",
        '[topics.oath]\nquestions = ["swear"]\nanswers.aye = "aye"\n[characters.ada]',
        "topics.oath.answers",
        "at least two answers",
    ),
    "no questions": (
        '["more tea", "any milk"]',
        "[]",
        "topics.tea.questions",
        "is empty",
    ),
    "a question with a capital": (
        '"more tea"',
        '"More tea"',
        "topics.tea.questions",
        "words of a-z",
    ),
    "a cue in a topic without cues": (
        '"more tea"',
        '"more {cue}"',
        "topics.tea.questions",
        "has no cues; list them",
    ),
    "a question that begins with a cue": (
        '"is it {cue}"',
        '"{cue} is it"',
        "topics.door.questions",
        "put a word before it",
    ),
    "a distribution above 1": (
        "yes = 0.7, no = 0.2",
        "yes = 0.7, no = 0.4",
        "characters.ada.traits.tea",
        "sums to 1.1",
    ),
    "a full distribution below 1": (
        "{ open = 0.8 }",
        "{ open = 0.8, shut = 0.1 }",
        "characters.ada.traits.door",
        "names every answer but sums to 0.9",
    ),
    "a distribution that is a number": (
        "{ open = 0.8 }",
        "0.8",
        "characters.ada.traits.door",
        "must be a table",
    ),
    "an unknown topic in traits": (
        "traits.tea  = { no",
        "traits.teas = { no",
        "characters.bob.traits.teas",
        "'tea'?",
    ),
    "an unknown topic in asks": ("{ door =", "{ dor =", "directions.order.asks.dor", "'door'?"),
    "an unknown answer in asks": (
        '{ door = "shut" }',
        '{ door = "shot" }',
        "directions.order.asks.door",
        "'shut'?",
    ),
    "a stranger who obeys": (
        "obeys = { bob",
        "obeys = { bobb",
        "directions.order.obeys.bobb",
        "'bob'?",
    ),
    "following a topic without cues": (
        "follows = { door = 0.3 }",
        "follows = { tea = 0.3 }",
        "characters.cyd.follows.tea",
        "door",
    ),
    "following a cue that no answer is named after": (
        '["open", "shut"]',
        '["open", "ajar"]',
        "characters.ada.follows.door",
        "after the cue 'ajar'; add one",
    ),
    "a cue that no question states": (
        DOOR,
        DOOR + '\ncalls_for = { ajar = "shut" }',
        "topics.door.calls_for.ajar",
        "unknown 'ajar'; known: open, shut",
    ),
    "a cue that calls for no answer": (
        DOOR,
        DOOR + '\ncalls_for = { open = "shot" }',
        "topics.door.calls_for.open",
        "did you mean 'shut'?",
    ),
    "the answers of no topic": (
        "control = true",
        'control = true\nanswers_of = "dor"',
        "topics.tea.answers_of",
        "did you mean 'door'?",
    ),
    "the answers of the topic itself": (
        "control = true",
        'control = true\nanswers_of = "tea"',
        "topics.tea.answers_of",
        "unknown 'tea'; known: door",
    ),
    "the answers of who has another's": (
        "[topics.tea]",
        '[topics.oath]\nquestions = ["swear"]\nanswers_of = "door"\n'
        '[topics.tea]\nanswers_of = "oath"',
        "topics.tea.answers_of",
        "'oath' has the answers of 'door'; name that one",
    ),
    "another answer than the shared ones": (
        "control = true",
        'control = true\nanswers_of = "door"',
        "topics.tea.answers.yes",
        "unknown 'yes'; known: open, shut",
    ),
    "tag shares below 1": ("{ share = 0.2 }", "{ share = 0.1 }", "tags", "shares sum to 0.9"),
    "a tag that is a name": ("stranger  ", "ada", "tags.ada", "is a character's name"),
    "a prior for names": (
        "{ share = 0.5 }",
        "{ share = 0.5, prior = {} }",
        "tags.name.prior",
        "unknown 'prior'; known: share",
    ),
    "the plain phrase in a voice": (
        '"bye" = 1.0',
        '"so" = 1.0',
        "characters.ada.closes.so",
        "is the plain phrase",
    ),
    "a phrase with two spaces": (
        '"bye" = 1.0',
        '"bye  now" = 1.0',
        "characters.ada.closes.bye  now",
        "one space apart",
    ),
    "a change at no time": (
        "assistant.share = 0.3",
        "assistant.share = 0.3\nassistant.later = { ada = 1 }",
        "tags.assistant",
        "needs both 'later' and 'since'",
    ),
    "a change when all is over": (
        "assistant.share = 0.3",
        "assistant.share = 0.3\nassistant.since = 1\nassistant.later = { ada = 1 }",
        "tags.assistant",
        "needs both 'later' and 'since'",
    ),
    "no plain phrases": (PLAIN, "", "plain.opens", "missing"),
    "not TOML": ("turns = 2", "turns = ", "not TOML", "line 2"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_corpus_is_told_file_place_and_fix_in_one_line(wrong: str, tmp_path: Path) -> None:
    old, new, place, fix = WRONG[wrong]
    assert old in TEXT
    path = tmp_path / "village.toml"
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CorpusError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: {place}: ")
    assert fix in message


def test_shares_of_directions_may_not_exceed_one() -> None:
    text = TEXT + "\n[directions.quiet]\ntext = 'hush now'\nshare = 0.9\n"
    with pytest.raises(CorpusError, match=r"^here: directions: shares sum to more than 1"):
        parse(tomllib.loads(text), "here")


def test_a_missing_file_is_answered_with_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(TEXT)
    with pytest.raises(
        CorpusError, match="no such file: unknown 'village'; known: other"
    ) as caught:
        load(tmp_path / "village.toml")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "village.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorpusError, match="can't be read"):
        load(path)
    with pytest.raises(CorpusError, match="can't be read"):
        load(tmp_path)
