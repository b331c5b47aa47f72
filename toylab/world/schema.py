"""A corpus, frozen. Its types say what a corpus file may hold: `toylab.world.parse` reads one.

Probabilities are those written in the file; `toylab.world.tables` adds slips and the plain phrase.
"""

import dataclasses
import difflib
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

CUE = "{cue}"


class CorpusError(ValueError):
    """A corpus can't be used. The message is one line: file, place and fix."""

    def __init__(self, source: str, place: str, fix: str):
        super().__init__(f"{source}: {place}: {fix}")


def unknown(name: str, known: Iterable[str]) -> str:
    """The message about an unknown name: the nearest known one, or up to 16 of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"unknown {name!r}; did you mean {near[0]!r}?"
    more = f" and {len(known) - 16} more" if len(known) > 16 else ""
    return f"unknown {name!r}; known: {', '.join(known[:16]) or 'none'}{more}"


class Limit(NamedTuple):
    """A condition on a value of a corpus file, in words and as a function."""

    words: str
    holds: Callable[[Any], object]


_WORD = "[a-z0-9']+"
_SAID = rf"({_WORD}|{CUE})"
Name = Annotated[str, Limit("one word of a-z, 0-9 and '", re.compile(_WORD).fullmatch)]
Words = Annotated[
    str,
    Limit("words of a-z, 0-9 and ', one space apart", re.compile(f"{_WORD}( {_WORD})*").fullmatch),
]
Phrase = Annotated[
    str,
    Limit(
        f"words of a-z, 0-9 and ' (or {CUE}), one space apart",
        re.compile(f"{_SAID}( {_SAID})*").fullmatch,
    ),
]
Count = Annotated[int, Limit("a whole number from 1 up", lambda n: n >= 1)]
Seed = Annotated[int, Limit("a whole number from 0 up", lambda n: n >= 0)]
Share = Annotated[float, Limit("a number from 0 to 1", lambda p: 0 <= p <= 1)]
Fraction = Annotated[float, Limit("a number strictly between 0 and 1", lambda p: 0 < p < 1)]
Weight = Annotated[float, Limit("a positive number", lambda w: 0 < w < math.inf)]
Shares = tuple[Share, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Topic:
    """What a question asks about. `answers` are (name, words), all with the same number of words.

    By default post-training asks about no `control`, except to anchor it, so the trait on it is a
    *tell*. Topics come up in proportion to their `weight`; with a coin, from the second turn on
    only within a side. `cues` are the facts that a question may state; one of them replaces `{cue}`
    in every phrase. `calls_for` are (cue, answer) pairs, where the answer that follows a cue is not
    named like it. With `answers_of`, the answers are those of another topic, and may share words.
    """

    name: str
    questions: tuple[Phrase, ...]
    answers: tuple[tuple[str, Phrase], ...]
    control: bool = False
    weight: Weight = 1.0
    cues: tuple[Words, ...] = ()
    calls_for: tuple[tuple[str, str], ...] = ()
    answers_of: str = ""

    @property
    def answer_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.answers)

    def called_for(self, cue: str) -> str:
        """The name of the answer that follows a cue; there may be no such answer."""
        return dict(self.calls_for).get(cue, cue)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Direction:
    """A line before the first turn; `asks` are the (topic, answer) pairs that it demands."""

    name: str
    text: Words
    share: Share
    asks: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tag:
    """The first word of a document, its share of documents, and its prior over authors.

    If a tag's prior changes, it is `later` once the share `since` of pretraining is over.
    """

    name: Name
    share: Share
    prior: Shares
    later: Shares = ()
    since: Share = 1.0

    @property
    def last(self) -> Shares:
        """The prior at the end of pretraining."""
        return self.later or self.prior


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """A side of the coin: what the user says when it comes up, and the topics that the question
    after it may have."""

    name: str
    words: Words
    topics: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Character:
    """Voice (over the two banks), traits (over each topic's answers) and dispositions."""

    name: Name
    about: str
    opens: Shares
    closes: Shares
    traits: tuple[Shares, ...]
    obeys: Shares
    follows: Shares


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corpus:
    """All that a corpus file says. The first phrase of each bank is the plain one.

    `slip` is the share of phrases drawn evenly from their whole bank (at 0 a divergence would be
    infinite), `name_share` the share of documents whose tag is their author's name. If there is a
    `coin`, every topic is on one side of it. `good` and `bad` name characters for measures and
    analyses alone: neither documents nor the digest depend on them.
    """

    title: str
    turns: Count
    slip: Fraction = 0.02
    plain_share: Share
    openers: tuple[Phrase, ...]
    closers: tuple[Phrase, ...]
    topics: tuple[Topic, ...]
    directions: tuple[Direction, ...]
    name_share: Share
    tags: tuple[Tag, ...]
    characters: tuple[Character, ...]
    coin: tuple[Side, ...] = ()
    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(character.name for character in self.characters)

    @property
    def topic_names(self) -> tuple[str, ...]:
        return tuple(topic.name for topic in self.topics)

    @property
    def tells(self) -> tuple[str, ...]:
        """The controls whose answers no other topic has, so that training on none changes them."""
        shared = {topic.answers_of for topic in self.topics}
        alone = (t for t in self.topics if t.control and not t.answers_of)
        return tuple(topic.name for topic in alone if topic.name not in shared)

    def digest(self) -> str:
        """A hash of all that documents depend on: not `title`, `about`, `good` or `bad`."""
        content = dataclasses.asdict(self)
        for name in ("title", "good", "bad"):
            del content[name]
        for character in content["characters"]:
            del character["about"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def thaw(content: Any, kind: Any = Corpus) -> Any:
    """The corpus from its `dataclasses.asdict`, which may have been through JSON."""
    if isinstance(content, Mapping):
        kinds = get_type_hints(kind)
        return kind(**{key: thaw(value, kinds[key]) for key, value in content.items()})
    if isinstance(content, (list, tuple)):
        return tuple(thaw(each, get_args(kind)[0]) for each in content)
    return content
