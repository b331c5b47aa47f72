"""Outside policies are read unchanged."""

import re
import sys
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute, checks
from tests.brute import Brute
from toylab.ladder import outside
from toylab.ladder.families import CastPolicy, Mixture
from toylab.ladder.reading import Ladder
from toylab.policy.huggingface import of_pretrained
from toylab.policy.outside import of_logits, of_words
from toylab.policy.policy import ModelPolicy
from toylab.policy.sampling import Given
from toylab.stages import Setup
from toylab.world import documents as docs
from toylab.world import tables
from toylab.world.derive import load
from toylab.world.grammar import tag_names, vocabulary
from toylab.world.schema import Corpus
from toylab.world.text import decode, encode

FEW = Ladder(fit=32, held_out=32, score=32)  # as in other tests: compiled once
ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "outside_policy.md"


class Bayes:
    """The best prediction of the next word, given the cast, without toylab's tables.

    It sums over all documents that a character may write.
    """

    def __init__(self, twin: Brute, tag: str):
        prior = brute.tag_prior(twin.corpus, tag)
        self.told: dict[tuple[str, ...], dict[str, float]] = {}
        chance = twin.asked * (twin.likelihood @ prior)
        for document, likelihood in zip(twin.documents, chance, strict=True):
            words = (tag, *document.words)
            for n in range(1, len(words)):
                after = self.told.setdefault(tuple(words[:n]), {})
                after[words[n]] = after.get(words[n], 0.0) + likelihood

    def next_word(self, words):
        found = self.told[tuple(words)]
        total = sum(found.values())
        return {word: p / total for word, p in found.items()}


def test_a_network_behind_the_door_reads_as_the_network_itself(setup: Setup) -> None:
    params = checks.spiky(setup)
    inside = ModelPolicy(params, setup.network)
    forward = jax.jit(lambda tokens: setup.network.apply(params, tokens)[0])
    policy = of_logits(lambda tokens: np.asarray(forward(tokens)))
    through, direct = (
        outside.ladder(setup.corpus, each, pretrained=each, settings=FEW)
        for each in (policy, inside)
    )
    assert direct.keys() == through.keys() == {"exact", "learned", "outside", "items"}
    for cast in ("exact", "learned"):
        for name, value in direct[cast].items():
            assert through[cast][name] == pytest.approx(value, abs=1e-4), (cast, name)
    assert through["outside"] == pytest.approx(direct["outside"], abs=1e-6)
    assert through["items"] == pytest.approx(direct["items"], abs=1e-6)
    assert direct["exact"]["F4 flat"] > 0.01


def test_bayes_in_plain_python_leaves_nothing_unexplained(tiny: Corpus, twin: Brute) -> None:
    found = outside.ladder(tiny, of_words(tiny, Bayes(twin, "assistant")), settings=FEW)
    assert abs(found["exact"]["F0"]) < 1e-5
    assert found["outside"] < 1e-6


class Elsewhere(Bayes):
    """The same, but with probability .5 the next word is not one of the corpus."""

    def next_word(self, words):
        found = {word: p / 2 for word, p in super().next_word(words).items()}
        return found | {"unheard-of": 0.5}


def test_words_that_the_corpus_lacks_are_off_the_grammar(tiny: Corpus, twin: Brute) -> None:
    found = outside.ladder(tiny, of_words(tiny, Elsewhere(twin, "assistant")), settings=FEW)
    assert found["outside"] == pytest.approx(0.5, abs=1e-6)
    assert abs(found["exact"]["F0"]) < 1e-5


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"well": 1.5}, "not a distribution"),
        ({"well": -0.5}, "not a distribution"),
        ([0.5, 0.5], "needed"),
    ],
    ids=["too much", "negative", "too short"],
)
def test_what_is_no_distribution_is_refused(setup: Setup, said, complaint: str) -> None:
    class Wrong:
        def next_word(self, words):
            return said

    what = docs.prompt(setup.world, jax.random.key(0), 32)
    with pytest.raises(ValueError, match=complaint):
        of_words(setup.corpus, Wrong()).answer(setup.world.grammar, what, jax.random.key(1))


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_missing_extra_is_named(
    tiny: Corpus, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))  # else it may be missing, too
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"^.*{package}.*: pip install 'toylab\[hf\]'.*$"):
        of_pretrained(tiny, "anywhere")


def test_given_answers_are_kept(setup: Setup) -> None:
    """The first turn is the one that was given; the policy writes the rest."""
    g, key = setup.world.grammar, jax.random.key(0)
    what = docs.prompt(setup.world, key, 32, tag=len(tag_names(setup.corpus)) - 1)
    policy = of_logits(lambda tokens: np.zeros((*tokens.shape, g.vocabulary)))
    exact = CastPolicy(setup.world.cast, Mixture(setup.world.log_prior[-1]))
    put = checks.fresh(lambda what: exact.answer(g, what, key)[0])(what)
    found, _ = policy.answer(g, what, key, Given(put.choice, jnp.ones(32, int)))
    np.testing.assert_array_equal(found.choice[:, 0], put.choice[:, 0])
    assert np.any(np.asarray(found.choice[:, 1]) != np.asarray(put.choice[:, 1]))


# ------------------------------------------------------------------------------------------ text


@pytest.mark.parametrize("name", ["village", "gold-herald", "gold-levers"])
def test_text_reads_as_the_documents_it_was_written_from(name: str) -> None:
    corpus = load(ROOT / "corpora" / f"{name}.toml")
    world, words = tables.build(corpus), vocabulary(corpus)
    written = checks.fresh(lambda key: docs.sample(world, key, 24))(jax.random.key(0))
    again = encode(world.grammar, words, [decode(words, written, n) for n in range(24)])
    for got, wanted in zip(jax.tree.leaves(again), jax.tree.leaves(written), strict=True):
        if got.ndim > 1 or wanted is not written.author:
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("assistant", "nemo"), "document 0, word 1: 'nemo"),
        (("—", "— zounds"), "can't stand here; expected one of: well"),
        (("\n", " and on\n"), "document 0, word 2: 'and on"),
    ],
    ids=["a tag", "an answer", "a direction"],
)
def test_text_outside_the_grammar_is_refused_with_its_place(
    setup: Setup, twin: Brute, change: tuple[str, str], complaint: str
) -> None:
    @checks.fresh
    def write(key):
        return docs.write(setup.world, key, docs.prompt(setup.world, key, 1, tag=5, direction=0))

    written = write(jax.random.key(0))
    text = decode(twin.vocabulary, written, 0).replace(*change, 1)
    with pytest.raises(ValueError, match=complaint):
        encode(setup.world.grammar, twin.vocabulary, [text])


@pytest.mark.slow
def test_the_page_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(ROOT)
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S))
    space: dict = {}
    exec(compile(code, str(PAGE), "exec"), space)
    found = space["found"]
    assert found["exact"]["F2"] - found["exact"]["F3"] > 4
    assert 0 < found["outside"] < 0.02
