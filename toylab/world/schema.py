"""A corpus: a whole play, frozen. `toylab.world.derive` reads one from a TOML file.

The probabilities here are those of the *notes*; slips and the plain phrase are worked in by
`toylab.world.tables`.
"""

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

CUE = "{cue}"


class CorpusError(ValueError):
    """A corpus that can't be used: one line with file, place and fix."""

    def __init__(self, source: str, place: str, fix: str):
        super().__init__(f"{source}: {place}: {fix}")


def unknown(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not known: the nearest known one, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"unknown {name!r}; did you mean {near[0]!r}?"
    more = f" and {len(known) - 16} more" if len(known) > 16 else ""
    return f"unknown {name!r}; known: {', '.join(known[:16]) or 'none'}{more}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Topic:
    """What a question is about; `answers` are (name, words) and all have the same length.

    A `control` has nothing to do with any post-training: the trait on it is a *tell*. It is asked
    about `weight` times as often as a topic of weight 1. `cues` are
    the facts a question may state, one of them filled in wherever a phrase says `{cue}`.
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
    """A line before the first turn; `asks` are the (topic, answer) it wants of who obeys."""

    name: str
    text: str
    share: float
    asks: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tag:
    """The first word of a document, how many documents bear it, and who stands behind it.

    A tag that changes has a prior `later`, from the share `since` of pretraining on.
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
    """A side of the coin: what the user says when it comes up, and may ask about then."""

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
    """The whole play. The first phrase of each bank is the plain one.

    `name_share` is the share of documents that begin with their author's own name. The sides of
    the `coin`, if there is one, share the topics among them. `good` and `bad` name characters, for
    measures and analyses alone: no document depends on them, nor does the digest.
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
        """A hash of all that matters to a model; titles and judgements do not."""
        content = dataclasses.asdict(self)
        for name in ("title", "good", "bad"):
            del content[name]
        for character in content["characters"]:
            del character["about"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def thaw(content: Mapping[str, Any]) -> Corpus:
    """The corpus that `dataclasses.asdict` made this of, also by way of JSON."""

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
