"""The interface of a model: a `Network`, and a `Model` that makes it.

Axes: B documents, L tokens, V words, W width.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

from jaxtyping import Array, Float, Int

Params = dict[str, Array]
Site = tuple[str, int]  # a kind of activation, and its layer
Tap = Callable[[Site, Array], Array]


class Network(Protocol):
    """A causal model as functions of its parameters. Hashable, and compared by value."""

    @property
    def tables(self) -> Sequence[str]:
        """Names of the embeddings and the unembedding, which Muon leaves to Adam."""

    @property
    def sites(self) -> Sequence[Site]:
        """Where the residual stream [B, L, W] can be tapped, in the order of computation."""

    def init(self, key: Array) -> Params:
        """Random parameters."""

    def cache(self, batch: int, size: int) -> Any:
        """An empty cache for `batch` documents and `size` tokens of each, a pytree."""

    def apply(
        self,
        params: Params,
        tokens: Int[Array, "B l"],
        cache: Any = None,
        tap: Tap | None = None,
    ) -> tuple[Float[Array, "B l V"], Any]:
        """Next-token logits; and, with a cache, the cache with these tokens added.

        With a cache, the tokens follow those in it, and -1 is no token. The logits [B, 1, V] are
        then those after the last of these tokens in each document. If it has none here, they
        mean nothing.
        A `tap` gets the site and value of each activation that the network exposes, at least those
        at `sites`. What it returns replaces the activation.
        """


class Model(Protocol):
    """A model's config, a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def network(self, vocabulary: int, length: int) -> Network:
        """The network of this size."""
