"""Flags: one for every field of a sweep's frozen dataclasses, by its name in `config.json`.

`--sft.steps=200` sets the field of every Sft in the sweep, `--ARM.sft.steps=200` that of one arm,
`--sft@2.steps=200` that of the second Sft of an arm. A stage of 0 steps is left out. A
stage within a stage is named by its own kind, any other config within a stage by its field, as in
`--rl.target.answers`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_type_hints

from toylab.lab.flags import Flags, UsageError
from toylab.lab.sweep import Arm, Sweep
from toylab.stages import Stage
from toylab.world.schema import unknown


def _fields(config: Any) -> Iterator[tuple[dataclasses.Field, type]]:
    hints = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        if field.init and field.name not in _inside(config):
            yield field, hints[field.name]


def _inside(config: Any) -> dict[str, Any]:
    """The nested configs, by field."""
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.init}
    return {name: value for name, value in values.items() if dataclasses.is_dataclass(value)}


def _place(prefix: str, field: str, part: Any) -> str:
    """The flag prefix of a config within another one."""
    if isinstance(part, Stage):
        return ".".join((*prefix.split(".")[:-1], part.kind))
    return f"{prefix}.{field}"


def _kinds(config: Any) -> dict[str, Mapping[str, type]]:
    """The classes that a nested config may have, by field and kind."""
    fields = dataclasses.fields(config)
    return {f.name: f.metadata["kinds"] for f in fields if f.init and "kinds" in f.metadata}


def _nested(prefix: str, config: Any) -> Iterator[tuple[str, Any]]:
    yield prefix, config
    for field, part in _inside(config).items():
        others = [kind() for kind in _kinds(config).get(field, {}).values()]
        for each in (part, *others):
            yield from _nested(_place(prefix, field, each), each)


def _every(sweep: Sweep, change: Callable[[Any, list[str]], Any]) -> Sweep:
    """A sweep with every config changed. `change` gets a config and the prefixes of its flags."""

    def changed(config: Any, name: str, arm: str) -> Any:
        names = dict.fromkeys((name.partition("@")[0], name))
        places = ("", f"{arm}.") if arm else ("",)
        return change(config, [f"{place}{name}" for name in names for place in places])

    return sweep.map(changed)


def define_sweep(values: Flags, sweep: Sweep) -> None:
    """Defines a flag for every field of a sweep."""
    values.define("seeds", int, sweep.seeds, "how many seeds", (1, 10_000))
    values.define("first_seed", int, sweep.first_seed, "the first of them", (0, 2**32 - 10_000))
    if sweep.corpus:
        values.define("corpus", str, sweep.corpus, "a corpus, by file or by name in corpora/")

    def define(config: Any, prefixes: list[str]) -> Any:
        for place, each in (pair for prefix in prefixes for pair in _nested(prefix, config)):
            for field, kind in _fields(each):
                if (name := f"{place}.{field.name}") not in values:
                    default, told = getattr(each, field.name), field.metadata
                    low = told.get("low")
                    bounds = (low, told.get("high")) if low is not None else (None, None)
                    values.define(name, kind, default, told.get("help", ""), bounds)
            for within, kinds in _kinds(each).items():
                if (name := f"{place}.{within}") not in values:
                    values.define(name, str, getattr(each, within).kind, " or ".join(kinds))
        return config

    _every(sweep, define)


def apply(sweep: Sweep, given: Mapping[str, Any]) -> Sweep:
    """The sweep with the given flags applied. Raises `UsageError` for an invalid value."""
    top = {name: given[name] for name in ("seeds", "first_seed", "corpus") if name in given}
    try:
        changed = _every(sweep, lambda config, prefixes: _given(given, config, prefixes))
        arms = {name: _without_empty(arm) for name, arm in changed.arms.items()}
        return dataclasses.replace(changed, arms=arms, **top)
    except ValueError as error:
        raise UsageError(f"--{error}") from None


def _without_empty(arm: Arm) -> Arm:
    """The arm without stages of 0 steps; if none is left, pretraining is read at its end."""
    stages = tuple(stage for stage in arm.stages if stage.steps > 0)
    if stages == arm.stages:
        return arm
    return dataclasses.replace(arm, stages=stages, read_at=arm.read_at if stages else ())


def _given(given: Mapping[str, Any], config: Any, prefixes: Sequence[str]) -> Any:
    changes: dict[str, Any] = {}
    for within, part in _inside(config).items():
        kinds = _kinds(config).get(within, {})
        for name in (f"{prefix}.{within}" for prefix in prefixes):
            if name in given and given[name] not in kinds:
                raise ValueError(f"{name}: {unknown(given[name], kinds)}")
            part = kinds[given[name]]() if name in given else part
        places = [_place(prefix, within, part) for prefix in prefixes]
        changes[within] = _given(given, part, places)
    for field, _ in _fields(config):
        for name in (f"{prefix}.{field.name}" for prefix in prefixes):
            if name in given:
                changes[field.name] = given[name]
    return dataclasses.replace(config, **changes)
