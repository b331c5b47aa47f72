"""Recipes: the stages that a run trains one after the other, from random parameters.

A digest identifies each prefix of a recipe, so experiments can share its model.
"""

import dataclasses
import functools
import hashlib
import json
import os
import pkgutil
import re
from collections.abc import Iterator, Mapping
from typing import Any

import flax
import jax
import jaxlib
import optax

from toylab.lab import digest
from toylab.policy import attention
from toylab.policy.network import Model
from toylab.stages import Setup, Stage, Target
from toylab.stages.traced import Traced
from toylab.world.schema import SEEDS, Corpus, brief

SETTINGS = {  # jax settings that can change results, and their defaults
    "jax_default_matmul_precision": "None",
    "jax_default_prng_impl": "threefry2x32",
    "jax_disable_jit": "False",
    "jax_disable_most_optimizations": "False",
    "jax_enable_x64": "False",
    "jax_random_seed_offset": "0",
    "jax_threefry_gpu_kernel_lowering": "False",
    "jax_threefry_partitionable": "True",
}


def versions(setup: Setup, stages: tuple[Stage, ...]) -> dict[str, str]:
    """What a trained model depends on besides its config: libraries, platform and source.

    The number of XLA's threads changes how sums are rounded. Of `SETTINGS`, only those that differ
    from jax's defaults are included.
    """
    told = {name: str(jax.config.values[name]) for name in sorted(SETTINGS)}
    return {name: value for name, value in told.items() if value != SETTINGS[name]} | {
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "flax": flax.__version__,
        "optax": optax.__version__,
        "platform": jax.default_backend(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "threads": os.environ.get("PJRT_NPROC") or f"all {os.cpu_count()}",
        "attention": attention.kind(),
        "source": digest.digest(setup.model, *stages),
    }


def plain(config: Traced | Target) -> dict[str, Any]:
    """A stage or target, and the configs nested in it, as dicts for `config.json`."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {"kind": config.kind} | {
        name: plain(value) if isinstance(value, Traced | Target) else value
        for name, value in values.items()
    }


def model_config(model: Model) -> dict[str, Any]:
    """A model's config as in `config.json`."""
    kind = type(model)
    return {"class": f"{kind.__module__}:{kind.__qualname__}"} | dataclasses.asdict(model)


def model_of(config: Mapping[str, Any]) -> Model:
    """The inverse of `model_config`."""
    fields = {key: value for key, value in config.items() if key != "class"}
    return pkgutil.resolve_name(config["class"])(**fields)


_digest = functools.lru_cache(Corpus.digest)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A corpus and model size, a seed, and stages to train one after the other."""

    setup: Setup
    seed: int
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.seed < SEEDS:
            raise ValueError(f"seed: make {brief(self.seed)} a whole number from 0 to 2^32 - 1")
        for stage in self.stages:
            if stage.steps < 1:
                raise ValueError(f"{stage.kind}.steps: {stage.steps} must be at least 1")

    @property
    def stage(self) -> Stage:
        return self.stages[-1]

    @property
    def last(self) -> int:
        """The number of steps of the last stage."""
        return int(self.stage.steps)

    @property
    def first(self) -> "Recipe":
        """The recipe of the first stage alone, which is pretraining."""
        return dataclasses.replace(self, stages=self.stages[:1])

    @property
    def parent(self) -> "Recipe | None":
        """The recipe without its last stage; None if it has only one."""
        return dataclasses.replace(self, stages=self.stages[:-1]) if self.stages[1:] else None

    def prefixes(self) -> Iterator["Recipe"]:
        """The recipe's prefixes, shortest first; the last is the recipe itself."""
        for length in range(1, len(self.stages) + 1):
            yield dataclasses.replace(self, stages=self.stages[:length])

    def config(self) -> dict[str, Any]:
        """Everything that decides what the run computes."""
        return {
            "corpus": {"title": self.setup.corpus.title, "digest": _digest(self.setup.corpus)},
            "model": model_config(self.setup.model),
            "seed": self.seed,
            "stages": [plain(stage) for stage in self.stages],
            "versions": versions(self.setup, self.stages),
        }

    def digest(self) -> str:
        """A hash of `config`, without the corpus's title."""
        config = self.config() | {"corpus": _digest(self.setup.corpus)}
        text = json.dumps(config, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @functools.cached_property
    def name(self) -> str:
        """The run's folder below the runs folder, named after corpus, stages, seed and digest."""
        kinds = slug("-".join(stage.label for stage in self.stages), 120)
        title = slug(self.setup.corpus.title, 60)
        return f"{title}/{kinds}-seed{self.seed}-{self.digest()[:8]}"


def slug(text: str, most: int) -> str:
    """A text as part of a file's name: ASCII without separators, at most `most` characters."""
    plain = re.sub(r"[^\w.+=']+", "-", text, flags=re.ASCII).strip("-.")
    return plain[:most].strip("-.") or "nameless"
