"""toylab: persona selection against new-goal formation, measured.

    import toylab as tl

`load` a corpus and `train` a run on it, or `open_run` one that an experiment has trained; then ask
it: see `toylab.library`. An experiment of your own is made of `Sweep` and `Arm`.
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

# jax reads these once, when it makes its backend; `lab.paths.versions` tells apart what was made
# without them. One thread for XLA, so that results don't depend on the number of cores. And less
# optimisation: programs compile in two thirds of the time and run as fast. On a GPU kernels aren't
# timed to choose among them: a step of pretraining compiles in 12 s and not in 54, takes half as
# long again, and doesn't depend on what was chosen. There XLA's threads only compile.
_CPU = {"0.10.": "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"}
_GPU = dict.fromkeys(("0.10.", "0.11."), "--xla_gpu_autotune_level=0")


def _gpu() -> bool:
    """Whether jax will use an NVIDIA GPU, as far as can be told without importing it."""
    asked = os.environ.get("JAX_PLATFORMS", "cuda")
    plugins = map(importlib.util.find_spec, ("jax_cuda12_plugin", "jax_cuda13_plugin"))
    return os.path.exists("/dev/nvidia0") and asked[:4] in ("cuda", "gpu") and any(plugins)


if not getattr(sys.modules.get("jax._src.xla_bridge"), "backends_are_initialized", bool)():
    os.environ.setdefault("PJRT_NPROC", "8" if _gpu() else "1")
    # Only where the flags are known: XLA ends the process at one that it doesn't know.
    _flags = _GPU if _gpu() else _CPU
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
    """Imports the module of a name when the name is first used, so that `--help` stays fast."""
    if name not in _HOME:
        raise AttributeError(f"module 'toylab' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
