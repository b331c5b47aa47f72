"""What a measure is: a frozen config that turns one snapshot into numbers."""

import abc
import dataclasses
import fnmatch
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

import jax
import numpy as np
from jaxtyping import Array, Float

from toylab.policy.policy import ModelPolicy
from toylab.stages.base import MEASURE, Setup
from toylab.stages.traced import check_ranges
from toylab.world import names
from toylab.world.grammar import tag_names
from toylab.world.tables import Cast


@dataclasses.dataclass(frozen=True)
class Reference:
    """What a pretrained snapshot fixes for all readings after it.

    `casts` are the exact and the learned cast, each blurred by its `nuisances`: a temperature and a
    slip rate, fitted under one tag. `log_prior` is w0 of that tag.
    """

    casts: Mapping[str, Cast]
    nuisances: Mapping[str, tuple[float, float]]
    log_prior: Float[Array, " K"]


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What a measure is given: a policy, and the pretrained one of the same run."""

    setup: Setup
    base: Reference
    policy: ModelPolicy
    pretrained: ModelPolicy

    def tag(self, name: str) -> int:
        return tag_names(self.setup.corpus).index(name)


def measure_key(seed: int, step: int) -> jax.Array:
    """The key of the readings at a step. All arms share it, so they share their noise."""
    key = jax.random.fold_in(jax.random.key(seed), MEASURE)
    return jax.random.fold_in(key, step + 1)


def sample(default: int, *, quick: int | None = None, low: int = 1, help: str = "") -> Any:
    """A field for a sample size of at least `low`; `--quick` caps it at `quick`."""
    metadata = {"quick": quick, "low": low, "help": help}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure(abc.ABC):
    """The settings and the code of a measure. Its result has plain numbers and lists, as in JSON.

    TensorBoard shows a number, or the mean of a list, if its path in the result matches a pattern
    in `charts`.
    """

    at_end: ClassVar[bool] = False  # measured only at the end of a run, because it is slow
    turns: ClassVar[int] = 1  # the fewest turns that a document must have
    charts: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_ranges(self, self.name)

    @property
    def name(self) -> str:
        """The name of the class, as `snake_case`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    def smaller(self) -> Self:
        """The same measure with smaller samples, for `--quick`."""
        quick = {field.name: field.metadata.get("quick") for field in dataclasses.fields(self)}
        less = {name: min(getattr(self, name), most) for name, most in quick.items() if most}
        return dataclasses.replace(self, **less)

    def check(self, setup: Setup) -> None:
        """Raises `ValueError` if the corpus lacks what the measure names or needs."""
        names.check(self, setup.corpus, self.name)
        if setup.corpus.turns < self.turns:
            raise ValueError(f"{self.name}: a document must have {self.turns} turns or more")

    @abc.abstractmethod
    def __call__(self, snapshot: Snapshot, key: jax.Array) -> dict[str, Any]:
        """The result for a snapshot."""

    def scalars(self, setup: Setup, found: Mapping[str, Any]) -> dict[str, float]:
        """What TensorBoard shows of a result."""
        return {
            f"{self.name}/{path}": value
            for path, value in _numbers(found)
            if any(fnmatch.fnmatch(path, pattern) for pattern in self.charts)
        }


def _numbers(found: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a result by their paths, and the means of its lists."""
    if isinstance(found, Mapping):
        for name, part in found.items():
            yield from _numbers(part, f"{path}/{name}".lstrip("/"))
    elif isinstance(found, list):
        yield path, float(np.mean(np.asarray(found, float)))
        for place, part in enumerate(found):
            yield from _numbers(part, f"{path}/{place}")
    elif isinstance(found, float):
        yield path, found
