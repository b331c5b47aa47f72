"""Fills in allowed values and defaults in the reference of the corpus format.

A table row whose first cell ends with `<!--TYPE.FIELD-->` gets both from the field FIELD of
the dataclass TYPE in `toylab.world.schema`.
"""

import dataclasses
import json
import re
from typing import get_type_hints

from toylab.world.schema import Character, Corpus, Direction, Side, Tag, Topic, unknown
from toylab.world.toml import described

DOCUMENT = "docs/corpus.md"
ROW = re.compile(r"(<!--(\w+)\.(\w+)--> \|)[^|\n]*\|[^|\n]*\|")
KINDS = {kind.__name__: kind for kind in (Corpus, Topic, Direction, Tag, Side, Character)}


def cells(kind: type, name: str) -> str:
    """The allowed values and the default of a field, as two cells of a table."""
    default = {field.name: field.default for field in dataclasses.fields(kind)}[name]
    said = "required" if default is dataclasses.MISSING else json.dumps(default)
    hint = get_type_hints(kind, include_extras=True)[name]
    return f" {described(hint)} | {'none' if default == () else said} |"


def render(text: str) -> str:
    """The page with current rows. Raises `ValueError` for a field that does not exist."""

    def row(found: re.Match[str]) -> str:
        place, kind, name = found.groups()
        if kind not in KINDS or name not in get_type_hints(KINDS[kind]):
            fields = [f"{each}.{field}" for each in KINDS for field in get_type_hints(KINDS[each])]
            raise ValueError(f"{DOCUMENT}: {unknown(f'{kind}.{name}', fields)}")
        return place + cells(KINDS[kind], name)

    return ROW.sub(row, text)
