"""If the machine lacks or forbids something, one line names it and the fix."""

import errno
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

import toylab
from toylab.lab import execute, machine
from toylab.lab.paths import Recipe
from toylab.lab.store import Run, StoreError
from toylab.stages import Pretrain, Setup


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_one_line_with_the_folder_and_the_fix(
    code: int, setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    run = Run(tmp_path, Recipe(setup, 0, (Pretrain(),)))
    with pytest.raises(StoreError, match="--runs=FOLDER") as told, run.locked():
        pass
    assert str(run.folder) in str(told.value)
    assert "\n" not in str(told.value)


def test_a_read_only_cache_of_compiled_code_is_used_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("dir", "min_compile_time_secs", "enable_xla_caches")
    full = [f"jax_{'persistent' if n != 'dir' else 'compilation'}_cache_{n}" for n in names]
    before = {name: getattr(jax.config, name) for name in full}
    writable = os.access
    monkeypatch.setattr(
        os, "access", lambda place, how: Path(place) != tmp_path and writable(place, how)
    )
    try:
        jax.config.update("jax_compilation_cache_dir", str(tmp_path))
        compilation_cache.reset_cache()
        execute.keep_compiled(tmp_path / "elsewhere")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            jax.jit(lambda x: x * 3 + 1)(jnp.ones(7))
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
    assert not list(tmp_path.iterdir())


def test_who_stops_it_during_imports_gets_no_traceback() -> None:
    planted = (
        "import os, signal, sys",
        "signal.signal(signal.SIGINT, signal.default_int_handler)",  # as where none is ignored
        "class Stop:",
        "    def find_spec(self, name, *rest):",
        "        if name == 'toylab.shell.cli':",
        "            os.kill(os.getpid(), signal.SIGINT)",
        "sys.meta_path.insert(0, Stop())",
        "import runpy",
        "runpy.run_module('toylab', run_name='__main__', alter_sys=True)",
    )
    line = [sys.executable, "-c", "\n".join(planted), "--help"]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_a_device_that_is_not_there_is_one_line_and_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "toylab", "selection", "--plan", f"--runs={tmp_path}"],
        env=os.environ | {"JAX_PLATFORMS": "cuda"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("toylab: JAX_PLATFORMS=cuda: jax finds no such device; unset it")
    assert done.stderr.count("\n") == 1


def test_a_gpu_that_jax_does_not_use_is_one_line_with_the_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(machine, "gpu_there", lambda: False)
    assert machine.gpu_unused() == ""
    monkeypatch.setattr(machine, "gpu_there", lambda: True)
    assert "./launch.sh --gpu" in machine.gpu_unused()
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert machine.gpu_unused() == ""


def test_what_is_for_a_gpu_leaves_jax_on_the_cpu_where_there_is_no_gpu(tmp_path: Path) -> None:
    (tmp_path / "jax_cuda12_plugin.py").touch()
    code = "import os, toylab; print(os.environ.get('JAX_PLATFORMS'), os.environ['PJRT_NPROC'])"
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent)])
    kept = {k: v for k, v in os.environ.items() if k not in ("JAX_PLATFORMS", "PJRT_NPROC")}
    env = kept | {"PYTHONPATH": paths}
    done = subprocess.check_output([sys.executable, "-c", code], env=env, text=True)
    assert done.split() == (["None", "8"] if toylab.gpu_there() else ["cpu", "1"])


def test_both_locks_are_of_one_version_of_jax() -> None:
    root = Path(__file__).parent.parent
    found = {
        line.split()[0].partition("==")[::2]
        for lock in ("requirements.lock", "requirements-gpu.lock")
        for line in (root / lock).read_text().splitlines()
        if line.startswith("jax") and "==" in line
    }
    versions = dict(found)
    assert versions["jax"] == versions["jaxlib"] == versions["jax-cuda12-plugin"]
