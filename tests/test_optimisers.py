"""Optimisers are fields of stages: their updates, what recompiles, and their flags."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.post import MORE
from tests.test_post_training import given, sweep_of
from toylab.lab.flags import UsageError
from toylab.lab.paths import plain
from toylab.stages import Adam, Anchored, Muon, Pretrain, Rl, Setup, Sft

MUON = Sft(author="bob", optimiser=Muon())


@pytest.mark.parametrize("stage", [MUON, Rl(target=MORE, optimiser=Muon()), Anchored(inner=MUON)])
def test_muon_moves_a_matrix_alike_in_every_direction_and_a_table_as_adam_does(
    setup: Setup, stage
) -> None:
    """Singular values of its first update are nearly equal (Adam's are spread); entries of a
    table's are all of one size, whatever the gradient's."""
    gradient = jax.random.normal(jax.random.key(0), (16, 16)) * jnp.logspace(0, -2, 16)
    params = {"query0": gradient, "embedding": gradient}
    optimiser = stage.transformation(setup.network)
    update, _ = optimiser.update(params, optimiser.init(params), params)
    spread = {name: np.linalg.svd(np.asarray(u), compute_uv=False) for name, u in update.items()}
    assert spread["query0"].max() / np.median(spread["query0"]) < 2
    assert spread["embedding"].max() / np.median(spread["embedding"]) > 2
    size = np.abs(update["embedding"])
    np.testing.assert_allclose(size, size.mean(), rtol=0.01)
    assert 1 < size.mean() / stage.learning_rate < 2


def test_a_matrix_is_updated_by_rms_times_the_rate(setup: Setup) -> None:
    params = {"query0": jax.random.normal(jax.random.key(0), (16, 16))}
    optimiser = MUON.transformation(setup.network)
    update, _ = optimiser.update(params, optimiser.init(params), params)
    size = float(jnp.sqrt(jnp.mean(update["query0"] ** 2)))
    assert size == pytest.approx(0.2 * MUON.learning_rate, rel=0.2)


def test_the_kind_of_optimiser_is_structure_and_the_rate_of_tables_is_not() -> None:
    def muon(**change: float) -> Sft:
        return dataclasses.replace(MUON, optimiser=Muon(**change))

    assert muon(table_rate=2.0).structure() == MUON.structure()
    assert muon(table_rate=2.0).numbers()["optimiser"]["table_rate"] == 2
    structures = {stage.structure() for stage in (MUON, muon(b2=0.9), Sft(author="bob"))}
    assert len(structures) == 3


def test_the_rate_of_tables_acts(setup: Setup) -> None:
    params, updates = setup.init(0), []
    for factor in (1.0, 1.5):
        stage = Pretrain(warmup=1, optimiser=Muon(table_rate=factor))
        optimiser = stage.transformation(setup.network)
        updates.append(optimiser.update(params, optimiser.init(params), params)[0])
    one, other = updates
    np.testing.assert_allclose(1.5 * one["embedding"], other["embedding"], rtol=1e-5)
    np.testing.assert_array_equal(one["query0"], other["query0"])


def test_flags_reach_an_optimiser_and_configs_say_which_it_is() -> None:
    sweep = sweep_of(slow=MUON, plain=Sft(author="bob"), held=Anchored(inner=MUON))
    changed = given(
        sweep, "--slow.sft.optimiser.table_rate=3", "--plain.sft.optimiser.b2=0.9",
        "--held.sft.optimiser.momentum=0.8", "--pretrain.optimiser.table_rate=2",
    )  # fmt: skip
    slow, straight, held = (arm.stages[0] for arm in changed.arms.values())
    assert slow.optimiser == Muon(table_rate=3.0)
    assert straight.optimiser == Adam(b2=0.9)
    assert held.optimiser == held.inner.optimiser == Muon(momentum=0.8)
    assert changed.pretrain.optimiser == Muon(b2=0.95, rms=0.0, table_rate=2.0)
    assert plain(slow)["optimiser"]["kind"] == "muon"


def test_a_flag_names_the_kind_of_optimiser() -> None:
    sweep = sweep_of(plain=Sft(author="bob"))
    changed = given(sweep, "--sft.optimiser=muon", "--sft.optimiser.rms=0.1")
    assert changed.arms["plain"].stages[0].optimiser == Muon(rms=0.1)
    with pytest.raises(UsageError, match=r"sft.optimiser: unknown 'muno'; did you mean 'muon'"):
        given(sweep, "--sft.optimiser=muno")


def test_an_impossible_setting_is_refused() -> None:
    with pytest.raises(ValueError, match=r"muon.table_rate: -1.0 must be at least 0"):
        Muon(table_rate=-1.0)
