"""Flags: every field of a sweep's frozen dataclasses, by the name it has in `config.json`.

`--sft.steps=200` sets every Sft of the sweep, `--ARM.sft.steps=200` that of one arm. A stage within
a stage goes by its own kind, too; anything else within a stage by its field, `--rl.target.answers`.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, get_type_hints

from absl import flags

from toylab.lab.sweep import Sweep
from toylab.lab.usage import UsageError
from toylab.stages import Stage
from toylab.world.schema import unknown


def define(values: flags.FlagValues, name: str, kind: type, default: Any, help: str) -> None:
    """Defines one flag of the given type; its default is shown, and None until it is given."""
    text = f"{help} (default {default})" if help else f"default {default}"
    makers: dict[type, Any] = {
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        bool: flags.DEFINE_bool,
    }
    if kind in makers:
        makers[kind](name, None, text, flag_values=values)
    elif kind is str:
        flags.DEFINE_string(name, None, text, flag_values=values)
    else:
        flags.DEFINE_list(name, None, text, flag_values=values)


def parse(values: flags.FlagValues, arguments: Sequence[str]) -> list[str]:
    """Parses a command line; returns what is no flag. Raises `UsageError`."""
    try:
        return values(["toylab", *arguments])[1:]
    except flags.UnrecognizedFlagError as error:
        raise UsageError(f"--{error.flagname}: {unknown(error.flagname, list(values))}") from None
    except flags.Error as error:
        raise UsageError(str(error).replace("flag ", "").replace("\n", " ")) from None


def _fields(config: Any) -> Iterator[tuple[dataclasses.Field, type]]:
    hints = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        if field.init and field.name not in _inside(config):
            yield field, hints[field.name]


def _inside(config: Any) -> dict[str, Any]:
    """The configs within a config, by field."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {name: value for name, value in values.items() if dataclasses.is_dataclass(value)}


def _place(prefix: str, field: str, part: Any) -> str:
    """The prefix of a config within another one."""
    if isinstance(part, Stage):
        return ".".join((*prefix.split(".")[:-1], part.kind))
    return f"{prefix}.{field}"


def _nested(prefix: str, config: Any) -> Iterator[tuple[str, Any]]:
    yield prefix, config
    for field, part in _inside(config).items():
        yield from _nested(_place(prefix, field, part), part)


def _parts(sweep: Sweep) -> Iterator[tuple[str, Any]]:
    yield "model", sweep.model
    for measure in (sweep.reading, *sweep.watch):
        yield measure.name, measure
    yield "pretrain", sweep.pretrain
    for arm in sweep.arms.values():
        for stage in arm.stages:
            yield from _nested(stage.kind, stage)
        for measure in arm.watch:
            yield measure.name, measure
    for name, arm in sweep.arms.items():
        for stage in (*arm.stages, *([arm.pretrain] if arm.pretrain else [])):
            yield from _nested(f"{name}.{stage.kind}", stage)
        for measure in arm.watch:
            yield f"{name}.{measure.name}", measure


def define_sweep(values: flags.FlagValues, sweep: Sweep) -> None:
    """Defines a flag for every field of a sweep."""
    define(values, "seeds", int, sweep.seeds, "how many seeds")
    define(values, "first_seed", int, sweep.first_seed, "the first of them")
    if sweep.corpus:
        define(values, "corpus", str, sweep.corpus, "a corpus, by file or by name in corpora/")
    for prefix, config in _parts(sweep):
        for field, kind in _fields(config):
            name = f"{prefix}.{field.name}"
            if name not in values:
                default = getattr(config, field.name)
                define(values, name, kind, default, field.metadata.get("help", ""))


def apply(sweep: Sweep, values: flags.FlagValues) -> Sweep:
    """The sweep with the flags that were given. Raises `UsageError` for a value out of bounds."""
    try:
        arms = {
            name: dataclasses.replace(
                arm,
                stages=tuple(
                    _given(values, stage, (stage.kind, f"{name}.{stage.kind}"))
                    for stage in arm.stages
                ),
                pretrain=arm.pretrain
                and _given(values, arm.pretrain, ("pretrain", f"{name}.pretrain")),
                watch=tuple(
                    _given(values, measure, (measure.name, f"{name}.{measure.name}"))
                    for measure in arm.watch
                ),
            )
            for name, arm in sweep.arms.items()
        }
        top: dict[str, Any] = {
            name: values[name].value
            for name in ("seeds", "first_seed", "corpus")
            if name in values and values[name].value is not None
        }
        return dataclasses.replace(
            sweep,
            arms=arms,
            model=_given(values, sweep.model, ("model",)),
            reading=_given(values, sweep.reading, ("reading",)),
            pretrain=_given(values, sweep.pretrain, ("pretrain",)),
            watch=tuple(_given(values, measure, (measure.name,)) for measure in sweep.watch),
            **top,
        )
    except ValueError as error:
        raise UsageError(f"--{error}") from None


def _given(values: flags.FlagValues, config: Any, prefixes: Sequence[str]) -> Any:
    changes: dict[str, Any] = {
        field: _given(values, part, [_place(prefix, field, part) for prefix in prefixes])
        for field, part in _inside(config).items()
    }
    for field, _ in _fields(config):
        for prefix in prefixes:
            value = values[f"{prefix}.{field.name}"].value
            if value is not None:
                changes[field.name] = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(config, **changes)
