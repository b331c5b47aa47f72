"""The one figure of the whole answer, from tables alone."""

import json
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from experiments import answer
from tests import records
from toylab.report import results

TABLES = {name: records.load(name)["table"] for name in answer.PANELS}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results: one is old, one lacks seeds, and the rest are judged."""
    for name, text in TABLES.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "table.csv").write_text(text)
        said = {"seeds": [100, 101], "of": 2 + (name == "levers")}
        content = [] if name == "selection" else said
        (tmp_path / name / "claims.json").write_text(json.dumps(content))
    return tmp_path


def test_it_has_a_panel_with_data_for_each_experiment() -> None:
    figure = answer.draw({name: records.table_of(text) for name, text in TABLES.items()})
    painted = [axes for axes in figure.axes if axes.get_title("left")]
    assert len(painted) == len(answer.PANELS)
    assert all(axes.lines for axes in painted)
    plt.close(figure)


def test_results_that_are_not_judged_are_left_out(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        within = results.answer(folder, list(TABLES))
    assert within == [name for name in TABLES if name not in ("selection", "levers")]
    assert (folder / "answer.png").stat().st_size > 10_000
    (folder / "answer.png").unlink()
    assert results.answer(folder, ["selection", "levers"]) == []
    assert not (folder / "answer.png").exists()
