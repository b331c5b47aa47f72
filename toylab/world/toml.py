"""Reads TOML tables by the types of `toylab.world.schema`."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from toylab.world.schema import CorpusError, Share, brief, unknown

_KINDS = {
    str: "a string in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def keys(kind: Any) -> tuple[str, ...]:
    """The TOML keys of a dataclass."""
    return tuple(field.name for field in dataclasses.fields(kind) if field.name != "name")


def described(hint: Any) -> str:
    """What `Table.read` accepts as a value of a type, in words."""
    kind, *limits = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if get_origin(kind) is tuple:
        each = get_args(kind)[0]
        if get_origin(each) is tuple:
            return f"a table; each value: {described(get_args(each)[1])}"
        return f"a list; each entry: {described(each)}"
    return " and ".join(limit.words for limit in limits) or _KINDS[kind]


class Table:
    """A TOML table and its place in a file. Unknown keys and wrong values raise `CorpusError`."""

    def __init__(self, source: str, place: str, content: Any, known: Collection[str]):
        self.source, self.place, self.content = source, place, content
        self.require(isinstance(content, Mapping), "", f"must be a table, not {brief(content)}")
        names = set(known)
        for key in content:
            if key not in names:
                raise CorpusError(source, self.at(key), unknown(key, known))

    def at(self, key: str) -> str:
        """The place of a key."""
        return f"{self.place}.{key}".strip(".")

    def require(self, holds: object, key: str, fix: str) -> None:
        """Raises a `CorpusError` unless the condition holds."""
        if not holds:
            raise CorpusError(self.source, self.at(key), fix)

    def get(self, key: str, hint: Any, default: Any = dataclasses.MISSING) -> Any:
        """The value of a key, which must be of the type `hint`."""
        if key in self.content:
            return self.read(key, self.content[key], hint)
        self.require(default is not dataclasses.MISSING, key, "is missing; write it down")
        return default

    def read(self, key: str, value: Any, hint: Any) -> Any:
        """The value of a key, checked and frozen. A table becomes a tuple of pairs."""
        kind, *limits = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        if get_origin(kind) is tuple:
            each = get_args(kind)[0]
            if get_origin(each) is tuple:
                pairs = Table(self.source, self.at(key), value, value)
                left, right = get_args(each)
                return tuple((pairs.read(n, n, left), pairs.get(n, right)) for n in value)
            fix = f"must be a list, not {brief(value)}"
            self.require(isinstance(value, (list, tuple)), key, fix)
            return tuple(self.read(key, item, each) for item in value)
        whole = kind is float and type(value) is int and value.bit_length() <= 64
        fix = f"must be {_KINDS.get(kind)}, not {brief(value)}"
        self.require(whole or type(value) is kind, key, fix)
        for limit in limits:
            self.require(limit.holds(value), key, f"make {brief(value)} {limit.words}")
        return float(value) if whole else value

    def build(self, kind: Any, **given: Any) -> Any:
        """A dataclass. Its fields, except those given, are the values of keys of the same name."""
        hints = get_type_hints(kind, include_extras=True)
        if "name" in given:
            self.read("", given["name"], hints["name"])
        for field in dataclasses.fields(kind):
            if field.name not in given:
                given[field.name] = self.get(field.name, hints[field.name], field.default)
        return kind(**given)

    def table(self, key: str, known: Collection[str] | None = None) -> "Table":
        """The table at a key, empty if missing, with only `known` keys (default: any)."""
        content = self.content.get(key, {})
        return Table(self.source, self.at(key), content, content if known is None else known)

    def each(self, key: str, known: Collection[str], least: int = 0) -> dict[str, "Table"]:
        """The tables in the table at a key, by name; at least `least` of them."""
        tables = self.table(key)
        self.require(len(tables.content) >= least, key, f"has fewer than {least}; add some")
        return {name: tables.table(name, known) for name in tables.content}

    def distribution(self, key: str, bank: Sequence[str], what: str) -> tuple[float, ...]:
        """A distribution over `bank`; phrases that the file leaves out share the rest evenly."""
        value = self.content.get(key, {})
        if isinstance(value, str):
            value = {value: 1.0}
        table = Table(self.source, self.at(key), value, bank)
        named = {phrase: table.get(phrase, Share) for phrase in value}
        total, rest = sum(named.values()), len(bank) - len(named)
        fix = f"sums to {total:g}; make the probabilities sum to at most 1"
        self.require(total <= 1 + 1e-6, key, fix)
        fix = f"names every {what} but sums to {total:g}; make that 1"
        left = 1 - total if total < 1 - 1e-6 else 0.0
        self.require(rest or not left, key, fix)
        return tuple(named.get(p, left / rest if rest else 0.0) for p in bank)
