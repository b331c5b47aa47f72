"""A command's flags, and what is said of a line that gets them wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from toylab.world.schema import unknown

_MAKERS: dict[str, Any] = {
    "int": flags.DEFINE_integer,
    "float": flags.DEFINE_float,
    "bool": flags.DEFINE_bool,
    "str": flags.DEFINE_string,
}


class UsageError(ValueError):
    """A command line that can't be carried out: one line with the problem and the fix."""


class Help(Exception):
    """Raised for --help, with the text to print."""


class Flags:
    """The flags of one command, each defined as (type, default, help). `usage` heads the help text.

    After `parse`, `given` has the flags that were typed; `[name]` is a flag's value or its default.
    `described` is what a parser like this one is made of again, as plain data.
    """

    def __init__(self, usage: str, **defined: tuple[type, Any, str]):
        self.usage, self.given = usage, dict[str, Any]()
        self.described = dict[str, tuple[str, str, float | None]]()
        self._defaults = dict[str, Any]()
        self._values = flags.FlagValues()
        self.define("help", bool, False, "says this")
        for name, (kind, default, help) in defined.items():
            self.define(name, kind, default, help)

    def define(
        self, name: str, kind: type, default: Any, help: str, low: float | None = None
    ) -> None:
        """Defines one more flag. A number must be at least `low`."""
        shown = "" if default is None else f"(default {default})"
        text = " ".join(filter(None, (help, shown)))
        self._define(name, getattr(kind, "__name__", "list"), text, low)
        self._defaults[name] = default

    def _define(self, name: str, kind: str, text: str, low: float | None) -> None:
        make = _MAKERS.get(kind, flags.DEFINE_list)
        make(name, None, text, flag_values=self._values)
        self.described[name] = (kind, text, low)

    @classmethod
    def again(cls, usage: str, described: Mapping[str, Sequence[Any]]) -> "Flags":
        """A parser from `usage` and `described` of another one. It knows no defaults."""
        same = cls(usage)
        for name, (kind, text, low) in described.items():
            if name not in same:
                same._define(name, kind, text, low)
        return same

    def __contains__(self, name: str) -> bool:
        return name in self.described

    def __getitem__(self, name: str) -> Any:
        return self.given.get(name, self._defaults[name])

    def parse(self, arguments: Sequence[str], *words: str) -> list[str]:
        """Parses a command line; returns the arguments that are no flags, one for each of `words`.

        As the only word, "..." allows any number. Raises `UsageError`, or `Help` for --help.
        """
        try:
            found = self._values(["toylab", *arguments])[1:]
        except flags.UnrecognizedFlagError as error:
            known = unknown(error.flagname, list(self.described))
            raise UsageError(f"--{error.flagname}: {known}") from None
        except flags.Error as error:
            raise UsageError(str(error).replace("flag ", "").replace("\n", " ")) from None
        if self._values.help:
            raise Help(self.usage + self._described())
        if words != ("...",):
            if found[len(words) :]:
                extra = found[len(words)]
                raise UsageError(f"unexpected {extra!r}; flags are written --name=value")
            if words[len(found) :]:
                raise UsageError(f"{words[len(found)]} is missing; --help says more")
        values = {name: self._values[name].value for name in self.described}
        self.given = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if value is not None
        }
        for name, value in self.given.items():
            if (low := self.described[name][2]) is not None and not value >= low:
                raise UsageError(f"--{name}: {value} must be at least {low:g}")
        return found

    def _described(self) -> str:
        names = sorted(self.described, key=lambda name: (name.count("."), name))
        return "".join(f"  --{name:30} {self._values[name].help}\n" for name in names)
