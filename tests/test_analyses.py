"""The statistics in experiments' claims, on numbers worked out by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.formation.analysis import formed_at
from experiments.human_default.analysis import conditioned
from experiments.repertoire.analysis import effects
from experiments.role_models.analysis import in_band
from experiments.role_models.sweep import MASKS
from experiments.scaling.analysis import tabulate
from experiments.scaling.sweep import POINTS, SWEEP, Point, along
from toylab.lab.records import Records, crossing


def test_conditioning_on_an_answer_reweights_who_gives_it() -> None:
    """Two equally likely authors say item 0 with .5 and 1. Said once: 1/3 and 2/3; twice: 1/5."""
    table = np.array([[0.5, 1.0], [0.5, 0.0]])
    even = np.array([0.5, 0.5])
    assert conditioned(table, even, 0, 1) == pytest.approx([5 / 6, 1 / 6])
    assert conditioned(table, even, 0, 2) == pytest.approx([9 / 10, 1 / 10])


def test_a_name_has_its_whole_effect_or_none() -> None:
    """The character nearest to 0 is 1 (at 2 nats), to 1 it is 0 (3), and to 2 it is 1 (4)."""
    apart = np.array([[0.0, 2, 5], [3, 0, 6], [7, 4, 0]])
    assert effects({"called": apart, "apart": apart}) == pytest.approx([1, 1, 1])
    deaf = np.full((3, 3), 2.5)
    assert effects({"called": deaf, "apart": apart}) == pytest.approx([0, 0, 0])
    half = apart / 2 + 1
    assert effects({"called": half, "apart": apart}) == pytest.approx([0.5, 0.5, 0.5])


def _scaled(point: Point, seed: int, kind: str, step: int) -> dict[str, Any]:
    """A reading; F2 rises from a floor of 1 to 1 + width / 64 in 80 steps, F0 from 1 to 5."""
    gone = step / 80
    rungs = {"F0": 1 + 4 * gone, "F2": 1 + gone * point.width / 64}
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


def test_scaling_reads_what_each_kind_of_training_left() -> None:
    """F0 passes 2 at a quarter of the steps, where F2 has risen by a quarter of its final rise."""
    rows = [
        _scaled(point, seed, kind, step)
        for kind, points in (("memorised", along("width")), ("two", POINTS))
        for point in points
        for seed in (0, 1)
        for step in (0, 20, 40, 80)
    ]
    bases = {(row["arm"], row["seed"]): {"excess": {"answers": 0.01}} for row in rows}
    setups = SWEEP.setups(lambda name: pytest.fail(f"scaling asks for {name}"))
    table = tabulate(Records(sweep=SWEEP, setups=setups, rows=rows, bases=bases))
    assert len(table) == 2 * (4 + len(POINTS))
    same, two = (
        table[(table.point == "width-128") & (table.kind == kind)].iloc[0]
        for kind in ("memorised", "two")
    )
    assert same[["moved", "left", "outside"]].tolist() == pytest.approx([5, 0.5, 0.0025])
    assert two[["weight", "moved", "between", "excess", "outside"]].tolist() == pytest.approx(
        [0.25, 5, 0.05, 0.01, 0.01]
    )


def test_a_step_is_in_the_band_if_masks_say_it_often_enough_on_average() -> None:
    """The rate at step 5 is .05 under half of the masks and .35 under half; at step 9 it is .6."""
    rows = [
        {"arm": "ambiguous", "mask": mask, "seed": 0, "step": step, "engine": rate}
        for n, mask in enumerate(MASKS)
        for step, rate in ((5, (0.05, 0.35)[n % 2]), (9, 0.6))
    ]
    table = pd.DataFrame(rows)
    assert in_band(table).tolist() == [1.0, 0.0] * len(MASKS)


def test_what_is_formed_at_a_level_is_above_the_floor_and_between_readings() -> None:
    """F0 goes from .5 to 3.5, F3 from its floor of .1 to 1.1. At F0 = 2, half of that is formed."""
    run = pd.DataFrame({"step": [0, 20], "F0": [0.5, 3.5], "F3": [0.1, 1.1]})
    assert formed_at(run.assign(floor_F3=0.1), 2.0) == pytest.approx(0.5)


def test_a_column_is_read_where_a_level_is_first_passed() -> None:
    """(F0, F2) goes from (0, 1) to (4, 3), so F2 is 2 where F0 passes 2."""
    way = pd.DataFrame({"F0": [0.0, 4, 1, 5], "F2": [1.0, 3, 8, 9]})
    assert crossing(way, "F2", "F0", 2) == pytest.approx(2)
