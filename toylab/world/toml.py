"""TOML tables whose errors give file, place and fix in one line."""

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from toylab.world.schema import CUE, CorpusError, unknown

WORD = re.compile(r"[a-z0-9']+")
_KINDS = {
    str: "a string in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


class Table:
    """A TOML table that knows its place in a file. Keys that are not `known` are refused."""

    def __init__(self, source: str, place: str, content: Any, known: Iterable[str]):
        self.source, self.place, self.content = source, place, content
        self.require(isinstance(content, Mapping), "", f"must be a table, not {content!r}")
        known = dict.fromkeys(known)
        for key in content:
            if key not in known:
                raise self.fail(key, unknown(key, known))

    def fail(self, key: str, fix: str) -> CorpusError:
        return CorpusError(self.source, self.at(key), fix)

    def at(self, key: str) -> str:
        """The place of a key."""
        return f"{self.place}.{key}".strip(".")

    def require(self, holds: object, key: str, fix: str) -> None:
        """Raises a `CorpusError` unless the condition holds."""
        if not holds:
            raise self.fail(key, fix)

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        if key not in self.content:
            self.require(default is not None, key, "is missing; write it down")
            return default
        value = self.content[key]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        self.require(right, key, f"must be {_KINDS[kind]}, not {value!r}")
        return value

    def probability(self, key: str, default: float | None = None) -> float:
        value = self.get(key, float, default)
        self.require(0 <= value <= 1, key, f"is a probability: make {value} a number from 0 to 1")
        return value

    def words(self, key: str, text: str | None = None) -> str:
        """`text`, or the string at the key, checked, with single spaces between words."""
        words = (self.get(key, str) if text is None else text).split()
        self.require(words, key, "is empty; write at least one word")
        for word in words:
            right = word == CUE or WORD.fullmatch(word)
            self.require(right, key, f"{word!r} is no word; use only a-z, 0-9 and ' (and {CUE})")
        return " ".join(words)

    def names(self, key: str, known: Collection[str]) -> tuple[str, ...]:
        """A list of known names; empty if the key is missing."""
        found = self.get(key, list, [])
        for name in found:
            if name not in known:
                raise self.fail(key, unknown(str(name), known))
        return tuple(found)

    def table(self, key: str, known: Iterable[str], optional: bool = True) -> "Table":
        content = self.get(key, dict, {} if optional else None)
        return Table(self.source, self.at(key), content, known)

    def each(self, key: str, known: Iterable[str], least: int = 0) -> Iterator[tuple[str, "Table"]]:
        """The tables in the table at a key, by name. The key may be missing if `least` is 0."""
        content, known = self.get(key, dict, None if least else {}), tuple(known)
        for name in content:
            yield name, self.table(key, content).table(name, known)

    def distribution(self, key: str, bank: Sequence[str], what: str) -> tuple[float, ...]:
        """A distribution over `bank`; phrases that the file leaves out share the rest evenly."""
        value = self.content.get(key, {})
        if isinstance(value, str):
            value = {value: 1.0}
        table = Table(self.source, self.at(key), value, bank)
        named = {phrase: table.probability(phrase) for phrase in value}
        total, rest = sum(named.values()), len(bank) - len(named)
        fix = f"sums to {total:g}; make the probabilities sum to at most 1"
        self.require(total <= 1 + 1e-9, key, fix)
        fix = f"names every {what} but sums to {total:g}; make that 1"
        self.require(rest or abs(total - 1) <= 1e-6, key, fix)
        left = max(0.0, 1 - total)  # rounding can take the total above 1
        return tuple(named.get(p, left / rest if rest else 0.0) for p in bank)


def check_prefix_free(
    phrases: Iterable[tuple[str, str]], source: str, cues: Iterable[str] = ()
) -> None:
    """Raises if one of the (place, words) is a prefix of another, with any cue filled in."""
    phrases = list(phrases)
    for cue in tuple(cues) or ("",):
        ordered = sorted((words.replace(CUE, cue).split(), place) for place, words in phrases)
        for (first, place), (second, other) in itertools.pairwise(ordered):
            if second[: len(first)] == first:
                raise CorpusError(
                    source,
                    other,
                    f"{' '.join(second)!r} begins with the whole of {' '.join(first)!r} ({place}); "
                    "reword one, so that no phrase is a prefix of another",
                )
