"""A damaged compilation cache repairs itself: bad entries are removed and rewritten."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from toylab.lab import compiled

ROOT = Path(__file__).parent.parent
STEP = """
import sys, pathlib, jax
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
from toylab.lab.execute import keep_compiled
keep_compiled(pathlib.Path("unused"))
print(jax.jit(lambda x: x + 1)(1.0))
"""


def start(cache: Path) -> str:
    """The warnings of a fresh process."""
    command = [sys.executable, "-c", STEP, str(cache)]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stderr


def test_an_entry_cut_short_is_written_anew(tmp_path: Path) -> None:
    start(tmp_path)
    (entry, *_) = tmp_path.glob("*lambda*-cache")
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2])
    assert "Error reading" not in start(tmp_path)
    assert len(entry.read_bytes()) > len(whole) // 2


def test_what_is_sound_stays_and_is_looked_at_once(tmp_path: Path) -> None:
    start(tmp_path)
    sound = {each: each.read_bytes() for each in tmp_path.glob("*-cache")}
    compiled.mend(tmp_path)
    assert sound == {each: each.read_bytes() for each in tmp_path.glob("*-cache")}
    entry = next(iter(sound))
    entry.write_bytes(b"")
    os.utime(entry, ns=(0, 0))  # as old as if it had been checked
    compiled.mend(tmp_path)
    assert entry.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count no memory maps")
def test_compiled_code_is_forgotten_once_there_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    function = jax.jit(lambda x: x + 1)
    function(1.0)
    compiled.drop()
    assert function._cache_size() == 1
    monkeypatch.setattr(compiled, "MAPS", 0)
    compiled.drop()
    assert function._cache_size() == 0
