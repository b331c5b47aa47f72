"""toylab measures how far post-training selects a persona, and how far it forms new behaviour.

    import toylab as tl

`load` a corpus and `train` a run on it, or `open_run` a run that is on disk. `Run` measures it. To
write an experiment of your own, use `Sweep` and `Arm`.
"""

import importlib.metadata
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toylab.lab.sweep import Arm as Arm
    from toylab.lab.sweep import Sweep as Sweep
    from toylab.ladder.reading import Ladder as Ladder
    from toylab.ladder.reading import LadderFit as LadderFit
    from toylab.library import Run as Run
    from toylab.library import open_run as open_run
    from toylab.library import train as train
    from toylab.policy.transformer import ModelConfig as ModelConfig
    from toylab.stages import Dpo as Dpo
    from toylab.stages import FollowsCue as FollowsCue
    from toylab.stages import Persona as Persona
    from toylab.stages import Pretrain as Pretrain
    from toylab.stages import Rl as Rl
    from toylab.stages import Says as Says
    from toylab.stages import Sft as Sft
    from toylab.world.derive import load as load

__version__ = "0.1.0"

# jax reads XLA_FLAGS and PJRT_NPROC once, when it creates its backend; `lab.paths.versions` records
# them. CPU: one thread, so that results don't depend on the number of cores. The flags in `_CPU`
# save a third of the time to compile; programs run as fast. GPU: no autotuning, so that results
# don't depend on the kernels that it picks. A pretraining step compiles in 12 s instead of 54, but
# takes 1.5 times as long. Beside a GPU, the CPU has eight threads, which only compile.
_CPU = {"0.10.": "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"}
_GPU = dict.fromkeys(("0.10.", "0.11."), "--xla_gpu_autotune_level=0")


def gpu_there() -> bool:
    """Whether the driver of an NVIDIA GPU is there, also in a container or under WSL."""
    return any(map(os.path.exists, ("/dev/nvidiactl", "/dev/dxg")))


def _plugin() -> bool:
    """Whether jax's plugin for NVIDIA GPUs is installed."""
    return any(map(importlib.util.find_spec, ("jax_cuda12_plugin", "jax_cuda13_plugin")))


if not getattr(sys.modules.get("jax._src.xla_bridge"), "backends_are_initialized", bool)():
    if _plugin() and not gpu_there():  # jax would look for a GPU and print a traceback
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    # Guesses what jax will compute on, without importing it.
    _gpu = _plugin() and os.environ.get("JAX_PLATFORMS", "cuda")[:4] in ("cuda", "gpu")
    os.environ.setdefault("PJRT_NPROC", "8" if _gpu else "1")
    # Only for versions known to have the flags: XLA aborts on a flag that it doesn't know.
    _flags = _GPU if _gpu else _CPU
    if (_known := importlib.metadata.version("jaxlib")[:5]) in _flags:
        os.environ.setdefault("XLA_FLAGS", _flags[_known])

_HOMES = {
    "toylab.world.derive": ("load",),
    "toylab.library": ("train", "open_run", "Run"),
    "toylab.stages": ("Pretrain", "Sft", "Rl", "Dpo", "Persona", "Says", "FollowsCue"),
    "toylab.policy.transformer": ("ModelConfig",),
    "toylab.ladder.reading": ("Ladder", "LadderFit"),
    "toylab.lab.sweep": ("Arm", "Sweep"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    """Imports a name's module at first use, so that `--help` stays fast."""
    if name not in _HOME:
        raise AttributeError(f"module 'toylab' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
