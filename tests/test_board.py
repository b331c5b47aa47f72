"""What TensorBoard shows of an experiment: one axis, means over seeds, few lines, samples."""

import json
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from toylab.lab.names import Listed, Named
from toylab.report import board, summary
from toylab.shell import cli

NAMES = [f"c{n}" for n in range(6)]


def left(folder: Path, stages: list[tuple[str, int]], rows: list[dict]) -> Path:
    """The parts of a run's folder that a board reads."""
    folder.mkdir(parents=True)
    config = {"seed": 0, "stages": [{"kind": kind, "steps": steps} for kind, steps in stages]}
    (folder / "config.json").write_text(json.dumps(config))
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(text)
    return folder


def reading(step: int, total: float, first: float, digest: str = "mine") -> dict:
    weights = dict(zip(NAMES, [first, *[(1 - first) / 5] * 5], strict=True))
    ladder = {"total": total, "selection": total - 0.1, "left": 0.1}
    row = {"step": step, "time": 1e9, "reading": digest} | {
        f"ladder/{k}": v for k, v in ladder.items()
    }
    return row | {f"weights/{name}": w for name, w in weights.items()}


def two_seeds(tmp_path: Path) -> Listed:
    """Two seeds of one arm: 20 steps of pretraining, read twice, then 8 of fine-tuning."""
    runs = []
    for seed in (0, 1):
        pretrain, sft = ("pretrain", 20), ("sft", 8)
        start = [
            {"step": 10, "time": 1e9, "train/loss": 3.0},
            {"step": 20, "time": 1e9, "train/loss": 2.0},
        ]
        start += [reading(20, 0.2, 1 / 6), reading(20, 99.0, 0.9, "another's")]
        after = [{"step": 8, "time": 1e9, "train/loss": 1.0}, reading(8, 1.0 + seed, 0.8)]
        folders = (
            left(tmp_path / "town" / f"pretrain{seed}", [pretrain], start),
            left(tmp_path / "town" / f"sft{seed}", [pretrain, sft], after),
        )
        runs.append(Named(f"first/ada/seed{seed}", folders, (20, 8), ("mine",)))
    out = tmp_path / "results"
    return Listed(name="first", out=out, began=0.0, tag="assistant", arms={"ada": tuple(runs)})


@pytest.fixture
def listed(tmp_path: Path) -> Listed:
    return two_seeds(tmp_path)


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [(e.step, pytest.approx(e.value)) for e in reader.Scalars(tag)]


def test_pretraining_and_post_training_share_one_axis(listed: Listed, tmp_path: Path) -> None:
    shown = board.Board(listed, tmp_path / "board")
    shown.refresh()
    seed = tmp_path / "board" / "first" / "ada" / "seed1"
    assert scalars(seed, "train/loss") == [(-10, 3.0), (0, 2.0), (8, 1.0)]
    assert scalars(seed, "ladder/total") == [(0, 0.2), (8, 2.0)]  # no other measure's


def test_an_arm_has_its_mean_its_band_and_the_floor(listed: Listed, tmp_path: Path) -> None:
    board.Board(listed, tmp_path / "board").refresh()
    mean = tmp_path / "board" / "first" / "ada" / "mean"
    assert scalars(mean, "ladder/total") == [(0, 0.2), (8, 1.5)]
    half = 12.7062 * 0.5  # t(1, .975) times the standard error of 1 and 2
    assert scalars(mean, "band/ladder/total/high")[1] == (8, pytest.approx(1.5 + half, rel=1e-3))
    floor = tmp_path / "board" / "first" / "floor"
    assert scalars(floor, "ladder/total") == [(0, 0.2), (8, 0.2)]


def test_only_the_characters_that_move_are_shown_and_the_rest_as_one(
    listed: Listed, tmp_path: Path
) -> None:
    board.Board(listed, tmp_path / "board").refresh()
    mean = tmp_path / "board" / "first" / "ada" / "mean"
    tags = EventAccumulator(str(mean)).Reload().Tags()["scalars"]
    shown = [tag for tag in tags if tag.startswith("weights/")]
    assert len(shown) == board.MATTER[board.WEIGHTS] + 1
    assert {"weights/c0", "weights/others"} <= set(shown)
    assert np.sum([scalars(mean, tag)[-1][1].expected for tag in shown]) == pytest.approx(1)


def test_nothing_is_written_again_unless_it_changed(listed: Listed, tmp_path: Path) -> None:
    shown = board.Board(listed, tmp_path / "board")
    shown.refresh()
    first = sorted((tmp_path / "board").rglob("*tfevents*"))
    shown.samples = {"first/ada/seed0": {8: "| now dear |"}}
    shown.refresh()
    second = sorted((tmp_path / "board").rglob("*tfevents*"))
    assert len({*first} ^ {*second}) == 1
    reader = EventAccumulator(str(tmp_path / "board" / "first" / "ada" / "seed0")).Reload()
    assert "samples" in reader.Tags()["tensors"]


def test_a_summary_has_ladder_floor_and_what_moved(listed: Listed) -> None:
    head, ada, *rest = summary.of_arms(listed.arms)
    assert head.split()[-5:] == ["total", "selection", "exaggeration", "left", "floor"]
    assert ada.split() == ["ada", "1.50", "1.40", "nan", "0.10", "0.10"]
    assert "c0 17 → 80 %" in rest[1]


def test_two_runs_are_compared_by_what_differs(listed: Listed) -> None:
    first, second = listed.arms["ada"]
    text = "\n".join(summary.compared(first, second))
    assert ["ladder/total", "1.00", "2.00"] in [line.split() for line in text.splitlines()]
    assert "sft.steps" not in text


def test_before_anything_was_run_tensorboard_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["tensorboard"]) == 2
    assert "nothing has been run there yet" in capsys.readouterr().err
    assert cli.main(["tensorboard", "--logdir", "nowhere"]) == 2
    assert "there is no folder nowhere" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
