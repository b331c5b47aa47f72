"""toylab in a notebook: runs are found again, and tables agree with the ladder and Bayes."""

import ast
import io
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import toylab as tl
from toylab.lab import execute
from toylab.report import talk
from toylab.shell import cli
from toylab.world import bayes
from toylab.world import documents as docs
from toylab.world.grammar import STANCE, tag_names
from toylab.world.schema import Corpus

ROOT = Path(__file__).parent.parent
SMALL = tl.ModelConfig(width=16, layers=1, heads=2)
STAGES = (tl.Pretrain(steps=30, batch=8), tl.Sft(author="mira", steps=6, batch=8))
READING = tl.LadderFit(fit=32, score=16)  # no documents held out: the ladder ends at F2


def train(village: Corpus, runs: Path) -> tl.Run:
    return tl.train(village, *STAGES, seed=3, model=SMALL, reading=READING, runs=runs)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(village: Corpus, runs: Path) -> tl.Run:
    return train(village, runs)


@pytest.mark.slow
def test_the_ladder_has_a_row_for_each_family_beside_the_floor(run: tl.Run) -> None:
    table = run.ladder()
    assert list(table.index) == ["F0", "F1", "F2"]
    nats, errors = ["nats per document", "standard error"], ["drop", "drop's error"]
    assert list(table.columns) == ["rung", *nats, *errors, "floor"]
    assert (table["drop's error"][1:] < table["standard error"].max()).all()  # paired
    assert (table["nats per document"] >= 0).all()
    floor = run.pretrained.ladder()
    assert table.floor.tolist() == floor["nats per document"].tolist() == floor.floor.tolist()


def test_weights_are_a_mixture_within_their_intervals(village: Corpus, run: tl.Run) -> None:
    table = run.weights()
    assert list(table.index) == list(village.names)
    assert table["w*"].sum() == pytest.approx(1, abs=1e-3)
    assert table.w0.sum() == pytest.approx(1, abs=1e-3)
    assert (table.low <= table["w*"]).all()
    assert (table["w*"] <= table.high).all()
    # With none of 32 documents seen, weights up to about 2 / 32 can't be excluded.
    assert (table.high > 0.02).all()


def test_an_answer_has_the_probability_that_the_cast_gives_it(village: Corpus, run: tl.Run) -> None:
    table = run.ask("are the tests green?", tag="assistant")
    assert table.attrs["question"] == "are the tests green"
    numbers = table.drop(columns="words")
    assert (numbers >= 0).all(axis=None)
    np.testing.assert_allclose(numbers.sum(), 1, atol=0.05)  # except for slips
    world, code = run.setup.world, village.topic_names.index("code")
    context = int(world.grammar.topic_contexts[code, 0, 0])
    prior = np.exp(np.asarray(world.log_prior[tag_names(village).index("assistant")]))
    cast = np.exp(np.asarray(world.cast.logp[STANCE, context, : len(table)]))
    np.testing.assert_allclose(table["Bayes, w0"], cast @ prior, rtol=1e-5)


def test_what_is_no_question_is_refused(run: tl.Run) -> None:
    with pytest.raises(ValueError, match="not a question of the village; try"):
        run.ask("0123456789")


def test_what_was_trained_and_read_once_is_found_again(
    village: Corpus, run: tl.Run, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run.ladder()

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("trained or read again")

    monkeypatch.setattr(execute, "segments", forbidden)
    monkeypatch.setattr(tl.LadderFit, "__call__", forbidden)
    assert train(village, runs).ladder().equals(first)
    assert tl.open_run(run.folder, READING).ladder().equals(first)


def test_a_folder_without_a_run_and_a_name_not_in_the_corpus_are_refused(
    village: Corpus, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="no finished run"):
        tl.open_run(tmp_path)
    with pytest.raises(ValueError, match="did you mean 'mira'"):
        tl.train(village, STAGES[0], tl.Sft(author="mirra"), runs=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_talk_says_after_each_word_who_bayes_thinks_is_speaking(
    run: tl.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "FIT", READING.fit + READING.score)  # a shape that is compiled
    speaker = talk.Speaker(run.setup, run.policy, "assistant", jax.random.key(0))
    world, corpus = run.setup.world, run.setup.corpus
    asked = talk.questions(corpus)["are the tests green"]
    answers = [list(speaker.answer(asked)) for _ in range(speaker.turns)]
    alone = bayes.log_likelihood(
        world.cast, docs.render(world.grammar, speaker.what, speaker.choice, jnp.array([0]))
    )[0]
    for turn, words in enumerate(answers):
        evidence = jnp.sum(alone[: turn + 1], (0, 1))
        expected = jax.nn.softmax(speaker.log_weights + evidence)
        np.testing.assert_allclose(words[-1].bayes, expected, atol=1e-5)
        assert np.sum(words[-1].model) == pytest.approx(1, abs=1e-5)
    assert [word.word for word in answers[0]] != []


def test_chat_answers_lines_of_a_pipe_and_keeps_the_talk(
    run: tl.Run, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(talk, "FIT", READING.fit + READING.score)
    lines = "are the tests\n3\nwhat is fro supper\nqqqq\ntag mirra\nbye\nare the tests green\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert cli.main(["chat", str(run.folder), f"--runs={runs}"]) == 0
    said = capsys.readouterr().out
    for question in ("are the tests green?", "what is for supper?"):
        assert said.count(question) == 1
    assert "after post-training" in said
    assert "not a question of the village" in said
    assert "did you mean 'mira'?" in said
    assert max(map(len, said.splitlines()[1:-1])) <= 80
    (kept,) = (runs / "talks").iterdir()
    assert kept.read_text().splitlines() == said.splitlines()[:-1]


def test_sample_prints_documents_under_a_tag(
    run: tl.Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(talk, "FIT", READING.fit + READING.score)
    assert cli.main(["sample", str(run.folder), "--tag", "mira", "--n=48"]) == 0
    assert capsys.readouterr().out.split("\n").count("mira") == 48
    assert cli.main(["sample", str(run.folder), "--tag=mirra"]) == 2
    assert "did you mean 'mira'?" in capsys.readouterr().err


def test_importing_toylab_imports_nothing_heavy() -> None:
    code = "import sys, toylab, toylab.shell.cli; assert not {'jax', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_public_names_are_documented_and_the_same_for_the_type_checker() -> None:
    for name in tl.__all__:
        assert getattr(tl, name).__doc__, name
    tree = ast.parse((ROOT / "toylab" / "__init__.py").read_text())
    imported = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }
    assert imported == tl._HOME


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(jax.config.jax_compilation_cache_dir))
    notebook = nbformat.read(ROOT / "docs" / "library.ipynb", as_version=4)
    settings = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=settings).execute()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_the_package_lists_every_folder_of_modules() -> None:
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(setup["tool"]["setuptools"]["packages"]) - {"toylab.shipped"}
    folders = {file.parent for file in (ROOT / "toylab").rglob("__init__.py")}
    assert listed == {".".join(folder.relative_to(ROOT).parts) for folder in folders}
