"""Frozen configs with traced fields, which change without recompilation.

Fields made with `number()` are traced as numbers. Those that name parts of a corpus are traced as
the arrays to which they resolve there. All others are structure, on which compiled code depends.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, Self

import jax.numpy as jnp


def number(default: float, *, low: float = 0.0, help: str = "") -> Any:
    """A field that is traced. Must be at least `low`."""
    return dataclasses.field(default=default, metadata={"number": True, "low": low, "help": help})


def choice(default: Any, *, low: float | None = None, help: str = "") -> Any:
    """A field that is structure. Must be at least `low`."""
    return dataclasses.field(default=default, metadata={"low": low, "help": help})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traced:
    """A config that splits into static `structure` and traced `numbers`; so do those within it."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, low = getattr(self, field.name), field.metadata.get("low")
            if low is not None and isinstance(value, (int, float)) and not value >= low:
                raise ValueError(f"{self.kind}.{field.name}: {value} must be at least {low:g}")

    @property
    def kind(self) -> str:
        """Its name in flags, messages and `config.json`."""
        return type(self).__name__.lower()

    def _parts(self) -> Iterator[tuple[str, "Traced"]]:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.init and isinstance(value, Traced):
                yield field.name, value

    def numbers(self) -> dict[str, Any]:
        """The traced numbers; those of a nested config are under the name of its field."""
        own = {
            field.name: jnp.asarray(getattr(self, field.name), jnp.float32)
            for field in dataclasses.fields(self)
            if field.metadata.get("number")
        }
        return own | {name: part.numbers() for name, part in self._parts()}

    def structure(self) -> Self:
        """The config with traced fields at their defaults: equal if only traced fields differ."""
        traced = [f for f in dataclasses.fields(self) if {"number", "name"} & set(f.metadata)]
        defaults: dict[str, Any] = {field.name: field.default for field in traced}
        parts: dict[str, Any] = {name: part.structure() for name, part in self._parts()}
        return dataclasses.replace(self, **(parts | defaults))

    def trace(self, numbers: dict[str, Any]) -> Self:
        """A structure with the `numbers` of a config, which may be tracers."""
        parts = {name: part.trace(numbers[name]) for name, part in self._parts()}
        traced = object.__new__(type(self))
        for field in dataclasses.fields(self):
            value = (numbers | parts).get(field.name, getattr(self, field.name))
            object.__setattr__(traced, field.name, value)
        return traced
