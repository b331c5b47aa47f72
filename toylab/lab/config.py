"""A flag for each field of a sweep's configs, named as in `config.json`.

`--sft.steps=200` sets the field of every Sft in the sweep, `--ARM.sft.steps=200` that of one arm,
`--sft@2.steps=200` that of the second Sft of an arm. A stage of 0 steps is left out. The flags of a
nested config contain the name of the field that holds it: `--rl.target.answers`. A stage within a
stage has the flags that it would have alone.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_type_hints

from toylab.lab.flags import Flags, UsageError
from toylab.lab.sweep import Arm, Sweep
from toylab.stages import Stage
from toylab.world.schema import unknown


def _parts(config: Any) -> dict[str, tuple[Any, Mapping[str, type]]]:
    """The configs nested in a config, by field, each with the classes it may have, by kind."""
    fields = [(field, getattr(config, field.name)) for field in dataclasses.fields(config)]
    return {
        field.name: (part, field.metadata.get("kinds", {}))
        for field, part in fields
        if field.init and dataclasses.is_dataclass(part)
    }


def _place(prefix: str, field: str, part: Any) -> str:
    """The prefix of a nested config's flags."""
    if isinstance(part, Stage):
        return ".".join((*prefix.split(".")[:-1], part.kind))
    return f"{prefix}.{field}"


def _nested(prefix: str, config: Any) -> Iterator[tuple[str, Any]]:
    """A config and all that may be nested in it, with the prefixes of their flags."""
    yield prefix, config
    for field, (part, kinds) in _parts(config).items():
        for each in (part, *(kind() for kind in kinds.values())):
            yield from _nested(_place(prefix, field, each), each)


def _every(sweep: Sweep, change: Callable[[Any, list[str]], Any]) -> Sweep:
    """The sweep with every config changed. `change` gets a config and the prefixes of its flags."""

    def changed(config: Any, name: str, arm: str) -> Any:
        names = dict.fromkeys((name.partition("@")[0], name))
        places = ("", f"{arm}.") if arm else ("",)
        return change(config, [f"{place}{name}" for name in names for place in places])

    return sweep.map(changed)


def define_sweep(values: Flags, sweep: Sweep) -> None:
    """Defines a flag for every field of a sweep."""
    values.define("seeds", int, sweep.seeds, "number of seeds", (1, 10_000))
    values.define("first_seed", int, sweep.first_seed, "the first seed", (0, 2**32 - 10_000))
    if sweep.corpus:
        values.define("corpus", str, sweep.corpus, "a file, or a name in corpora/")

    def define(config: Any, prefixes: list[str]) -> Any:
        for place, each in (pair for prefix in prefixes for pair in _nested(prefix, config)):
            parts, hints = _parts(each), get_type_hints(type(each))
            for field in filter(lambda field: field.init, dataclasses.fields(each)):
                name, told = f"{place}.{field.name}", field.metadata
                part, kinds = parts.get(field.name, (None, {}))
                if name in values or (part and not kinds):
                    continue
                if part:
                    values.define(name, str, part.kind, " or ".join(kinds))
                    continue
                low, default = told.get("low"), getattr(each, field.name)
                within = (None, None) if low is None else (low, told.get("high"))
                values.define(name, hints[field.name], default, told.get("help", ""), within)
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
    """The arm without stages of 0 steps. If none is left, the end of pretraining is read."""
    stages = tuple(stage for stage in arm.stages if stage.steps > 0)
    if stages == arm.stages:
        return arm
    return dataclasses.replace(arm, stages=stages, read_at=arm.read_at if stages else ())


def _given(given: Mapping[str, Any], config: Any, prefixes: Sequence[str]) -> Any:
    """A config with the flags under these prefixes applied; later prefixes win."""
    changes, parts = dict[str, Any](), _parts(config)
    for field in filter(lambda field: field.init, dataclasses.fields(config)):
        part, kinds = parts.get(field.name, (None, {}))
        for name in (f"{prefix}.{field.name}" for prefix in prefixes):
            if name not in given:
                continue
            if field.name not in parts:
                changes[field.name] = given[name]
            elif given[name] in kinds:
                part = kinds[given[name]]()
            else:
                raise ValueError(f"{name}: {unknown(given[name], kinds)}")
        if field.name in parts:
            places = [_place(prefix, field.name, part) for prefix in prefixes]
            changes[field.name] = _given(given, part, places)
    return dataclasses.replace(config, **changes)
