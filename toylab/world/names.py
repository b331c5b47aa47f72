"""Dataclass fields that name parts of a corpus.

A field made with `topic()`, `character()`, `tag()`, … holds one name or a tuple of names.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from toylab.world.grammar import tag_names
from toylab.world.schema import Corpus, Topic, strangers

# From the corpus and the config that has the field: the names that the field may hold, as a
# sequence or as a mapping from name to index.
Known = Callable[[Corpus, Any], Sequence[str] | Mapping[str, Any]]
REQUIRED = dataclasses.MISSING


def named(
    known: Known,
    default: Any = REQUIRED,
    *,
    empty: Any = None,
    required: bool = False,
    help: str = "",
) -> Any:
    """A field for one or more of the `known` names.

    `empty`, a function of corpus and config, gives the names that an empty field stands for. A
    field may still be empty then if it has `empty` or the default (), and is not `required`. Any
    other empty field counts as the name "", which must be known.
    """
    optional = not required and (default == () or empty is not None)
    kind = {"name": True, "help": help, "known": known, "empty": empty, "optional": optional}
    return dataclasses.field(default=default, metadata=kind)


def ordinary(corpus: Corpus, _: Any = None) -> list[str]:
    """Topics that are not controls."""
    return [topic.name for topic in corpus.topics if not topic.control]


def cued(corpus: Corpus, _: Any = None) -> list[str]:
    """Topics with cues."""
    return [topic.name for topic in corpus.topics if topic.cues]


def facts(corpus: Corpus, _: Any = None) -> list[str]:
    """Topics with cues, and with the answer that each cue calls for."""
    known = [
        t for t in corpus.topics if t.cues and {*map(t.called_for, t.cues)} <= {*t.answer_names}
    ]
    return [topic.name for topic in known]


def answers_of(corpus: Corpus, _: Any = None) -> dict[str, tuple[int, int]]:
    """Maps each answer, written `topic=answer`, to (topic, index in the topic's bank)."""
    return {
        f"{topic.name}={answer}": (t, place)
        for t, topic in enumerate(corpus.topics)
        for place, answer in enumerate(topic.answer_names)
    }


def topic(default: Any = REQUIRED, *, among: Known | None = None, **more: Any) -> Any:
    """Topics; `among` restricts them to the `ordinary`, the `cued` or the `facts`."""
    return named(among or (lambda corpus, _: corpus.topic_names), default, **more)


def character(default: Any = REQUIRED, **more: Any) -> Any:
    """Characters of the cast."""
    return named(lambda corpus, _: corpus.names, default, **more)


def side(which: str) -> Any:
    """Characters: those that the corpus lists as `good` or as `bad`, unless others are named."""
    return named(
        lambda corpus, _: corpus.names,
        (),
        empty=lambda corpus, _: getattr(corpus, which),
        required=True,
        help=f"empty: those that the corpus lists as {which}",
    )


def tag(default: Any = "assistant", **more: Any) -> Any:
    """Tags, including the names of characters if `name_share` > 0."""
    return named(lambda corpus, _: tag_names(corpus), default, **more)


def direction(default: Any = "", **more: Any) -> Any:
    """Directions. The empty name, index 0, is no direction."""
    return named(lambda corpus, _: ["", *(d.name for d in corpus.directions)], default, **more)


def answer(default: Any = REQUIRED, **more: Any) -> Any:
    """Answers, written `topic=answer`."""
    return named(answers_of, default, **more)


def cue(default: Any = (), *, of: str, **more: Any) -> Any:
    """Cues of the topics in the field `of`, or of all topics if that is empty."""

    def known(corpus: Corpus, config: Any) -> Sequence[str]:
        return [cue for topic in _chosen(corpus, config, of) for cue in topic.cues]

    return named(known, default, **more)


def followed(default: Any = (), *, of: str, **more: Any) -> Any:
    """Answers to cues, written `cue=answer`, of the topics in field `of` (empty: all topics)."""

    def known(corpus: Corpus, config: Any) -> Sequence[str]:
        topics = _chosen(corpus, config, of)
        return [f"{cue}={a}" for topic in topics for cue in topic.cues for a in topic.answer_names]

    return named(known, default, **more)


def _each(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _chosen(corpus: Corpus, config: Any, field: str) -> list[Topic]:
    """The topics that a field names; all topics if it is empty."""
    chosen = _each(getattr(config, field) or corpus.topic_names)
    return [topic for topic in corpus.topics if topic.name in chosen]


def _named(config: Any, corpus: Corpus) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """For each field that holds names: its name, its value (or that of `empty`), its metadata."""
    for field in dataclasses.fields(config):
        if "known" in (kind := field.metadata):
            value = getattr(config, field.name)
            if not value and kind["empty"]:
                value = kind["empty"](corpus, config)
            yield field.name, value, kind


def check(config: Any, corpus: Corpus, place: str) -> None:
    """Raises `ValueError`, beginning with `place.field`, at the first name that is not known."""
    for field, value, kind in _named(config, corpus):
        if value or not kind["optional"]:
            for fix in strangers(_each(value) or ("",), kind["known"](corpus, config)):
                raise ValueError(f"{place}.{field}: {fix}")


def resolve(config: Any, corpus: Corpus) -> dict[str, Any]:
    """The indices of the names in each field: an int for one name, an int array [n] for a tuple.

    An answer `topic=answer` has two indices: (topic, index in its bank). An empty string that
    `empty` does not replace is 0 for a `direction`, else None. Names must have passed `check`.
    """
    found: dict[str, Any] = {}
    for field, value, kind in _named(config, corpus):
        known = kind["known"](corpus, config)
        places = known if isinstance(known, Mapping) else {n: i for i, n in enumerate(known)}
        one = isinstance(value, str)
        found[field] = places.get(value) if one else np.array([places[n] for n in value], np.int32)
    return found
