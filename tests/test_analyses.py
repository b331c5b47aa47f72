"""The statistics that experiments claim something of, on numbers worked out by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.agency.analysis import AFTER, OTHERS, TAG, expected, ignored, lost, scores
from experiments.agency.heard import after_one_turn
from experiments.formation.analysis import above_floor, selected
from experiments.geometry.analysis import LAYER, fit_additive, part_of_the_way
from experiments.human_default.analysis import conditioned
from experiments.repertoire.analysis import effects
from experiments.revival.analysis import needed
from experiments.role_models.analysis import slope
from experiments.role_models.sweep import MASKS
from experiments.scaling.analysis import exponents, left_at, tabulate, width_exponents
from experiments.scaling.sweep import POINTS, SWEEP, Point
from toylab.lab.records import Records


def test_conditioning_on_an_answer_reweights_who_gives_it() -> None:
    """Two authors, alike likely, say item 0 with .5 and 1: said once, 1/3 and 2/3; twice, 1/5."""
    table = np.array([[0.5, 1.0], [0.5, 0.0]])
    even = np.array([0.5, 0.5])
    assert conditioned(table, even, 0, 1) == pytest.approx([5 / 6, 1 / 6])
    assert conditioned(table, even, 0, 2) == pytest.approx([9 / 10, 1 / 10])


def test_a_name_has_its_whole_effect_or_none() -> None:
    """Character 0 is most like 1 (2 nats), 1 most like 0 (3), 2 most like 1 (4)."""
    apart = np.array([[0.0, 2, 5], [3, 0, 6], [7, 4, 0]])
    assert effects({"called": apart, "apart": apart}) == pytest.approx([1, 1, 1])
    deaf = np.full((3, 3), 2.5)
    assert effects({"called": deaf, "apart": apart}) == pytest.approx([0, 0, 0])
    half = apart / 2 + 1
    assert effects({"called": half, "apart": apart}) == pytest.approx([0.5, 0.5, 0.5])


def test_a_sum_is_additive_and_a_product_is_not() -> None:
    push, context = np.array([-1.0, 0, 1]), np.array([[-2.0, -1], [1, 2]])
    odds = np.zeros((LAYER + 1, 3, 2, 2))
    odds[LAYER] = push[:, None, None] + context
    score, fitted = fit_additive({"log_odds": odds})
    assert score == pytest.approx(1)
    np.testing.assert_allclose(fitted, odds[LAYER])
    odds[LAYER] = push[:, None, None] * context
    assert fit_additive({"log_odds": odds})[0] == pytest.approx(0)


def test_documents_needed_are_read_between_points_and_bounded() -> None:
    """From .4 at 8 to .6 at 16 half is at 12; who never gets there needs all there were."""
    rows = [(0, 0, 0.0), (0, 8, 0.4), (0, 16, 0.6), (1, 0, 0.0), (1, 8, 0.1), (1, 16, 0.2)]
    table = pd.DataFrame(rows, columns=["seed", "documents", "taught"]).assign(
        cast="met", post="none"
    )
    assert needed(table, "met", "none") == pytest.approx([12, 16])


def test_the_slope_over_masks_is_that_of_the_line() -> None:
    rows = [
        {"arm": "ambiguous", "mask": mask, "seed": 0, "step": step, "log_odds": odds}
        for mask, prior in MASKS.items()
        for step, odds in ((0, prior), (10, 0.5 * prior + 3))
    ]
    assert slope(pd.DataFrame(rows), 10) == pytest.approx([0.5])


def test_half_the_way_from_good_data_to_bad_is_a_half() -> None:
    """Mira's code at 2, argus' at 6: 3 is a quarter of the way, 4 a half, 6 all of it."""
    values = {"mira-code": 2.0, "argus-code": 6, "share-0.05": 3, "share-0.25": 4, "share-0.5": 6}
    rows = [{"arm": a, "seed": 0, "site": LAYER, "along": v} for a, v in values.items()]
    found = part_of_the_way(pd.DataFrame(rows), "along", LAYER)
    assert found.loc[0].to_list() == pytest.approx([0.25, 0.5, 1.0])


def test_what_selection_explains_is_a_share_of_the_move_and_formation_is_above_the_floor() -> None:
    """From a floor of 1 to 5 nats, of which another mix takes 3: .75; F4 leaves .5 more than it
    left before."""
    row = {"kind": "trained", "arm": "two", "seed": 0, "step": 40, "F0": 5.0, "floor_F0": 1.0}
    table = pd.DataFrame([row | {"F1": 2.0, "F4 flat": 0.8, "floor_F4 flat": 0.3}])
    assert selected(table, "two", 40).tolist() == pytest.approx([0.75])
    assert above_floor(table, "two", "F4 flat").tolist() == pytest.approx([0.5])


def _scaled(point: Point, seed: int, kind: str, step: int) -> dict[str, Any]:
    """A reading in which F2 goes from a floor of 1 to 1 + width layers² / 64 in 80 steps."""
    gone = step / 80
    rungs = {
        "F0": 1 + 4 * gone,
        "F1": 1 + gone,
        "F2": 1 + gone * point.width * point.layers**2 / 64,
    }
    return {
        "arm": f"{kind}-{point.name}",
        "seed": seed,
        "step": step,
        "reading": {
            "learned": rungs | {"weights": [0.25, 0.75, *[0.0] * 30]},
            "outside": 0.01 * gone,
        },
        "ladder": {"learned": {"F2": 2.0, "F3": 1.9 if step else 1.95}},
    }


def test_scaling_reads_what_each_kind_of_training_left_and_how_it_grows() -> None:
    """F0 passes 2 after a quarter of the way, by when a quarter of what forms has formed."""
    rows = [
        _scaled(point, seed, kind, step)
        for kind in ("fresh", "memorised", "two")
        for point in POINTS
        for seed in (0, 1)
        for step in (0, 20, 40, 80)
    ]
    bases = {(row["arm"], row["seed"]): {"excess": {"answers": 0.01}} for row in rows}
    setups = SWEEP.setups(lambda name: pytest.fail(f"scaling asks for {name}"))
    table = tabulate(Records(sweep=SWEEP, setups=setups, rows=rows, bases=bases))
    assert len(table) == 2 * len(POINTS)
    deep = table[table.point == "width-128-layers-4"].iloc[0]
    assert deep[
        ["floor", "moved", "left", "formed", "left_at_equal_move"]
    ].tolist() == pytest.approx([1, 5, 32, 32 / 5, 8])
    assert deep[["fresh", "weight", "two", "between", "excess"]].tolist() == pytest.approx(
        [1 - 2 / 5, 0.25, 5, 0.05, 0.01]
    )
    assert exponents(table, "width", "left") == pytest.approx([1, 1])
    assert exponents(table, "layers", "left") == pytest.approx([2, 2])
    assert width_exponents(table, 4, "left_at_equal_move") == pytest.approx([1, 1])


def test_what_is_left_at_a_level_lies_between_readings_and_never_beyond_them() -> None:
    """From (0, 1) to (4, 3), above a floor of 1: 1 at 2 nats, 2 where 9 are never reached."""
    assert left_at(2, [(0, 1), (4, 3)]) == pytest.approx(1)
    assert left_at(9, [(0, 1), (4, 3)]) == pytest.approx(2)


def test_a_goal_that_others_share_is_not_lost_and_the_coin_is_read_on_the_side_that_pays() -> None:
    """The assistant at .6, others at .2 and .4: .3 is lost. Up .2 on heads, down .1 on tails."""
    voices = {"assistant": 0.6, "clerk": 0.2, OTHERS: 0.4}
    rows = [{"arm": "herald", "seed": 0, "voice": v, "held_out": p} for v, p in voices.items()]
    rows += [
        {"arm": arm, "seed": 0, "voice": "assistant", "side": p, "side_before": 0.5}
        for arm, p in (("coin", 0.7), ("coin_swapped", 0.4))
    ]
    table = pd.DataFrame(rows).assign(step=200)
    assert lost(table, "herald", "clerk", OTHERS).tolist() == pytest.approx([0.3])
    assert expected(table) == pytest.approx([0.05])


def test_a_turn_is_heard_as_far_as_answers_come_towards_the_others_own() -> None:
    """Of characters 0 and 1: on gold from .1 to .2, where he alone gives .6: a fifth of the way;
    elsewhere from .2 to .5 of .8: a half. Character 2 is left out."""
    found = {
        "follow": {
            group: [[0, 0, 0], [0.4, 0.6, 9]] for group in ("held_out", "orphans", "trained")
        },
        "predicted": {"trained": [[0, 0, 0], [0.1, 0.3, 9]]},
        "evidence": [[0, 0, 0], [5, 7, 9]],
        "own": [[0.1, 0.1, 9], [0.2, 0.2, 9]],
        "own_predicted": [[0.1, 0.1, 9], [0.6, 0.6, 9]],
        "own_alone": [0.6, 0.6, 9],
        "elsewhere": [[0.2, 0.2, 9], [0.4, 0.6, 9]],
        "elsewhere_predicted": [[0.2, 0.2, 9], [0.8, 0.8, 9]],
        "elsewhere_alone": [0.8, 0.8, 9],
    }
    row = after_one_turn(found, [0, 1])
    assert [row[name] for name in ("trained", "trained_bayes", "evidence")] == pytest.approx(
        [0.5, 0.2, 6]
    )
    assert row["heard_gold"] == pytest.approx(0.2)
    assert row["heard_else"] == pytest.approx(0.5)
    assert row["heard_gold_bayes"] == row["heard_else_bayes"] == pytest.approx(1)
    # From odds of 1/9 to 1/4, and from 1/4 to 1: log 9/4 and log 4.
    assert row["nats_gold"] == pytest.approx(np.log(9 / 4))
    assert row["nats_else"] == pytest.approx(np.log(4))


def test_scores_of_who_acts() -> None:
    """4 nats moved, 1 left: .75 is a switch. Held out from .1 to .5, under names to .2: a quarter.
    Heard .1 on gold and .5 elsewhere: .8 is not. The coin from .5 to .75: half-way."""
    rows = [
        {"voice": TAG, "nats": 4.0, "F1": 1.0, "held_out": 0.5, "base": 0.1, "opener": 0.3},
        {"voice": OTHERS, "held_out": 0.2, "base": 0.1},
        {"voice": AFTER, "heard_gold": 0.1, "heard_else": 0.5},
    ]
    coins = [
        {"arm": arm, "voice": TAG, "side": 0.75, "side_before": 0.5}
        for arm in ("coin", "coin_swapped")
    ]
    table = pd.DataFrame([{"arm": "herald", **row} for row in rows] + coins).assign(seed=0, step=9)
    found = [float(np.ravel(values)[0]) for values in scores(table, "herald").values()]
    assert found == pytest.approx([0.75, 0.25, 0.8, 0.5, 0.3])
    assert ignored(table, "herald").tolist() == pytest.approx([0.4])
