"""A corpus as frozen dataclasses, whose types say what a corpus file may hold (see `parse`).

Probabilities are those written in the file; `toylab.world.tables` adds slips and the plain phrase.
"""

import dataclasses
import difflib
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

CUE = "{cue}"
LINE = 290  # the greatest length of a message
SEEDS = 2**32  # every seed is smaller


def shortened(text: str, most: int = LINE) -> str:
    """A text as one printable line. If it has more than `most` characters, its middle is cut."""
    line = "".join(each if each.isprintable() else "?" for each in text)
    half = (most - 1) // 2
    return line if len(line) <= most else f"{line[: most - 1 - half]}…{line[-half:]}"


def brief(value: Any) -> str:
    """A value as a message quotes it, abbreviated."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, Mapping | list | tuple):
        return "a table" if isinstance(value, Mapping) else "a list"
    return repr(shortened(value, 40) if isinstance(value, str) else value)


class CorpusError(ValueError):
    """A corpus can't be used. The message is one line: file, place in it, fix."""

    def __init__(self, source: str, place: str, fix: str):
        place, fix = shortened(place, 50), shortened(fix, 180)
        source = shortened(source, LINE - len(place) - len(fix) - len(": : "))
        super().__init__(f"{source}: {place}: {fix}")


def unknown(name: str, known: Iterable[str]) -> str:
    """The message about an unknown name: the nearest known one, or up to 16 of them."""
    known = list(known)
    near = difflib.get_close_matches(name[:80], known, n=1)
    if near:
        return f"unknown {brief(name)}; did you mean {brief(near[0])}?"
    more = f" and {len(known) - 16} more" if len(known) > 16 else ""
    return f"unknown {brief(name)}; known: {', '.join(known[:16]) or 'none'}{more}"


def strangers(names: Iterable[str], known: Collection[str]) -> Iterator[str]:
    """A message about each name that is not known."""
    return (unknown(name, known) for name in names if name not in known)


class Limit(NamedTuple):
    """A condition on a value, in words and as a function."""

    words: str
    holds: Callable[[Any], object]


def between(low: float, high: float, what: str = "a number") -> Limit:
    """The condition low <= n <= high."""
    return Limit(f"{what} from {low:,} to {high:,}", lambda n: low <= n <= high)


def worded(words: str, pattern: str) -> Limit:
    """The condition of being a full match of a pattern."""
    return Limit(words, re.compile(pattern).fullmatch)


_WORD = "[a-z0-9']{1,40}"
_SAID = rf"({_WORD}|{CUE})"
Title = Annotated[
    str,
    Limit(
        "1 to 100 printable characters", lambda t: t.strip() and t.isprintable() and len(t) < 101
    ),
]
About = Annotated[
    str, Limit("up to 300 printable characters", lambda t: t.isprintable() and len(t) < 301)
]
Label = Annotated[
    str,
    worded("up to 40 of a-z, A-Z, 0-9, ', _, - and spaces", "[A-Za-z0-9'_][A-Za-z0-9'_ -]{0,39}"),
]
Name = Annotated[str, worded("one word of a-z, 0-9 and '", _WORD)]
Words = Annotated[str, worded("words of a-z, 0-9 and ', one space apart", f"{_WORD}( {_WORD})*")]
Phrase = Annotated[
    str, worded(f"words of a-z, 0-9 and ' (or {CUE}), one space apart", f"{_SAID}( {_SAID})*")
]
Count = Annotated[int, between(1, 100, "a whole number")]
Seed = Annotated[int, between(0, SEEDS - 1, "a whole number")]
Share = Annotated[float, between(0, 1)]
Fraction = Annotated[float, between(0.0001, 0.999)]
Weight = Annotated[float, between(0.0001, 10_000)]
Shares = tuple[Share, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Topic:
    """What a question asks about. `answers` are (name, words), all with the same number of words.

    By default, post-training leaves out a topic that is a `control`. Topics are drawn in proportion
    to their `weight`. If the corpus has a coin, later turns draw only from the topics of the side
    that comes up. If there are `cues`, each question states one, which replaces `{cue}` in every
    phrase of the turn. A cue calls for the answer of the same name, or for the one that `calls_for`
    pairs with it. With `answers_of`, answers correspond by name to those of another topic, and may
    have the same words.
    """

    name: Label
    questions: tuple[Phrase, ...]
    answers: tuple[tuple[Label, Phrase], ...]
    control: bool = False
    weight: Weight = 1.0
    cues: tuple[Words, ...] = ()
    calls_for: tuple[tuple[str, str], ...] = ()
    answers_of: str = ""

    @property
    def answer_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.answers)

    def called_for(self, cue: str) -> str:
        """The name of the answer that a cue calls for; there may be no such answer."""
        return dict(self.calls_for).get(cue, cue)

    def targets(self, cues: Iterable[str]) -> list[int]:
        """The index of the answer that each of these cues calls for. Every cue must have one."""
        return [self.answer_names.index(self.called_for(cue)) for cue in cues]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Direction:
    """A line before the first turn; `asks` are the (topic, answer) pairs that it asks for."""

    name: Label
    text: Words
    share: Share
    asks: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tag:
    """The first word of a document, its share of documents, and its prior over authors.

    The prior becomes `later`, if there is one, when the fraction `since` of pretraining is done.
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
    """A side of the coin: the user's words when it comes up, and the topics that may follow."""

    name: Label
    words: Words
    topics: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Character:
    """Distributions over openers, closers and answers; how often it obeys each direction, and
    follows the cues of each topic."""

    name: Name
    about: About
    opens: Shares
    closes: Shares
    traits: tuple[Shares, ...]
    obeys: Shares
    follows: Shares


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corpus:
    """All that a corpus file says. The first opener and closer are the plain ones.

    `slip` is the share of phrases drawn uniformly from their bank. It is above 0, so that every
    divergence is finite. `name_share` is the share of documents whose tag is their author's name.
    With a `coin`, every topic is on one side of it. Documents do not depend on `good` and `bad`.
    """

    title: Title
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
        """The controls that share no answers with another topic: training there may change them."""
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
    """The corpus from its `dataclasses.asdict`, also after a round trip through JSON."""
    if isinstance(content, Mapping):
        kinds = get_type_hints(kind)
        return kind(**{key: thaw(value, kinds[key]) for key, value in content.items()})
    if isinstance(content, (list, tuple)):
        return tuple(thaw(each, get_args(kind)[0]) for each in content)
    return content
