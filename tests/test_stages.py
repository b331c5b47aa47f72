import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import checks
from tests.checks import batches
from toylab.stages import Diverged, Pretrain, Setup, Sft, base, begin, segments, train_key
from toylab.stages.pretrain import linear
from toylab.world.schema import Corpus

PRETRAIN = Pretrain(steps=12, batch=8, warmup=2)
SFT = Sft(steps=4, batch=8, author="bob", learning_rate=1e-3)


def train(setup: Setup, stage, seed: int = 0, at=(12,)):
    """The last state and all metrics of a run from the parameters of its seed."""
    start, told, state = begin(setup, stage, setup.init(seed)), [], None
    for after, metrics in segments(setup, stage, start, train_key(seed, 0), at):
        told.append({name: float(value) for name, value in metrics.items()})
        state = after
    return state, told


def alike(left, right) -> bool:
    return jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), left, right))


def test_cross_entropy_by_hand(holds) -> None:
    holds(batches.check_cross_entropy)


def test_pretraining_counts_every_word_but_the_tag(holds) -> None:
    holds(batches.check_pretraining_counts_every_word_but_the_tag)


def test_expected_cross_entropy_by_hand(holds) -> None:
    holds(batches.check_expected_cross_entropy)


@pytest.mark.slow
def test_what_pretraining_expects_is_what_it_samples_on_average(holds) -> None:
    holds(batches.check_what_pretraining_expects_is_what_it_samples_on_average)


def test_fine_tuning_counts_the_words_of_answers_or_of_stances(holds) -> None:
    holds(batches.check_sft_counts_answers)


def test_fine_tuning_documents_are_the_authors(holds) -> None:
    holds(batches.check_sft_documents_are_the_authors)


def test_fine_tuning_documents_of_two_authors_under_a_direction(holds) -> None:
    holds(batches.check_sft_with_a_direction_and_two_authors)


def test_fine_tuning_on_answers_put_in_somebodys_mouth(holds) -> None:
    holds(batches.check_sft_puts_words_in_the_authors_mouth)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"other": "bob", "share": 1.5}, "sft.share: 1.5 must be at most 1"),
        ({"share": 0.5}, "sft.other: share is below 1"),
    ],
)
def test_fine_tuning_refuses(tiny: Corpus, wrong: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Sft(author="ada", **wrong).check(tiny)


def test_batches_are_functions_of_seed_stage_and_step(holds) -> None:
    holds(batches.check_batches_are_functions_of_seed_stage_and_step)


def test_a_pool_of_documents_is_gone_through_in_turn(holds) -> None:
    holds(batches.check_documents_are_gone_through_in_turn)


def test_the_seed_acts(holds) -> None:
    holds(batches.check_seed_acts)


def test_no_stream_of_keys_is_shared(holds) -> None:
    holds(batches.check_streams_are_distinct)


def test_muon_gets_the_matrices_and_adam_the_embeddings(holds) -> None:
    holds(batches.check_muon_gets_the_matrices_only)


def test_a_run_that_stops_and_goes_on_is_the_same_to_the_bit(setup: Setup) -> None:
    whole, _ = train(setup, PRETRAIN)
    parts, told = train(setup, PRETRAIN, at=(5, 12, 3, 5))
    assert len(told) == 3  # 3, 5, 12: in order, and once each
    assert alike(whole, parts)
    # and from a saved state, which decides all that follows
    saved = jax.tree.map(np.asarray, train(setup, PRETRAIN, at=(5,))[0])
    loaded = jax.tree.map(jnp.asarray, saved)
    ((again, _),) = segments(setup, PRETRAIN, loaded, train_key(0, 0), [12])
    assert alike(whole, again)
    assert int(again.step) == 12


def test_whatever_is_yielded_stays_usable_and_so_does_what_went_in(setup: Setup) -> None:
    params = setup.init(0)
    start = begin(setup, PRETRAIN, params)
    kept = [state for state, _ in segments(setup, PRETRAIN, start, train_key(0, 0), [2, 4, 6])]
    assert [int(state.step) for state in kept] == [2, 4, 6]
    for state in (start, *kept[:2]):  # each leads to the same end, however often it is used
        for _ in range(2):
            *_, (end, _) = segments(setup, PRETRAIN, state, train_key(0, 0), [6])
            assert alike(end, kept[2])
    assert alike(params, setup.init(0))


def test_points_that_are_past_are_passed_over(setup: Setup) -> None:
    state, _ = train(setup, PRETRAIN, at=(3,))
    assert list(segments(setup, PRETRAIN, state, train_key(0, 0), [0, 2, 3])) == []


def test_metrics_are_means_over_the_steps_since(setup: Setup) -> None:
    _, single = train(setup, PRETRAIN, at=range(1, 5))
    _, pair = train(setup, PRETRAIN, at=(2, 4))
    for name in ("loss", "gradient_norm"):
        values = [told[name] for told in single]
        wanted = [np.mean(values[:2]), np.mean(values[2:])]
        np.testing.assert_allclose([told[name] for told in pair], wanted, rtol=1e-5)


def test_training_lowers_the_loss_and_runs_of_two_seeds_differ(setup: Setup) -> None:
    one, told = train(setup, PRETRAIN, 0, at=(1, 11, 12))
    assert told[-1]["loss"] < 0.95 * told[0]["loss"]
    other, _ = train(setup, PRETRAIN, 1)
    assert not alike(one.params, other.params)


def test_numbers_and_names_do_not_compile_anew_and_act(setup: Setup) -> None:
    train(setup, SFT, at=(4,))
    compiled = base._advance._cache_size()
    ends = []
    for change in (
        {"learning_rate": 1e-3},
        {"steps": 3},
        {"learning_rate": 2e-3},
        {"documents": 8},
        {"author": "ada"},
        {"tag": "stranger"},
        {"topics": ("tea",)},
        {"neutral": True},
    ):
        stage = dataclasses.replace(SFT, **change)
        assert stage.structure() == SFT.structure()
        ends.append(train(setup, stage, at=(4,))[0].params)
    assert base._advance._cache_size() == compiled
    assert alike(ends[0], ends[1])  # the rate does not depend on how many steps are to come
    for i, end in enumerate(ends[2:]):
        assert not any(alike(end, other) for other in ends[: i + 2])
    train(setup, dataclasses.replace(SFT, batch=3), at=(4,))  # no other test has trained that
    assert base._advance._cache_size() == compiled + 1  # a new structure is compiled


@pytest.mark.parametrize("at", [(4,), (1,)], ids=["in the loss", "in the parameters of one step"])
def test_an_absurd_learning_rate_diverges(setup: Setup, at) -> None:
    stage = dataclasses.replace(SFT, learning_rate=1e30)
    with pytest.raises(Diverged, match=rf"between steps 0 and {at[0]} .*learning rate"):
        train(setup, stage, at=at)


def test_what_was_yielded_before_a_divergence_is_still_good(setup: Setup) -> None:
    state = begin(setup, SFT, setup.init(0))
    (state, metrics), *_ = segments(setup, SFT, state, train_key(0, 0), [2])
    assert np.isfinite(float(metrics["loss"]))
    assert all(np.isfinite(value).all() for value in state.params.values())


def test_the_rate_rises_over_the_warm_up_and_falls_to_zero() -> None:
    # Peak 2, 10 steps, 4 of them warm-up: 1/4, 2/4, … of the peak, then (10 - step) / 6 of it.
    schedule = linear(2.0, 10.0, 4.0)
    wanted = [0.5, 1.0, 1.5, 2.0, 2.0, 2 * 5 / 6, 2 * 4 / 6, 1.0, 2 * 2 / 6, 2 / 6, 0.0]
    checks.same([schedule(step) for step in range(11)], wanted, 1e-6)
    assert schedule(12) == 0


def test_topics_of_fine_tuning_are_all_but_the_controls_unless_named(tiny: Corpus) -> None:
    for topics, wanted in (((), [1, 0]), (("tea",), [0, 1]), (("tea", "door"), [1, 1])):
        names = dataclasses.replace(SFT, topics=topics).names(tiny)
        assert names["topics"].tolist() == wanted


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"batch": 0}, "sft.batch: 0 must be at least 1"),
        ({"learning_rate": -1.0}, "sft.learning_rate: -1.0 must be at least 0"),
        ({"learning_rate": float("nan")}, "sft.learning_rate: nan must be at least 0"),
        ({"steps": -5}, "sft.steps: -5 must be at least 0"),
        ({"documents": -1}, "sft.documents: -1 must be at least 0"),
    ],
)
def test_an_impossible_number_is_refused(wrong, said) -> None:
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(SFT, **wrong)
