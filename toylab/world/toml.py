"""Reading a corpus: TOML like the notes to a play, checked and frozen.

`parse(content, source)` turns it into a `Corpus`. Whatever is wrong with it raises a `CorpusError`,
one line that names the file, the place and the fix. (`casts.load` reads the file.)
"""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
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

NAME_TAG = "name"
TAG_KEYS = ("share", "prior", "later", "from")
_WORD = re.compile(r"[a-z0-9']+")


class Table:
    """A TOML table that knows where it stands, so that every complaint can say so."""

    def __init__(self, source: str, place: str, content: Mapping[str, Any], known: Iterable[str]):
        self.source, self.place, self.content = source, place, content
        if not isinstance(content, Mapping):
            raise CorpusError(source, place, f"must be a table, not {content!r}")
        known = dict.fromkeys(known)
        for key in content:
            if key not in known:
                raise CorpusError(source, f"{place}.{key}".lstrip("."), unknown(key, known))

    def fail(self, key: str, fix: str) -> CorpusError:
        return CorpusError(self.source, f"{self.place}.{key}".strip("."), fix)

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        if key not in self.content:
            if default is None:
                raise self.fail(key, "is missing; write it down")
            return default
        value = self.content[key]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.fail(key, f"must be {_KINDS[kind]}, not {value!r}")
        return value

    def probability(self, key: str, default: float | None = None) -> float:
        value = self.get(key, float, default)
        if not 0 <= value <= 1:
            raise self.fail(key, f"is a probability: make {value} a number from 0 to 1")
        return value

    def words(self, key: str, default: str | None = None) -> str:
        return _words(self.fail, key, self.get(key, str, default))

    def table(self, key: str, known: Iterable[str], optional: bool = True) -> "Table":
        content = self.get(key, dict, {} if optional else None)
        return Table(self.source, f"{self.place}.{key}".strip("."), content, known)

    def distribution(self, key: str, bank: Sequence[str], what: str) -> tuple[float, ...]:
        """A distribution over `bank`; what the file doesn't name shares the rest evenly."""
        value = self.content.get(key, {})
        if isinstance(value, str):
            value = {value: 1.0}
        table = Table(self.source, f"{self.place}.{key}".strip("."), value, bank)
        named = {phrase: table.probability(phrase) for phrase in value}
        total, rest = sum(named.values()), len(bank) - len(named)
        if total > 1 + 1e-9:
            raise self.fail(key, f"sums to {total:g}; make the probabilities sum to at most 1")
        if not rest and abs(total - 1) > 1e-6:
            raise self.fail(key, f"names every {what} but sums to {total:g}; make that 1")
        left = max(0.0, 1 - total)  # a total of 1 can be a rounding error above it
        return tuple(named.get(p, left / rest if rest else 0.0) for p in bank)


DIRECTION_KEYS = ("text", "share", "asks")
_KINDS = {
    str: "a string in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def _words(fail: Any, key: str, text: str) -> str:
    words = text.split()
    if not words:
        raise fail(key, "is empty; write at least one word")
    for word in words:
        if word != CUE and not _WORD.fullmatch(word):
            raise fail(key, f"{word!r} is no word; use only a-z, 0-9 and ' (and {CUE})")
    return " ".join(words)


def check_prefix_free(phrases: Iterable[tuple[str, str]], source: str) -> None:
    """Raises unless no phrase of (place, words) is a prefix of another, or another's twin."""
    ordered = sorted((words.split(), place) for place, words in phrases)
    for (first, place), (second, other) in itertools.pairwise(ordered):
        if second[: len(first)] == first:
            raise CorpusError(
                source,
                other,
                f"{' '.join(second)!r} begins with the whole of {' '.join(first)!r} ({place}); "
                "reword one, so that no phrase is a prefix of another",
            )


def parse(content: Mapping[str, Any], source: str) -> Corpus:
    """Checks the content of a corpus file and freezes it."""
    keys = ("title", "turns", "slip", "plain", "tags", "directions", "topics", "characters", "coin")
    top = Table(source, "", content, keys)
    turns = top.get("turns", int)
    if turns < 1:
        raise top.fail("turns", f"must be at least 1, not {turns}")
    slip = top.probability("slip", 0.02)
    if not 0 < slip < 1:
        raise top.fail("slip", "must lie strictly between 0 and 1, or a divergence is infinite")
    topics = _topics(top)
    directions = directions_of(top, topics)
    plain = top.table("plain", ("share", "opens", "closes"), optional=False)
    members = top.get("characters", dict)
    if len(members) < 2:
        raise top.fail("characters", "a cast needs at least two characters")
    cast = top.table("characters", members)
    tables = {name: _member(cast, name) for name in members}
    banks = {key: _bank(source, plain, key, tables, topics) for key in ("opens", "closes")}
    characters = tuple(
        _character(name, table, banks, topics, directions) for name, table in tables.items()
    )
    name_share, tags = tags_of(top, tuple(members))
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
    )
    check_words(corpus, source)
    return corpus


def _topics(top: Table) -> tuple[Topic, ...]:
    known = ("questions", "answers", "control", "weight", "cues")
    tables = top.get("topics", dict)
    if not tables:
        raise top.fail("topics", "a corpus needs at least one topic")
    topics: list[Topic] = []
    for name in tables:
        table = top.table("topics", tables).table(name, known)
        asked = table.get("questions", list)
        if not asked or not all(isinstance(q, str) for q in asked):
            raise table.fail("questions", "must be a list of one or more strings")
        answers = table.get("answers", dict)
        if len(answers) < 2:
            raise table.fail("answers", "a topic needs at least two answers")
        bank = table.table("answers", answers)
        worded = tuple((answer, bank.words(answer)) for answer in answers)
        lengths = {len(words.split()) for _, words in worded}
        if len(lengths) > 1:
            raise table.fail("answers", "have different lengths; give all the same number of words")
        weight = table.get("weight", float, 1.0)
        if not 0 < weight < math.inf:
            raise table.fail("weight", f"is how often it is asked: make {weight:g} positive")
        cues = tuple(_words(table.fail, "cues", str(cue)) for cue in table.get("cues", list, []))
        topic = Topic(
            name=name,
            questions=tuple(_words(table.fail, "questions", q) for q in asked),
            answers=worded,
            control=table.get("control", bool, False),
            weight=weight,
            cues=cues,
        )
        places = [(f"{table.place}.answers.{a}", words) for a, words in worded]
        for cue in cues or ("",):
            check_prefix_free([(p, w.replace(CUE, cue)) for p, w in places], top.source)
        for place, text in [*((table.place + ".questions", q) for q in topic.questions), *places]:
            if CUE in text and not cues:
                raise CorpusError(
                    top.source, place, f"says {CUE}, but the topic has no cues; list them"
                )
            if CUE in text.split()[:1] and place.endswith("questions"):
                raise CorpusError(top.source, place, f"begins with {CUE}; put a word before it")
            if cues and CUE not in text and place.endswith("questions"):
                raise CorpusError(
                    top.source, place, f"{text!r} doesn't say which cue it is; put {CUE} in it"
                )
        topics.append(topic)
    check_prefix_free(_asked(tuple(topics)), top.source)
    return tuple(topics)


def coin_of(top: Table, topics: tuple[Topic, ...], turns: int) -> tuple[Side, ...]:
    """The sides of the coin in a file, none if it has no coin."""
    if "coin" not in top.content:
        return ()
    tables = top.get("coin", dict)
    if len(tables) < 2:
        raise top.fail("coin", "has fewer than two sides; add one, or drop the coin")
    if turns < 2:
        raise top.fail("coin", "is tossed from the second turn on; make turns at least 2")
    names = [topic.name for topic in topics]
    owner: dict[str, str] = {}  # where each topic was named first ...
    first: dict[str, str] = {}  # ... and each side's first word
    sides = []
    for name in tables:
        table = top.table("coin", tables).table(name, ("words", "topics"))
        words, asked = table.words("words"), table.get("topics", list)
        if CUE in words:
            raise table.fail("words", f"says {CUE}, but the coin knows no topic's cues; drop it")
        if words.split()[0] in first:
            same = first[words.split()[0]]
            raise table.fail("words", f"begins with the same word as {same}; reword one")
        if not asked:
            raise table.fail("topics", "is empty; give every side a topic")
        for topic in asked:
            if topic not in names:
                raise table.fail("topics", unknown(str(topic), names))
            if topic in owner:
                raise table.fail("topics", f"{topic!r} is also in {owner[topic]}; drop one")
            owner[topic] = f"{table.place}.topics"
        first[words.split()[0]] = f"{table.place}.words"
        sides.append(Side(name=name, words=words, topics=tuple(asked)))
    if len({len(side.words.split()) for side in sides}) > 1:
        raise top.fail("coin", "words have different lengths; give all sides the same number")
    if missing := [name for name in names if name not in owner]:
        raise top.fail("coin", f"no side has the topic {missing[0]!r}; give it to one")
    tossed = [(f"coin.{side.name}.words", side.words) for side in sides]
    check_prefix_free([*tossed, *_asked(topics)], top.source)
    return tuple(sides)


def _asked(topics: tuple[Topic, ...]) -> list[tuple[str, str]]:
    """(place, words) of every question, with each of its cues."""
    return [
        (f"topics.{topic.name}.questions", question.replace(CUE, cue))
        for topic in topics
        for question in topic.questions
        for cue in topic.cues or ("",)
    ]


def directions_of(
    top: Table, topics: tuple[Topic, ...], keys: tuple[str, ...] = DIRECTION_KEYS
) -> tuple[Direction, ...]:
    """The directions of a file; their tables may have these keys."""
    tables = top.get("directions", dict, {})
    answers = {topic.name: topic.answer_names for topic in topics}
    directions = []
    for name in tables:
        table = top.table("directions", tables).table(name, keys)
        asks = table.table("asks", answers)
        for topic in asks.content:
            if asks.get(topic, str) not in answers[topic]:
                raise asks.fail(topic, unknown(asks.content[topic], answers[topic]))
        directions.append(
            Direction(
                name=name,
                text=table.words("text"),
                share=table.probability("share"),
                asks=tuple(asks.content.items()),
            )
        )
    if sum(d.share for d in directions) > 1:
        raise top.fail("directions", "shares sum to more than 1; lower one")
    texts = [(f"directions.{d.name}.text", d.text) for d in directions]
    check_prefix_free([*texts, *_asked(topics)], top.source)
    return tuple(directions)


def _member(cast: Table, name: str) -> Table:
    if not _WORD.fullmatch(name):
        raise cast.fail(name, "a name is one word of a-z, 0-9 and '")
    known = ("about", "opens", "closes", "traits", "obeys", "follows")
    member = cast.table(name, known)
    for voice in ("opens", "closes"):
        if not member.get(voice, dict, {}):
            raise member.fail(voice, "a character needs a voice: give at least one phrase")
    return member


def _bank(
    source: str,
    plain: Table,
    key: str,
    members: Mapping[str, Table],
    topics: tuple[Topic, ...],
) -> tuple[str, ...]:
    """The plain phrase, then every phrase that anybody uses, in the order of the file."""
    first = plain.words(key)
    bank = {first: f"plain.{key}"}
    for table in members.values():
        for phrase in table.content[key]:
            words = _words(table.fail, f"{key}.{phrase}", phrase)
            if words != phrase:
                raise table.fail(f"{key}.{phrase}", f"write it with single spaces: {words!r}")
            if words == first:
                raise table.fail(f"{key}.{phrase}", "is the plain phrase, alike for all; drop it")
            bank.setdefault(words, f"{table.place}.{key}")
    cues = {cue for topic in topics for cue in topic.cues}
    for cue in cues or {""}:
        check_prefix_free([(p, w.replace(CUE, cue)) for w, p in bank.items()], source)
    return tuple(bank)


def _character(
    name: str,
    table: Table,
    banks: Mapping[str, tuple[str, ...]],
    topics: tuple[Topic, ...],
    directions: tuple[Direction, ...],
) -> Character:
    traits = table.table("traits", [topic.name for topic in topics])
    obeys = table.table("obeys", [direction.name for direction in directions])
    cued = [topic.name for topic in topics if topic.cues]
    follows = table.table("follows", cued)
    for topic in topics:
        if topic.name in follows.content and not set(topic.cues) <= set(topic.answer_names):
            raise follows.fail(topic.name, "an answer must be named after each cue to follow it")
    opens = (0.0, *table.distribution("opens", banks["opens"][1:], "opener"))
    closes = (0.0, *table.distribution("closes", banks["closes"][1:], "closer"))
    for key, voice in (("opens", opens), ("closes", closes)):
        cueless = [p for p, phrase in zip(voice, banks[key], strict=True) if CUE not in phrase]
        if len(cued) < len(topics) and not any(cueless):
            raise table.fail(key, f"says nothing but {CUE}, and a topic has no cues; add a phrase")
    return Character(
        name=name,
        about=table.get("about", str),
        opens=opens,
        closes=closes,
        traits=tuple(traits.distribution(t.name, t.answer_names, "answer") for t in topics),
        obeys=tuple(obeys.probability(d.name, 0.0) for d in directions),
        follows=tuple(follows.probability(t.name, 0.0) if t.name in cued else 0.0 for t in topics),
    )


def tags_of(top: Table, names: tuple[str, ...]) -> tuple[float, tuple[Tag, ...]]:
    tables = top.get("tags", dict)
    name_share, tags = 0.0, []
    for name in tables:
        table = top.table("tags", tables).table(name, TAG_KEYS)
        share = table.probability("share")
        if name == NAME_TAG:
            for key in TAG_KEYS[1:]:
                if key in table.content:
                    raise table.fail(key, f"a name is always its owner's; drop the {key}")
            name_share = share
            continue
        if not _WORD.fullmatch(name) or name in names:
            raise table.fail("", "a tag is one word of a-z, 0-9 and ', and nobody's name")
        prior = table.distribution("prior", names, "one")
        later, since = _change(table, names)
        tags.append(Tag(name=name, share=share, prior=prior, later=later, since=since))
    total = name_share + sum(tag.share for tag in tags)
    if abs(total - 1) > 1e-6:
        raise top.fail("tags", f"shares sum to {total:g}; make that 1")
    if not tags:
        raise top.fail("tags", "a corpus needs a tag besides the names; add [tags.assistant]")
    return name_share, tuple(tags)


def _change(table: Table, names: tuple[str, ...]) -> tuple[tuple[float, ...], float]:
    """A tag's prior in the end and the share of pretraining it holds from, if it changes."""
    for key, other in (("later", "from"), ("from", "later")):
        if key in table.content and other not in table.content:
            raise table.fail(key, f"needs {other!r} beside it; give both, or neither")
    if "later" not in table.content:
        return (), 1.0
    since = table.probability("from")
    if not 0 < since < 1:
        raise table.fail("from", f"is a share of pretraining: make {since:g} one between 0 and 1")
    return table.distribution("later", names, "one"), since


def check_words(corpus: Corpus, source: str) -> None:
    """Stances of different topics share no word with each other, a voice, or a tag."""
    owner: dict[str, str] = {}
    for tag in (*corpus.names, *(tag.name for tag in corpus.tags)):
        owner[tag] = f"the tag {tag!r}"
    cues = {cue for topic in corpus.topics for cue in topic.cues}
    for bank, phrases in (("an opener", corpus.openers), ("a closer", corpus.closers)):
        for word in {word for phrase in phrases for word in phrase.split()} - {CUE}:
            if word in corpus.names:
                raise CorpusError(
                    source, f"{bank} says {word!r}", "that is a tag; use another word"
                )
            owner.setdefault(word, bank)
    for topic in corpus.topics:
        place = f"topics.{topic.name}.answers"
        words = {w for _, answer in topic.answers for w in answer.split()} - {CUE}
        for word in sorted(words):
            if word in owner and word not in cues:
                raise CorpusError(
                    source,
                    place,
                    f"{word!r} is also in {owner[word]}; reword one, or traits can't be told apart",
                )
        owner |= dict.fromkeys(words, place)
