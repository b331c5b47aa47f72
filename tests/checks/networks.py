"""The transformer: causal, and the same with a cache."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.brute import Brute
from tests.checks import SMALL, same
from toylab.policy import transformer


def check_causal(twin: Brute) -> None:
    """No output depends on a later embedding; each depends on all embeddings up to its own."""
    length, vocabulary = 6, 11
    network = transformer.Transformer(SMALL, vocabulary, length)
    tokens = jnp.array([[3, 1, 4, 1, 5, 9]])
    params = _random(network)

    def outputs(shift):
        def tap(site, value):
            return value + shift if site == ("embed", 0) else value

        return network.apply(params, tokens, None, tap)[0][0]

    slope = jax.jit(jax.jacrev(lambda shift: outputs(shift)))(jnp.zeros((length, SMALL.width)))
    depends = np.abs(np.asarray(slope)).max((1, 3))  # output position x input position
    assert (depends[np.triu_indices(length, 1)] == 0).all()
    assert (depends[np.tril_indices(length)] > 1e-4).all()


def _random(network):
    params = jax.jit(network.init)(jax.random.key(0))
    return params | {"unembedding": 40 * params["unembedding"]}


def check_cached_decoding(twin: Brute) -> None:
    """Reading chunk by chunk with a cache gives the logits of a single pass at each chunk's end.

    The two documents have their words at different places in the chunks; -1 is no word.
    """
    network = transformer.Transformer(SMALL, 11, 6)
    tokens = jnp.array([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])
    chunks = (
        jnp.array([[3, -1], [2, 6]]),
        jnp.array([[1, 4, -1], [-1, 5, -1]]),
        jnp.array([[1, -1, 5, 9], [3, 5, -1, 8]]),
    )
    last = np.array([[0, 2, 5], [1, 2, 5]])  # the places of the chunks' last words
    params = _random(network)

    def both(params):
        whole, _ = network.apply(params, tokens)
        cache, parts = network.cache(2, 11), []
        for chunk in chunks:
            logits, cache = network.apply(params, chunk, cache)
            parts.append(logits)
        return whole, jnp.concatenate(parts, 1), cache.filled

    whole, parts, filled = jax.jit(lambda params: both(params))(params)
    same(parts, np.take_along_axis(np.asarray(whole), last[..., None], 1), 1e-4)
    assert int(filled) == 9
