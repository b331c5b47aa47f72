"""What a measure is: a frozen config that looks at one snapshot and says numbers."""

import abc
import dataclasses
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Self

import jax
from jaxtyping import Array, Float

from toylab.grammar import tag_names
from toylab.measures.policy import ModelPolicy
from toylab.stages import Lab
from toylab.world import Cast


@dataclasses.dataclass(frozen=True)
class Base:
    """What a pretrained snapshot fixes for all readings after it.

    `casts` are the exact and the learned cast, each with its own nuisances (temperature, slip)
    fitted once and frozen. `log_prior` is w0 of the tag that they were fitted under.
    """

    casts: Mapping[str, Cast]
    nuisances: Mapping[str, tuple[float, float]]
    log_prior: Float[Array, " K"]


@dataclasses.dataclass(frozen=True)
class View:
    """What a measure is shown: a snapshot's policy, and the pretrained one its path began with."""

    lab: Lab
    base: Base
    policy: ModelPolicy
    pretrained: ModelPolicy

    def tag(self, name: str) -> int:
        """The index of a tag."""
        return tag_names(self.lab.corpus).index(name)


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

    @property
    def modules(self) -> tuple[ModuleType, ...]:
        """The source on which its results depend, besides what all measures share."""
        return (sys.modules[type(self).__module__],)

    def smaller(self) -> Self:
        """The same measure with less of everything, for `--quick`."""
        return self

    def check(self, lab: Lab) -> None:  # noqa: B027 - most measures name nothing
        """Raises `ValueError` if the measure names something that the corpus lacks."""

    @abc.abstractmethod
    def __call__(self, view: View, key: jax.Array) -> dict[str, Any]:
        """Looks at a snapshot."""

    def scalars(self, lab: Lab, found: Mapping[str, Any]) -> dict[str, float]:
        """What TensorBoard shows of a result."""
        return {f"{self.name}/{k}": v for k, v in found.items() if isinstance(v, float)}
