"""What the rest of the project asks of a model. Another model is one class, and its config.

Axes: B documents, L tokens, V words, W width.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

from jaxtyping import Array, Float, Int

Params = dict[str, Array]
Site = tuple[str, int]  # a kind of activation, and the layer that it is of
Tap = Callable[[Site, Array], Array]


class Network(Protocol):
    """A causal model as functions of its parameters.

    Hashable and compared by value, since compiled functions take it as a static argument.
    """

    @property
    def vocabulary(self) -> int:
        """How many words there are."""
        ...

    @property
    def length(self) -> int:
        """The most tokens that a document has."""
        ...

    @property
    def tables(self) -> Sequence[str]:
        """The parameters that are embeddings, which Muon leaves to Adam."""
        ...

    @property
    def sites(self) -> Sequence[Site]:
        """Where the stream of activations [B, L, W] is read, in the order of computation."""
        ...

    def init(self, key: Array) -> Params:
        """Random parameters."""
        ...

    def cache(self, batch: int) -> Any:
        """A pytree that remembers what has been read, of `batch` documents: nothing yet."""
        ...

    def apply(
        self,
        params: Params,
        tokens: Int[Array, "B l"],
        cache: Any = None,
        tap: Tap | None = None,
    ) -> tuple[Float[Array, "B l V"], Any]:
        """Next-token logits, and the cache with these tokens; None if none was given.

        With a cache the tokens stand after those that it has. A `tap` sees every activation of
        interest with its site, those of `sites` among them; what it returns is used instead.
        """
        ...


class Model(Protocol):
    """A model's config, a frozen dataclass. Vocabulary and length come from the corpus."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def network(self, vocabulary: int, length: int) -> Network:
        """The network of this size."""
        ...
