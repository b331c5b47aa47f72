"""Hashes the source that a result on disk depends on.

That is the module of the result's config, and every module that it imports, even indirectly.
Imports are parsed, not run. A name imported from a package counts as an import of the module that
defines it. So a stage doesn't depend on the other stages in `toylab.stages`.
"""

import ast
import dataclasses
import functools
import hashlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path as File
from typing import Any

from toylab.world.derive import SHIPPED

PACKAGE = File(__file__).parent.parent.parent
INSTALLED = PACKAGE.name in ("site-packages", "dist-packages")


def _file(roots: tuple[File, ...], module: str) -> File | None:
    for root in roots:
        if INSTALLED and root == PACKAGE and module.split(".")[0] != "toylab":
            continue  # another package in site-packages
        place = root.joinpath(*module.split("."))
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None


@functools.cache
def _source(file: File) -> tuple[bytes, list[ast.Import | ast.ImportFrom]]:
    """A file's code without docstrings and comments, which change no result, and its imports."""
    tree, imports = ast.parse(file.read_bytes()), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = node.body[ast.get_docstring(node, clean=False) is not None :]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
    return ast.dump(tree).encode(), imports


def _home(roots: tuple[File, ...], module: str, name: str) -> str:
    """The module that defines what `from module import name` imports."""
    if _file(roots, f"{module}.{name}"):
        return f"{module}.{name}"
    file = _file(roots, module)
    if file and file.name == "__init__.py":
        for asked, given, bound in _bindings(file, module):
            if bound == name and given:
                return _home(roots, asked, given)
    return module


def _bindings(file: File, module: str) -> Iterator[tuple[str, str, str]]:
    """(module, name in it or "", name bound here) of every import in a file."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in _source(file)[1]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", alias.asname or alias.name) for alias in node.names)
        else:
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            asked = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            yield from ((asked, alias.name, alias.asname or alias.name) for alias in node.names)


def reached(modules: Iterable[str], roots: tuple[File, ...]) -> dict[str, File]:
    """These modules, and those that they import, directly or not, if they are below a root."""
    found: dict[str, File] = {}
    left = list(modules)
    while left:
        module = left.pop()
        file = _file(roots, module)
        if file is None or module in found:
            continue
        found[module] = file
        left += [
            _home(roots, asked, given) if given else asked
            for asked, given, _ in _bindings(file, module)
        ]
    return found


@functools.cache
def digest_of(modules: frozenset[str], roots: tuple[File, ...] = (PACKAGE, SHIPPED)) -> str:
    """A hash of the source that these modules can reach."""
    hashed = hashlib.sha256()
    for module, file in sorted(reached(modules, roots).items()):
        hashed.update(module.encode() + _source(file)[0])
    return hashed.hexdigest()[:16]


def _classes(config: Any) -> Iterator[type]:
    yield type(config)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        for each in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(each):
                yield from _classes(each)


def digest(*configs: Any) -> str:
    """A hash of the source that the results of these configs depend on."""
    modules = {each.__module__ for config in configs for each in _classes(config)}
    roots = {PACKAGE, SHIPPED}
    for module in modules:
        file = getattr(sys.modules[module], "__file__", None)
        if file:
            roots.add(File(file).parents[module.count(".") + (File(file).name == "__init__.py")])
    return digest_of(frozenset(modules), tuple(sorted(roots)))
