"""A corpus, frozen. `toylab.world.derive` reads one from a TOML file.

Probabilities are those written in the file; `toylab.world.tables` adds slips and the plain phrase.
"""

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Topic:
    """What a question asks about. `answers` are (name, words), all with the same number of words.

    By default post-training asks about no `control`, except to anchor it, so the trait on it is a
    *tell*. Topics come up in proportion to their `weight`; with a coin, from the second turn on
    only within a side. `cues` are the facts that a question may state; one of them replaces `{cue}`
    in every phrase.
    """

    name: str
    questions: tuple[str, ...]
    answers: tuple[tuple[str, str], ...]
    control: bool = False
    weight: float = 1.0
    cues: tuple[str, ...] = ()

    @property
    def answer_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.answers)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Direction:
    """A line before the first turn; `asks` are the (topic, answer) pairs that it demands."""

    name: str
    text: str
    share: float
    asks: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tag:
    """The first word of a document, its share of documents, and its prior over authors.

    If a tag's prior changes, it is `later` once the share `since` of pretraining is over.
    """

    name: str
    share: float
    prior: tuple[float, ...]
    later: tuple[float, ...] = ()
    since: float = 1.0

    @property
    def last(self) -> tuple[float, ...]:
        """The prior at the end of pretraining."""
        return self.later or self.prior


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """A side of the coin: what the user says when it comes up, and the topics that the question
    after it may have."""

    name: str
    words: str
    topics: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Character:
    """Voice (over the two banks), traits (over each topic's answers) and dispositions."""

    name: str
    about: str
    opens: tuple[float, ...]
    closes: tuple[float, ...]
    traits: tuple[tuple[float, ...], ...]
    obeys: tuple[float, ...]
    follows: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corpus:
    """All that a corpus file says. The first phrase of each bank is the plain one.

    `name_share` is the share of documents whose tag is their author's name. If there is a `coin`,
    every topic is on one side of it. `good` and `bad` name characters for measures and analyses
    alone: neither documents nor the digest depend on them.
    """

    title: str
    turns: int
    slip: float
    plain_share: float
    openers: tuple[str, ...]
    closers: tuple[str, ...]
    topics: tuple[Topic, ...]
    directions: tuple[Direction, ...]
    name_share: float
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

    def digest(self) -> str:
        """A hash of all that documents depend on: not `title`, `about`, `good` or `bad`."""
        content = dataclasses.asdict(self)
        for name in ("title", "good", "bad"):
            del content[name]
        for character in content["characters"]:
            del character["about"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def thaw(content: Mapping[str, Any]) -> Corpus:
    """The corpus from its `dataclasses.asdict`, which may have been through JSON."""

    kinds = {
        "topics": Topic,
        "directions": Direction,
        "tags": Tag,
        "characters": Character,
        "coin": Side,
    }

    def frozen(value: Any, kind: Any = dict) -> Any:
        if isinstance(value, Mapping):
            return kind(**{key: frozen(each, kinds.get(key)) for key, each in value.items()})
        if isinstance(value, (list, tuple)):
            return tuple(frozen(each, kind) for each in value)
        return value

    corpus: Corpus = frozen(content, Corpus)
    return corpus
