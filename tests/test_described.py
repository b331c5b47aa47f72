"""`--help`, typos and `list` need no jax, and never use an outdated description."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from toylab.lab import experiments
from toylab.shell import described, own
from toylab.stages import REWARDED

ROOT = Path(__file__).parent.parent
SLOW = {"jax", "flax", "optax", "jaxtyping", "pandas", "matplotlib", "scipy", "tensorboard"}
SAYS = """
import sys
from toylab.shell import cli
code = cli.main(sys.argv[1:])
print(code, *sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""
EACH = """
import contextlib, io, json, sys
from toylab.shell import cli
told = []
for line in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = cli.main(line.split())
    told.append((line, code, [name.split(".")[0] for name in sys.modules]))
print(json.dumps(told))
print(0, file=sys.stderr)
"""
LINES = """
--help
--version
list
selectoin
selection --help
selection -h
selection --quick --help
selection --sed=5
selection --seeds=x
selection --seeds=0
selection --sft.batch=0
run-experiment
new --help
new selection
corpus --help
corpus chekc village
corpus check vilage
bench --help
tensorboard --help
tensorboard no-such-experiment
bench stpes
report --help
report --out
all --help
run --help
run --corpus=vilage --stages=pretrain,sft:mira
run --corpus=village --stages=pretrian,sft:mira
run --corpus=village --stages=pretrain,stf:mira
run --corpus=village --stages=pretrain,sft:mirra
run --stages=pretrain,rl:mirra --corpus village
run --corpus=village --stages=pretrain,sft:mira --sft.stpes=5
runs
completion --help
chat --help
compare --help
compare no-such-run another
chat no-such-run
sample --n=0 no-such-run
measure --help
measure --tga=x
measure no-such-run
"""


def says(*arguments: str, code: str = SAYS) -> tuple[str, int, set[str]]:
    """What a fresh process prints for a command line, its exit code, and what it imported."""
    environment = {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # launch.sh does so, too
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    ended, *imported = done.stderr.splitlines()[-1].split()
    return done.stdout, int(ended), set(imported)


@pytest.fixture(scope="module")
def known() -> None:
    """Describes every experiment; otherwise the flags would have to be looked up first."""
    assert says("list")[1] == says("measure", "--help")[1] == 0


@pytest.mark.usefixtures("known")
def test_help_and_typing_errors_import_nothing_slow() -> None:
    """All lines run in one process, so imports stay."""
    lines = LINES.strip().splitlines()
    told = json.loads(says(*lines, code=EACH)[0].splitlines()[-1])
    fine = {"--help", "--version", "-h", "list", "runs", "run-experiment"}
    wanted = [[line, 0 if fine & {*line.split()} else 2, []] for line in lines]
    assert [[line, code, sorted(SLOW & {*imported})] for line, code, imported in told] == wanted


def test_a_line_of_stages_may_name_every_kind_that_there_is() -> None:
    assert {*own.KINDS} == {"sft", *REWARDED}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "selection"
    shutil.copytree(experiments.HOME / "selection", copy, ignore=lambda *_: ["__pycache__"])
    (copy / "__init__.py").unlink()
    (copy / "stage.py").write_text(
        "import dataclasses\n"
        "from toylab.stages import Sft\n"
        "from toylab.stages.traced import number\n"
        "@dataclasses.dataclass(frozen=True, kw_only=True)\n"
        "class Mine(Sft):\n"
        "    warmth: float = number(1.0, help='how WARM')\n"
    )
    sweep = (copy / "sweep.py").read_text()
    sweep = sweep.replace("LadderFit, Sft, Sweep", "LadderFit, Sweep\nfrom stage import Mine")
    (copy / "sweep.py").write_text(sweep.replace("Sft(", "Mine("))
    return copy


def test_help_follows_every_source_of_a_flag(folder: Path) -> None:
    assert "how WARM (default 1.0)" in says(str(folder), "--help-all")[0]
    shown, _, imported = says(str(folder), "--help-all")
    assert "how WARM (default 1.0)" in shown
    assert "jax" not in imported
    (kept,) = (folder / "__pycache__").glob("sweep.*.json")
    rooms = [str(ROOT / "toylab" / each) for each in ("lab", "stages", "policy", "world")]
    assert {str(folder), *rooms} <= json.loads(kept.read_text())[0].keys()
    stage = folder / "stage.py"
    stage.write_text(stage.read_text().replace("WARM", "COLD"))  # of the same length
    assert "how COLD (default 1.0)" in says(str(folder), "--help-all")[0]


def test_a_new_source_beside_the_others_counts(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    before = described._digest(str(tmp_path))
    described._digest.cache_clear()
    (tmp_path / "b.py").write_text("")
    assert described._digest(str(tmp_path)) != before


def test_sources_changed_meanwhile_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, kept = tmp_path / "sweep.py", tmp_path / "__pycache__" / "sweep.json"
    source.write_text("")
    monkeypatch.setattr(described, "_modules", lambda: {str(source)})
    found = described.Description("?", False, (("", {}), ("", {})))
    described._keep(kept, found)  # this process began before the source was written
    assert not kept.exists()
    monkeypatch.setattr(described, "_BEGAN", source.stat().st_ctime + 1)
    described._keep(kept, found)
    assert kept.exists()
