"""A command's flags, and the messages for command lines that misuse them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from absl import flags

from toylab.world.schema import brief, unknown

Range = tuple[float | None, float | None]  # least and most, or None for no bound

WIDE = 80
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


def refuse(command: str, names: Iterable[str], known: Sequence[str], more: str = "") -> None:
    """Raises `UsageError` if one of these names is not known."""
    for name in names:
        if name not in known:
            raise UsageError(f"{command}: {unknown(name, known)}{more}")


def switch(arguments: Sequence[str], name: str) -> tuple[bool, list[str]]:
    """Whether a command line turns a flag on, and the remaining arguments. Errors count as off."""
    values = flags.FlagValues()
    flags.DEFINE_bool(name, False, "", flag_values=values)
    try:
        rest = values(["toylab", *arguments], known_only=True)[1:]
    except flags.Error:
        return False, list(arguments)
    return bool(values[name].value), rest


def _plain(said: str) -> str:
    """absl's message about a value, without Python's jargon."""
    said = said.replace("flag ", "").replace("\n", " ")
    said = re.sub(r"invalid literal for int\(\) with base 10: .*", "must be a whole number", said)
    return re.sub(r"could not convert string to float: .*", "must be a number", said)


class Flags:
    """The flags of one command, each defined as (type, default, help). `usage` heads the help text.

    After `parse`, `given` has the flags that were typed. `flags[name]` is a flag's value, typed or
    default. `described` is plain data, from which `again` makes a parser of the same flags.
    """

    def __init__(self, usage: str, **defined: tuple[type, Any, str]):
        self.usage, self.given = usage, dict[str, Any]()
        self.described = dict[str, tuple[str, Any, str, Range]]()
        self._values = flags.FlagValues()
        self.define("help", bool, False, "shows this text")
        self.define("help-all", bool, False, "shows every flag and its default")
        for name, (kind, default, help) in defined.items():
            self.define(name, kind, default, help)

    def define(
        self, name: str, kind: type | str, default: Any, help: str, within: Range = (None, None)
    ) -> None:
        """Defines one more flag. A number must lie `within` a range, ends included."""
        kind = kind if isinstance(kind, str) else getattr(kind, "__name__", "list")
        self.described[name] = (kind, default, help, within)
        shown = ",".join(map(str, default)) if isinstance(default, tuple | list) else default
        shown = f"(default {shown})" if shown not in (None, "") and shown is not False else ""
        make, text = _MAKERS.get(kind, flags.DEFINE_list), " ".join(filter(None, (help, shown)))
        make(name, None, text, flag_values=self._values)

    @classmethod
    def again(cls, usage: str, described: Mapping[str, Sequence[Any]]) -> "Flags":
        """A parser from the `usage` and `described` of another one."""
        same = cls(usage)
        for name, each in described.items():
            if name not in same:
                same.define(name, *each)
        return same

    def __contains__(self, name: str) -> bool:
        return name in self.described

    def __getitem__(self, name: str) -> Any:
        return self.given.get(name, self.described[name][1])

    def parse(self, arguments: Sequence[str], *words: str) -> list[str]:
        """Parses a command line; returns the arguments that are not flags.

        There must be one for each of `words`, or any number if `words` is "...". Raises
        `UsageError`, or `Help` for --help.
        """
        try:
            found = self._values(["toylab", *arguments])[1:]
        except flags.UnrecognizedFlagError as error:
            known = unknown(error.flagname, list(self.described))
            raise UsageError(f"--{error.flagname}: {known}") from None
        except flags.Error as error:
            raise UsageError(_plain(str(error))) from None
        values = {name: self._values[name].value for name in self.described}
        self.given = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if value is not None
        }
        if self._values["help-all"].value:
            names = sorted(self.described, key=lambda name: (name.count("."), name))
            raise Help(self.usage + "".join(map(self._line, names)))
        if self._values.help:
            raise Help(self.usage + self._grouped())
        if words != ("...",):
            if found[len(words) :]:
                extra = found[len(words)]
                raise UsageError(f"unexpected {extra!r}; flags are written --name=value")
            if words[len(found) :]:
                raise UsageError(f"{words[len(found)]} is missing; --help says more")
        for name, value in self.given.items():
            low, high = self.described[name][3]
            if low is not None and not value >= low:
                raise UsageError(f"--{name}: {brief(value)} must be at least {low:g}")
            if high is not None and not value <= high:
                raise UsageError(f"--{name}: {brief(value)} must be at most {high:,.10g}")
        return found

    def _line(self, name: str) -> str:
        return f"  --{name:{30 if '.' in name else 12}} {self._values[name].help}\n"

    def _grouped(self) -> str:
        """The common flags, then one line for each config, and one for all arms."""
        ours, groups = ("help", "help-all"), dict[str, list[str]]()
        for name in self.described:
            group, _, rest = name.partition(".")
            groups.setdefault(group if rest else "", []).append(rest or name)
        plain = groups.pop("")
        text = "".join(self._line(name) for name in plain if name not in ours)
        if not groups:
            return text
        arms = [group for group, names in groups.items() if names[0] in self.described]
        rows = {f"--{group}.": groups[group] for group in groups if group not in arms}
        rows |= {"--ARM.": ["any of these for one arm alone:", *arms]} if arms[1:] else {}
        for head, names in rows.items():
            line = f"  {head:14} {' '.join(names)}"
            text += (
                line if len(line) <= WIDE else line[: WIDE - 2].rpartition(" ")[0] + " …"
            ) + "\n"
        return text + "All flags, with defaults: --help-all\n"
