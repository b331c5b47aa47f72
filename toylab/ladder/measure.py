"""What a measure is: a frozen config that looks at one snapshot and says numbers."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import jax
from jaxtyping import Array, Float

from toylab.policy.policy import ModelPolicy
from toylab.stages.base import MEASURE, Setup
from toylab.world.grammar import tag_names
from toylab.world.tables import Cast


@dataclasses.dataclass(frozen=True)
class Reference:
    """What a pretrained snapshot fixes for all readings after it.

    `casts` are the exact and the learned cast, each with its own nuisances (temperature, slip)
    fitted once and frozen. `log_prior` is w0 of the tag that they were fitted under.
    """

    casts: Mapping[str, Cast]
    nuisances: Mapping[str, tuple[float, float]]
    log_prior: Float[Array, " K"]


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What a measure is shown: a snapshot's policy, and the pretrained one its path began with."""

    setup: Setup
    base: Reference
    policy: ModelPolicy
    pretrained: ModelPolicy

    def tag(self, name: str) -> int:
        """The index of a tag."""
        return tag_names(self.setup.corpus).index(name)


def measure_key(seed: int, step: int) -> jax.Array:
    """The key of the readings at a step. Shared by all arms, so that their noise is, too."""
    key = jax.random.fold_in(jax.random.key(seed), MEASURE)
    return jax.random.fold_in(key, step + 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure(abc.ABC):
    """Settings and algorithm at once. Its results are plain numbers and lists, as JSON has them.

    A record has them under `name`; TensorBoard has `scalars` of them.
    """

    @property
    def name(self) -> str:
        return type(self).__name__.lower()

    @property
    def at_end(self) -> bool:
        """Whether only the end of a run is measured, because it takes long."""
        return False

    @property
    def cost(self) -> int:
        """About what it takes, in training steps of the default batch: for the progress bar."""
        return 30

    def smaller(self) -> Self:
        """The same measure with less of everything, for `--quick`."""
        return self

    def check(self, setup: Setup) -> None:  # noqa: B027 - most measures name nothing
        """Raises `ValueError` if the measure names something that the corpus lacks."""

    @abc.abstractmethod
    def __call__(self, snapshot: Snapshot, key: jax.Array) -> dict[str, Any]:
        """Looks at a snapshot."""

    def scalars(self, setup: Setup, found: Mapping[str, Any]) -> dict[str, float]:
        """What TensorBoard shows of a result."""
        return {f"{self.name}/{k}": v for k, v in found.items() if isinstance(v, float)}
