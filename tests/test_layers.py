"""Imports point one way, without circles."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A module may import from its own layer and from those before it.
LAYERS = (
    ("toylab.world",),
    ("toylab.policy",),
    ("toylab.stages",),
    ("toylab.ladder",),
    ("toylab.measures",),
    ("toylab.lab",),
    ("toylab.report",),
    ("toylab.library",),
    ("experiments",),
    ("toylab.shell", "toylab.__main__"),
)


def layer(module: str) -> int | None:
    for height, names in enumerate(LAYERS):
        if any(module == name or module.startswith(name + ".") for name in names):
            return height
    return None


def imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("toylab", "experiments")}


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def upward(file: Path) -> set[str]:
    """What a file imports from a layer above its own."""
    own = layer(name_of(file))
    if own is None:
        return set()
    return {name for name in imported(file) if (layer(name) or 0) > own}


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """Names that import each other, directly or through others; none if there are none."""
    left = dict(arrows)
    while free := [name for name, to in left.items() if not to & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


FILES = sorted([*(ROOT / "toylab").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])
MODULES = {name_of(file): file for file in FILES}


def arrows() -> dict[str, set[str]]:
    return {name: (imported(file) & MODULES.keys()) - {name} for name, file in MODULES.items()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file: Path) -> None:
    assert upward(file) == set()


def test_every_module_of_toylab_has_a_layer() -> None:
    assert {module for module in MODULES if layer(module) is None} == {"toylab"}


def test_no_module_imports_itself_through_others() -> None:
    inside = {name: to for name, to in arrows().items() if name != "toylab"}
    packages = {name for name, file in MODULES.items() if file.name == "__init__.py"}
    assert circle({name: to - packages for name, to in inside.items()}) == []


def test_a_circle_is_seen() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["a", "b", "c", "d"]
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_measures_hardly_know_each_other() -> None:
    inside = {name: to for name, to in arrows().items() if name.startswith("toylab.measures.")}
    count = sum(target in inside for to in inside.values() for target in to)
    assert count <= 30


def test_an_upward_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toylab" / "world").mkdir(parents=True)
    file = tmp_path / "toylab" / "world" / "bayes.py"
    file.write_text("from toylab.ladder import mixtures\n")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert upward(file) == {"toylab.ladder", "toylab.ladder.mixtures"}
