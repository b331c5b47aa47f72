"""Imports point one way."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A module may import from its own layer and from those before it.
LAYERS = (
    ("toylab.corpus",),
    ("toylab.notes",),
    ("toylab.casts",),
    ("toylab.grammar",),
    ("toylab.world",),
    ("toylab.bayes", "toylab.identifiability"),
    ("toylab.model",),
    ("toylab.sampling",),
    ("toylab.stages",),
    ("toylab.measures",),
    ("toylab.claims", "toylab.figures"),
    ("toylab.lab",),
    ("toylab.shell", "toylab.__main__"),
    ("experiments",),
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


def upward(file: Path) -> set[str]:
    """What a file imports from a layer above its own."""
    own = layer(".".join(file.relative_to(ROOT).with_suffix("").parts))
    if own is None:
        return set()
    return {name for name in imported(file) if (layer(name) or 0) > own}


FILES = sorted([*(ROOT / "toylab").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file: Path) -> None:
    assert upward(file) == set()


def test_every_module_of_toylab_has_a_layer() -> None:
    modules = {".".join(f.relative_to(ROOT).with_suffix("").parts) for f in FILES}
    homeless = {m for m in modules if layer(m) is None} - {"toylab.__init__"}
    assert homeless == set()


def test_an_upward_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toylab").mkdir()
    file = tmp_path / "toylab" / "bayes.py"
    file.write_text("from toylab.measures import ladder\n")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert upward(file) == {"toylab.measures", "toylab.measures.ladder"}
