"""Frozen configs with traced fields, which change without recompilation.

Fields made with `number()` are traced as numbers. Fields that name parts of a corpus are traced as
the arrays to which they resolve there. Compiled code depends on all other fields.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, Self

import jax.numpy as jnp

from toylab.world.schema import brief

WHOLE, REAL = 1e7, 1e30  # limits: float32 is exact for whole numbers only up to 2^24


def number(default: float, *, low: float = 0.0, high: float = REAL, help: str = "") -> Any:
    """A field that is traced, from `low` to `high`."""
    metadata = {"number": True, "low": low, "high": high, "help": help}
    return dataclasses.field(default=default, metadata=metadata)


def choice(default: Any, *, low: float | None = None, high: float = REAL, help: str = "") -> Any:
    """A field that is not traced: a number from `low` to `high`, or any value if `low` is None."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "help": help})


def check_ranges(config: Any, place: str) -> None:
    """Raises `ValueError` if a number of a config lies outside `low` to `high`, or is nan."""
    for field in dataclasses.fields(config):
        value, low = getattr(config, field.name), field.metadata.get("low")
        if low is not None and isinstance(value, (int, float)):
            most = WHOLE if isinstance(value, int) else REAL
            high = min(field.metadata.get("high", REAL), most)
            if not value >= low:
                raise ValueError(f"{place}.{field.name}: {brief(value)} must be at least {low:g}")
            if value > high:
                raise ValueError(f"{place}.{field.name}: {brief(value)} must be at most {high:,g}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traced:
    """A config that splits into static `structure` and traced `numbers`, as do configs in it."""

    def __post_init__(self) -> None:
        check_ranges(self, self.kind)

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
        """The config with traced fields at their defaults."""
        traced = [f for f in dataclasses.fields(self) if {"number", "name"} & set(f.metadata)]
        defaults: dict[str, Any] = {field.name: field.default for field in traced}
        parts: dict[str, Any] = {name: part.structure() for name, part in self._parts()}
        return dataclasses.replace(self, **(parts | defaults))

    def trace(self, numbers: dict[str, Any]) -> Self:
        """This structure with `numbers`, which may be tracers, put back in."""
        parts = {name: part.trace(numbers[name]) for name, part in self._parts()}
        traced = object.__new__(type(self))
        for field in dataclasses.fields(self):
            value = (numbers | parts).get(field.name, getattr(self, field.name))
            object.__setattr__(traced, field.name, value)
        return traced
