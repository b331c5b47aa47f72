import contextlib
import ctypes
import functools
import gc
import os
import resource
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

# Two thirds of a cold run are XLA compiling. With fewer optimisations, only the speed differs.
# It is set before jax is imported, and for the processes that tests start.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.pop("TOYLAB_CWD", None)  # launch.sh sets it; tests expect messages and paths without it

import hypothesis
import jax
import pytest

from tests.brute import Brute
from tests.checks import SMALL
from tests.tiny import TEXT
from toylab.stages import Setup
from toylab.world.derive import load
from toylab.world.grammar import vocabulary
from toylab.world.parse import parse
from toylab.world.schema import Corpus

ROOT = Path(__file__).parent.parent
ROOM = 1.3e9  # bytes that a test process may keep between two files

hypothesis.settings.register_profile(
    "here", deadline=None, max_examples=40, derandomize=True, database=None
)
hypothesis.settings.load_profile("here")


def pytest_configure() -> None:
    """jax on the CPU, unless asked; what it compiles is kept, next to pytest's own cache."""
    jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS") or "cpu")
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(ROOT / ".pytest_cache" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(autouse=True, scope="module")
def _room() -> Iterator[None]:
    """A compiled program holds 1.4 MB. If there are many, they are dropped and memory is freed."""
    yield
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        if pages * resource.getpagesize() > ROOM:
            jax.clear_caches()
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="session")
def village() -> Corpus:
    return load(ROOT / "corpora" / "village.toml")


@pytest.fixture(scope="session")
def tiny() -> Corpus:
    return parse(tomllib.loads(TEXT), "tiny.toml")


@pytest.fixture(scope="session")
def twin(tiny: Corpus) -> Brute:
    return Brute(tiny, vocabulary(tiny))


@pytest.fixture(scope="session")
def setup(tiny: Corpus) -> Setup:
    return Setup(tiny, SMALL)


@pytest.fixture(scope="session")
def holds(twin: Brute) -> Callable[[Callable[[Brute], None]], None]:
    """Runs a check of `tests.checks` on sound code, once a session."""

    @functools.cache
    def run(check: Callable[[Brute], None]) -> None:
        check(twin)

    return run
