"""Reading a corpus: its TOML, checked and frozen.

`parse(content, source)` turns the content of a file into a `Corpus`, or raises a `CorpusError`.
(`derive.load` reads the file.)
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from toylab.world.schema import (
    CUE,
    Character,
    Corpus,
    CorpusError,
    Direction,
    Side,
    Tag,
    Topic,
    unknown,
)
from toylab.world.toml import WORD, Table, check_prefix_free

KEYS = (
    *("title", "turns", "slip", "good", "bad", "plain", "tags", "directions", "topics"),
    *("characters", "coin"),
)
TOPIC_KEYS = ("questions", "answers", "control", "weight", "cues")
CHARACTER_KEYS = ("about", "opens", "closes", "traits", "obeys", "follows")
DIRECTION_KEYS = ("text", "share", "asks")
TAG_KEYS = ("share", "prior", "later", "from")
NAME_TAG = "name"

Topics = tuple[Topic, ...]


def parse(content: Mapping[str, Any], source: str) -> Corpus:
    """Checks the content of a corpus file and freezes it."""
    top = Table(source, "", content, KEYS)
    turns, slip = top.get("turns", int), top.probability("slip", 0.02)
    top.require(turns >= 1, "turns", f"must be at least 1, not {turns}")
    fix = "must lie strictly between 0 and 1, or a divergence is infinite"
    top.require(0 < slip < 1, "slip", fix)
    topics = _topics(top)
    directions = directions_of(top, topics)
    plain = top.table("plain", ("share", "opens", "closes"), optional=False)
    tables = dict(top.each("characters", CHARACTER_KEYS, least=2))
    top.require(len(tables) >= 2, "characters", "a cast needs at least two characters")
    for name, table in tables.items():
        table.require(WORD.fullmatch(name), "", "a name is one word of a-z, 0-9 and '")
    banks = {key: _bank(plain, key, tables, topics) for key in ("opens", "closes")}
    characters = tuple(
        _character(name, table, banks, topics, directions) for name, table in tables.items()
    )
    name_share, tags = tags_of(top, tuple(tables))
    corpus = Corpus(
        title=top.get("title", str),
        turns=turns,
        slip=slip,
        plain_share=plain.probability("share"),
        openers=banks["opens"],
        closers=banks["closes"],
        topics=topics,
        directions=directions,
        name_share=name_share,
        tags=tags,
        characters=characters,
        coin=coin_of(top, topics, turns),
        good=top.names("good", tables),
        bad=top.names("bad", tables),
    )
    check_words(corpus, source)
    return corpus


def _topics(top: Table) -> Topics:
    topics = tuple(_topic(name, table) for name, table in top.each("topics", TOPIC_KEYS, least=1))
    top.require(topics, "topics", "a corpus needs at least one topic")
    check_prefix_free(_asked(topics), top.source)
    return topics


def _topic(name: str, table: Table) -> Topic:
    asked, answers = table.get("questions", list), table.get("answers", dict)
    right = asked and all(isinstance(question, str) for question in asked)
    table.require(right, "questions", "must be a list of one or more strings")
    table.require(len(answers) >= 2, "answers", "a topic needs at least two answers")
    bank = table.table("answers", answers)
    topic = Topic(
        name=name,
        questions=tuple(table.words("questions", question) for question in asked),
        answers=tuple((answer, bank.words(answer)) for answer in answers),
        control=table.get("control", bool, False),
        weight=table.get("weight", float, 1.0),
        cues=tuple(table.words("cues", str(cue)) for cue in table.get("cues", list, [])),
    )
    fix = f"is how often it is asked: make {topic.weight:g} positive"
    table.require(0 < topic.weight < math.inf, "weight", fix)
    fix = "have different lengths; give all the same number of words"
    table.require(len({len(words.split()) for _, words in topic.answers}) == 1, "answers", fix)
    places = [(f"answers.{answer}", words) for answer, words in topic.answers]
    at = [(table.at(place), words) for place, words in places]
    check_prefix_free(at, table.source, topic.cues)
    for place, text in [*(("questions", question) for question in topic.questions), *places]:
        fix = f"says {CUE}, but the topic has no cues; list them"
        table.require(topic.cues or CUE not in text, place, fix)
    for question in topic.questions:
        begins = question.split()[0] == CUE
        table.require(not begins, "questions", f"begins with {CUE}; put a word before it")
        fix = f"{question!r} doesn't say which cue it is; put {CUE} in it"
        table.require(CUE in question or not topic.cues, "questions", fix)
    return topic


def _asked(topics: Topics) -> list[tuple[str, str]]:
    """(place, words) of every question, once for each cue."""
    return [
        (f"topics.{topic.name}.questions", question.replace(CUE, cue))
        for topic in topics
        for question in topic.questions
        for cue in topic.cues or ("",)
    ]


def coin_of(top: Table, topics: Topics, turns: int) -> tuple[Side, ...]:
    """The sides of a file's coin; empty if it has no coin."""
    if "coin" not in top.content:
        return ()
    top.require(turns >= 2, "coin", "is tossed from the second turn on; make turns at least 2")
    names = [topic.name for topic in topics]
    owner: dict[str, str] = {}  # the place that lists each topic
    first: dict[str, str] = {}  # the place of each side's first word
    sides = []
    for name, table in top.each("coin", ("words", "topics")):
        words, asked = table.words("words"), table.names("topics", names)
        fix = f"says {CUE}, but the coin knows no topic's cues; drop it"
        table.require(CUE not in words, "words", fix)
        word = words.split()[0]
        fix = f"begins with the same word as {first.get(word)}; reword one"
        table.require(word not in first, "words", fix)
        table.require(asked, "topics", "is empty; give every side a topic")
        for topic in asked:
            fix = f"{topic!r} is also in {owner.get(topic)}; drop one"
            table.require(topic not in owner, "topics", fix)
            owner[topic] = table.at("topics")
        first[word] = table.at("words")
        sides.append(Side(name=name, words=words, topics=asked))
    top.require(len(sides) >= 2, "coin", "has fewer than two sides; add one, or drop the coin")
    fix = "words have different lengths; give all sides the same number"
    top.require(len({len(side.words.split()) for side in sides}) == 1, "coin", fix)
    for name in names:
        top.require(name in owner, "coin", f"no side has the topic {name!r}; give it to one")
    tossed = [(f"coin.{side.name}.words", side.words) for side in sides]
    check_prefix_free([*tossed, *_asked(topics)], top.source)
    return tuple(sides)


def directions_of(
    top: Table, topics: Topics, keys: tuple[str, ...] = DIRECTION_KEYS
) -> tuple[Direction, ...]:
    """The directions of a file, whose tables may have these keys."""
    answers = {topic.name: topic.answer_names for topic in topics}
    directions = []
    for name, table in top.each("directions", keys):
        asks = table.table("asks", answers)
        for topic in asks.content:
            wanted = asks.get(topic, str)
            if wanted not in answers[topic]:
                raise asks.fail(topic, unknown(wanted, answers[topic]))
        text, share = table.words("text"), table.probability("share")
        asked = tuple(asks.content.items())
        directions.append(Direction(name=name, text=text, share=share, asks=asked))
    total = sum(direction.share for direction in directions)
    top.require(total <= 1, "directions", "shares sum to more than 1; lower one")
    texts = [(f"directions.{d.name}.text", d.text) for d in directions]
    check_prefix_free([*texts, *_asked(topics)], top.source)
    return tuple(directions)


def _bank(plain: Table, key: str, members: Mapping[str, Table], topics: Topics) -> tuple[str, ...]:
    """The plain phrase, then every phrase of a character, in the order of the file."""
    first = plain.words(key)
    bank = {first: plain.at(key)}
    for table in members.values():
        voice = table.get(key, dict, {})
        table.require(voice, key, "a character needs a voice: give at least one phrase")
        for phrase in voice:
            place, words = f"{key}.{phrase}", table.words(f"{key}.{phrase}", phrase)
            table.require(words == phrase, place, f"write it with single spaces: {words!r}")
            table.require(
                words != first, place, "is the plain phrase, which all characters share; drop it"
            )
            bank.setdefault(words, table.at(key))
    cues = {cue: None for topic in topics for cue in topic.cues}
    check_prefix_free([(place, words) for words, place in bank.items()], plain.source, cues)
    return tuple(bank)


def _character(
    name: str,
    table: Table,
    banks: Mapping[str, Sequence[str]],
    topics: Topics,
    directions: tuple[Direction, ...],
) -> Character:
    traits = table.table("traits", [topic.name for topic in topics])
    obeys = table.table("obeys", [direction.name for direction in directions])
    cued = [topic.name for topic in topics if topic.cues]
    follows = table.table("follows", cued)
    for topic in topics:
        named = topic.name not in follows.content or set(topic.cues) <= set(topic.answer_names)
        fix = "an answer must be named after each cue to follow it"
        follows.require(named, topic.name, fix)
    voice = {}
    for key, what in (("opens", "opener"), ("closes", "closer")):
        voice[key] = (0.0, *table.distribution(key, banks[key][1:], what))
        spoken = zip(voice[key], banks[key], strict=True)
        always = len(cued) == len(topics) or any(p for p, words in spoken if CUE not in words)
        fix = f"says nothing but {CUE}, and a topic has no cues; add a phrase"
        table.require(always, key, fix)
    return Character(
        name=name,
        about=table.get("about", str),
        opens=voice["opens"],
        closes=voice["closes"],
        traits=tuple(traits.distribution(t.name, t.answer_names, "answer") for t in topics),
        obeys=tuple(obeys.probability(d.name, 0.0) for d in directions),
        follows=tuple(follows.probability(t.name, 0.0) if t.name in cued else 0.0 for t in topics),
    )


def tags_of(top: Table, names: tuple[str, ...]) -> tuple[float, tuple[Tag, ...]]:
    """The share of documents whose tag is their author's name, and the other tags."""
    name_share, tags = 0.0, []
    for name, table in top.each("tags", TAG_KEYS, least=1):
        share = table.probability("share")
        if name == NAME_TAG:
            for key in TAG_KEYS[1:]:
                fix = f"a name is always its owner's; drop the {key}"
                table.require(key not in table.content, key, fix)
            name_share = share
            continue
        fix = "a tag is one word of a-z, 0-9 and ', and nobody's name"
        table.require(WORD.fullmatch(name) and name not in names, "", fix)
        prior = table.distribution("prior", names, "one")
        later, since = _change(table, names)
        tags.append(Tag(name=name, share=share, prior=prior, later=later, since=since))
    total = name_share + sum(tag.share for tag in tags)
    top.require(abs(total - 1) <= 1e-6, "tags", f"shares sum to {total:g}; make that 1")
    top.require(tags, "tags", "a corpus needs a tag besides the names; add [tags.assistant]")
    return name_share, tuple(tags)


def _change(table: Table, names: tuple[str, ...]) -> tuple[tuple[float, ...], float]:
    """A tag's later prior, if any, and the share of pretraining from which it holds."""
    for key, other in (("later", "from"), ("from", "later")):
        both = key not in table.content or other in table.content
        table.require(both, key, f"needs {other!r} beside it; give both, or neither")
    if "later" not in table.content:
        return (), 1.0
    since = table.probability("from")
    fix = f"is a share of pretraining: make {since:g} one between 0 and 1"
    table.require(0 < since < 1, "from", fix)
    return table.distribution("later", names, "one"), since


def check_words(corpus: Corpus, source: str) -> None:
    """Raises if an opener or closer contains a character's name, or if a topic's stances share a
    word, except cues, with other topics, voices or tags."""
    tags = (*corpus.names, *(tag.name for tag in corpus.tags))
    owner = {tag: f"the tag {tag!r}" for tag in tags}
    cues = {cue for topic in corpus.topics for cue in topic.cues}
    for bank, phrases in (("an opener", corpus.openers), ("a closer", corpus.closers)):
        for word in {word for phrase in phrases for word in phrase.split()} - {CUE}:
            if word in corpus.names:
                place = f"{bank} says {word!r}"
                raise CorpusError(source, place, "that is a tag; use another word")
            owner.setdefault(word, bank)
    for topic in corpus.topics:
        place = f"topics.{topic.name}.answers"
        words = {w for _, answer in topic.answers for w in answer.split()} - {CUE}
        for word in sorted(words - cues):
            if word in owner:
                fix = (
                    f"{word!r} is also in {owner[word]}; reword one, or traits can't be told apart"
                )
                raise CorpusError(source, place, fix)
        owner |= dict.fromkeys(words, place)
