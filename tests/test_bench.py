"""The benchmarks: contenders are comparable, and measurements are kept."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from benchmarks import devices, documents, flax_gpt, pages, seeds, steps, timing, tuning
from benchmarks.timing import Row
from toylab.lab.flags import UsageError
from toylab.policy.transformer import ModelConfig, Transformer
from toylab.shell import bench
from toylab.stages import Context, Pretrain, Setup, begin, segments, train_key
from toylab.world.grammar import PAD


def row(contender: str, setting: str, value: float) -> Row:
    return Row("tuning", setting, contender, "excess", "nats/token", value, value, value, 1)


def test_contenders_take_turns_in_both_orders() -> None:
    called: list[str] = []
    taken = timing.seconds({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 2)
    assert called == ["a", "b", "a", "b", "b", "a"]  # once to compile, forwards, backwards
    assert {name: len(each) for name, each in taken.items()} == {"a": 2, "b": 2}


def test_ratios_are_taken_round_by_round() -> None:
    (found,) = timing.ratios(
        "p", "s", "time", {"us": [1.0, 2.0, 4.0], "them": [2.0, 4.0, 4.0]}, "us"
    )
    assert (found.contender, found.value, found.low, found.high) == ("them / us", 2.0, 1.0, 2.0)


def test_the_fewest_steps_that_reach_the_target_count() -> None:
    tried = [
        row("toylab", "1000 steps, rate 0.02", 0.011),
        row("toylab", "1200 steps, rate 0.02", 0.0099),
        row("them", "2000 steps, rate 0.008", 0.009),
        row("them", "1800 steps, rate 0.004", 0.01),
        row("late", "9000 steps, rate 0.004", 0.02),
    ]
    assert tuning.needed(tried) == {"toylab": (1200, 0.02), "them": (1800, 0.004)}


def test_products_of_a_step_by_hand() -> None:
    """Width 2, one layer, expansion 1, 3 words, length 5, 64 documents.

    A word is multiplied with 4·4 + 2·4 = 24 weights of the layer and 2·3 = 6 of the unembedding.
    Attention takes 2·5·2 = 20. That is 50 products per word with 2 operations each, and twice as
    many in the backward pass: 6 · 64 · 5 · 50 = 96,000.
    """
    config = ModelConfig(width=2, layers=1, heads=1, expansion=1)
    assert steps.products(config, 3, 5) == 96_000


@pytest.mark.slow
def test_everybody_gets_the_documents_of_pretraining() -> None:
    setup, key = documents.setup(), train_key(3, 0)
    drawn = documents.batches(setup, key, 7, 2, batch=4)
    for i, step in enumerate((7, 8)):
        context = Context(setup.network, setup.world, {})
        theirs = Pretrain(batch=4).draw(context, {}, {}, key, jnp.asarray(step)).documents
        np.testing.assert_array_equal(drawn.tokens[i], np.asarray(theirs.tokens)[:, :-1])
        counted = np.asarray(theirs.role != PAD)[:, 1:]
        np.testing.assert_array_equal(drawn.targets[i] >= 0, counted)
        np.testing.assert_array_equal(
            drawn.targets[i][counted], np.asarray(theirs.tokens)[:, 1:][counted]
        )


@pytest.mark.slow
def test_seeds_side_by_side_are_trained_as_each_would_be_alone() -> None:
    setup, stage = (
        Setup(documents.setup().corpus, ModelConfig(width=8, layers=1)),
        Pretrain(steps=10**6),
    )
    both = seeds.together(setup, 2, 3)()
    for seed in range(2):
        start = begin(setup, stage, setup.init(seed))
        ((alone, _),) = segments(setup, stage, start, train_key(seed, 0), [3])
        for name, value in alone.params.items():
            np.testing.assert_allclose(both[seed][name], value, atol=1e-4)
    assert not np.allclose(both[0]["query0"], both[1]["query0"], atol=1e-2)


def test_the_plain_flax_model_looks_back_only() -> None:
    model = flax_gpt.Plain(ModelConfig(width=8, layers=1, heads=2), 11, 6)
    tokens = jnp.arange(6)[None] % 11
    params = model.init(jax.random.key(0), tokens)
    before, after = (model.apply(params, each) for each in (tokens, tokens.at[0, 4].set(9)))
    np.testing.assert_array_equal(before[0, :4], after[0, :4])
    assert not np.allclose(before[0, 4:], after[0, 4:])


def test_pytorch_with_a_cache_writes_as_it_reads() -> None:
    """The baseline's own check: each word's logits are the same with and without the cache."""
    torch = pytest.importorskip("torch", reason="PyTorch, an optional extra, is not installed")
    from benchmarks import torch_gpt

    model = torch_gpt.seeded(0, Transformer(ModelConfig(width=8, heads=2), 11, 6))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    tokens = torch.randint(0, 11, (3, 6))
    pasts = [(torch.zeros(3, 2, 6, 4), torch.zeros(3, 2, 6, 4)) for _ in range(2)]
    with torch.no_grad():
        at_once = model(tokens)
        in_turn = torch.cat([model(tokens[:, i : i + 1], pasts, i) for i in range(6)], 1)
        torch.testing.assert_close(in_turn, at_once)
        assert model.generate(tokens[:, 0]).shape == (3, 6)


@pytest.mark.slow
def test_a_part_measured_again_replaces_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOYLAB_CWD", str(tmp_path))
    other = row("toylab", "800 steps, rate 0.02", 0.0125)
    (tmp_path / "out").mkdir()
    pd.DataFrame([other]).to_csv(tmp_path / "out" / "table.csv", index=False)
    for _ in range(2):
        assert bench.main(["beliefs", "--quick", "--results=out"]) == 0
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert list(table.columns) == list(Row._fields)
    assert list(table.part) == ["tuning"] + ["beliefs"] * 6
    assert table.value[0] == 0.0125
    machine = json.loads((tmp_path / "out" / "machine.json").read_text())
    assert machine["beliefs"]["quick"]
    assert machine["beliefs"]["cores"] >= 1
    assert "time a character" in capsys.readouterr().out


@pytest.mark.slow
def test_a_core_reads_the_ladder_that_a_core_reads() -> None:
    apart = [row for row in devices.rows(quick=True) if row.quantity == "ladders apart"]
    assert [row.value for row in apart] == [0, 0]


def test_an_unknown_part_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="beliefs"):
        bench.main(["belief"])


def test_a_part_that_is_stopped_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old rows stay until measured again; stale rows are dropped only once a part has finished."""
    file = tmp_path / "table.csv"
    old = [row("toylab", "800 steps, rate 0.02", 0.5), row("them", "9 steps, rate 1", 0.25)]
    pd.DataFrame(old).to_csv(file, index=False)

    def stopped(quick: bool, known: list[Row]):
        yield row("toylab", "800 steps, rate 0.02", 0.125)
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "rows", stopped)
    with pytest.raises(KeyboardInterrupt):
        bench.main(["tuning", "--quick", f"--results={tmp_path}"])
    assert sorted(pd.read_csv(file).value) == [0.125, 0.25]


def test_what_was_tuned_is_kept_where_there_is_no_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "TORCH", False)
    monkeypatch.setattr(tuning, "ours", lambda setup, steps, sampled: 1.0)
    theirs = row(tuning.THEIRS, "2000 steps, rate 0.008", 0.009)
    assert theirs in list(tuning.rows(True, [theirs]))


def test_pages_are_kept_as_launch_sh_has_them_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timed settings are those of launch.sh, compared with a process that has none of them."""
    said = (pages.ROOT / "launch.sh").read_text()
    assert dict(re.findall(r"\b(MALLOC_\w+)=\$\{MALLOC_\w+:-(\d+)\}", said)) == pages.KEPT
    started = []

    def run(command: list[str], **given: Any) -> SimpleNamespace:
        started.append({name: given["env"].get(name) for name in pages.KEPT})
        return SimpleNamespace(stdout="[[3.0, 30], [1.0, 10], [2.0, 20]]")

    monkeypatch.setattr(pages.subprocess, "run", run)
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "7")
    ratio = list(pages.rows(True))[-1]
    assert started == [pages.KEPT, dict.fromkeys(pages.KEPT)]
    assert (ratio.contender, ratio.value) == ("pages given back / pages kept", 1.0)
    assert pages.measure({}, "nowhere", 3) == (2.0, 20)  # medians
