import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from tests import checks
from tests.checks import networks
from toylab.policy import attention, transformer
from toylab.policy.transformer import ModelConfig, Transformer
from toylab.stages import Setup

TOKENS = jnp.array([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])
NETWORK = Transformer(checks.SMALL, 11, 6)


@pytest.fixture(scope="module")
def params():
    return jax.jit(NETWORK.init)(jax.random.key(1))


def logits(params, tap=None):
    return jax.jit(lambda p: NETWORK.apply(p, TOKENS, None, tap)[0])(params)


def test_no_output_depends_on_a_later_word(holds) -> None:
    holds(networks.check_causal)


def test_decoding_with_a_cache_equals_one_reading(holds) -> None:
    holds(networks.check_cached_decoding)


def test_without_a_cache_none_comes_back(params) -> None:
    assert NETWORK.apply(params, TOKENS)[1] is None


def test_a_tap_sees_every_activation_and_changes_nothing_by_looking(params) -> None:
    seen = []

    def look(site, value):
        seen.append((site, value.shape))
        return value

    assert (logits(params, look) == logits(params)).all()
    each = [(name, i) for i in (0, 1) for name in ("attention", "mlp", "residual")]
    sites = [("embed", 0), *each]
    assert seen == [(site, (2, 6, checks.SMALL.width)) for site in sites]


def test_a_tap_can_replace_an_activation(params) -> None:
    """Without the last residual the logits are 0; without the first MLP they differ."""

    def blank(gone):
        return logits(params, lambda site, value: value * (site != gone))

    assert (blank(("residual", 1)) == 0).all()
    assert not np.allclose(blank(("mlp", 0)), logits(params), atol=1e-5)


def test_the_residual_is_the_sum_of_what_was_written_to_it(params) -> None:
    seen = {}

    def look(site, value):
        seen[site] = value
        return value

    NETWORK.apply(params, TOKENS, None, look)
    written = seen["embed", 0]
    for layer in (0, 1):
        written = written + seen["attention", layer] + seen["mlp", layer]
        checks.same(seen["residual", layer], written)


def test_parameters_are_matrices_and_follow_the_seed(setup: Setup) -> None:
    params = setup.init(0)
    assert all(value.ndim == 2 for value in params.values())
    assert params["embedding"].shape == (setup.world.grammar.vocabulary, checks.SMALL.width)
    assert params["position"].shape == (setup.world.grammar.length, checks.SMALL.width)
    assert all((params[name] == setup.init(0)[name]).all() for name in params)


def test_tied_logits_are_products_with_the_embedding(setup: Setup) -> None:
    """If embeddings are tied, a model's logits are x · embedding / sqrt(width)."""
    network = dataclasses.replace(setup.network, config=dataclasses.replace(setup.model, tied=True))
    tokens = jnp.zeros((1, network.length), jnp.int32)
    tied = network.init(jax.random.key(0))
    assert "unembedding" not in tied
    free = tied | {"unembedding": tied["embedding"].T * setup.model.width**-0.5}
    one, other = (net.apply(p, tokens)[0] for net, p in ((network, tied), (setup.network, free)))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_attention_is_by_scaled_scores() -> None:
    # One head of width 4 and two keys: the scores are 4 / sqrt(4) = 2 and 0, so the second query
    # gives the first value e^2 / (e^2 + 1); the first query sees the first value alone.
    q = jnp.ones((1, 1, 2, 4))
    k = jnp.stack([jnp.ones(4), jnp.zeros(4)])[None, None]
    v = jnp.array([[1.0], [0.0]])[None, None]
    got = attention.attend(q, k, v)[0, 0, :, 0]
    checks.same(got, [1.0, np.exp(2) / (np.exp(2) + 1)], 1e-6)


@pytest.mark.parametrize("shape", [(2, 48, 3, 4, 16), (3, 17, 3, 2, 5), (1, 100, 3, 1, 64)])
def test_compiled_attention_equals_its_plain_twin(shape: tuple[int, ...]) -> None:
    if attention.kind() == "plain":
        pytest.skip("there is no C compiler here")
    keys = jax.random.split(jax.random.key(0))
    qkv = jax.random.normal(keys[0], shape)
    direction = jax.random.normal(keys[1], (*shape[:2], *shape[3:]))

    def both(attend: Callable[[Array], Array]) -> tuple[Array, ...]:
        out, back = jax.vjp(attend, qkv)
        return out, *back(direction), jax.vmap(attend)(qkv[:, None])[:, 0]

    for one, other in zip(both(attention.causal), both(attention.plain), strict=True):
        checks.same(one, other, 1e-5)


def test_without_a_compiler_attention_is_plain_and_that_is_said(monkeypatch, capsys) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert attention.kind.__wrapped__() == "plain"
    assert "no-such-compiler does not compile" in capsys.readouterr().err


def test_the_norm_has_a_root_mean_square_of_one() -> None:
    # 3 and 4 have a mean square of 12.5.
    checks.same(transformer.rms_norm(jnp.array([3.0, 4.0])), np.array([3, 4]) / np.sqrt(12.5), 1e-6)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"width": 30, "heads": 4}, "width 30 must be a multiple of heads 4"),
        ({"layers": 0}, "must be at least 1"),
        ({"heads": 0}, "must be at least 1"),
        ({"expansion": -1}, "must be at least 1"),
        ({"width": 0}, "must be at least 1"),
    ],
)
def test_an_impossible_size_is_refused(wrong, said) -> None:
    with pytest.raises(ValueError, match=said):
        ModelConfig(**wrong)


def test_projecting_rows_as_one_matrix_is_multiplication() -> None:
    x = jax.random.normal(jax.random.key(0), (2, 3, 4))
    matrix = jax.random.normal(jax.random.key(1), (4, 5))

    def squared(product: Callable[[Array, Array], Array]) -> tuple[Array, tuple[Array, Array]]:
        return jax.value_and_grad(lambda a, b: jnp.sum(product(a, b) ** 2), (0, 1))(x, matrix)

    fast, plain = squared(transformer.project), squared(jnp.matmul)
    for one, other in zip(jax.tree.leaves(fast), jax.tree.leaves(plain), strict=True):
        assert np.allclose(one, other, rtol=1e-5)
