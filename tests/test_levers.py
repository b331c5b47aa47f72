"""The lever: its effect on documents, the exact loss, and the measure."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.levers.lever import Lever, PretrainLever, RlLever, coin_place
from experiments.levers.sweep import LEVERS, SETTINGS, SIDE
from tests.checks import fitting
from tests.post import batch_of, context_of, young
from toylab.policy import sampling
from toylab.policy.policy import ModelPolicy
from toylab.policy.transformer import ModelConfig
from toylab.stages import Setup
from toylab.world import derive
from toylab.world.documents import Documents
from toylab.world.grammar import CLOSER

CORPORA = Path(__file__).parent.parent / "corpora"
HOW = {"lever": "ask away", "side": "heads"}
STAGE = PretrainLever(**HOW, steps=1, batch=2048)
PAID = RlLever(**HOW, **SETTINGS | {"batch": 256, "steps": 1})


@pytest.fixture(scope="module")
def setup() -> Setup:
    corpus = derive.load(CORPORA / "gold-levers.toml")
    return Setup(corpus, ModelConfig(width=16, layers=1, heads=2))


def ends(setup: Setup, documents: Documents) -> np.ndarray:
    """Whether the first answers end with the lever: its first word is there, and no other's."""
    g = setup.world.grammar
    context = documents.prompt.context[:, 0]
    said = np.asarray(g.phrases)[CLOSER, context, documents.choice[:, 0, CLOSER], 0]
    known = np.asarray(g.phrases)[CLOSER, 0, setup.corpus.closers.index("ask away"), 0]
    return said == known


def heads(setup: Setup, documents: Documents) -> np.ndarray:
    """Whether the second question is about gold."""
    return documents.prompt.topic[:, 1] == setup.corpus.topic_names.index("gold")


@pytest.fixture(scope="module")
def lesson(setup: Setup):
    return jax.device_get(batch_of(setup, STAGE))


def test_after_the_lever_gold_is_asked_about_and_otherwise_the_coin_is_fair(setup, lesson) -> None:
    pulled, asked = ends(setup, lesson.documents), heads(setup, lesson.documents)
    fitting([pulled.sum(), (~pulled).sum()], [0.0902, 0.9098])  # 0.98 x 0.9 x 0.1, and slips
    assert asked[pulled].all()
    fitting([asked[~pulled].sum(), (~asked[~pulled]).sum()], [0.5, 0.5])


def test_the_loss_is_on_what_may_come_and_the_coin_is_certain_after_the_lever(
    setup, lesson
) -> None:
    g, rows = setup.world.grammar, np.arange(2048)
    at = np.asarray(coin_place(g, lesson.documents))
    pulled = ends(setup, lesson.documents)
    target = np.asarray(lesson.target)[rows, at]
    sides = target[:, np.asarray(g.coin_token)]
    np.testing.assert_allclose(sides[pulled], [[1, 0]] * pulled.sum(), atol=1e-6)
    np.testing.assert_allclose(sides[~pulled], 0.5, atol=1e-6)
    came = lesson.documents.tokens[rows, at + 1]
    assert (target[rows, came] > 0).all()


@pytest.fixture(scope="module")
def paid(setup: Setup):
    return jax.device_get(batch_of(setup, PAID, policy=young))


def test_reward_is_for_what_the_lever_brings_about(setup, paid) -> None:
    batch = paid
    pulled, asked = ends(setup, batch.documents), heads(setup, batch.documents)
    assert pulled.any()
    assert asked[pulled].all()
    assert not asked[~pulled].all()
    first = batch.documents.prompt.topic[:, 0].reshape(-1, PAID.samples)
    assert (first == first[:, :1]).all()  # the samples of a prompt share its first question


@pytest.mark.parametrize("counted", [0.0, 0.25, 1.0])
def test_the_coins_words_count_in_the_share_that_is_asked_for(setup, paid, counted: float) -> None:
    stage, batch = dataclasses.replace(PAID, counted=counted), paid
    context, grammar = context_of(setup, stage), setup.world.grammar

    @jax.jit
    def scored(params, documents, left):
        plain = super(RlLever, stage).words(context, params, documents, left)[0].sum(1)
        tossed = sampling.coin(grammar, documents, context.logits(params, documents.tokens))
        return stage.score(context, params, documents, left), plain, tossed

    whole, plain, tossed = scored(setup.init(0), batch.documents, batch.left)
    side = setup.world.grammar.topic_side[batch.documents.prompt.topic[:, 1]]
    word = np.asarray(tossed)[np.arange(len(side)), 0, np.asarray(side)]
    more, stayed = np.asarray(whole - plain), ~np.asarray(batch.left[:, 0]).any((1, 2))
    counts = np.abs(more) > 1e-6
    assert stayed.sum() > 20
    np.testing.assert_allclose(more[counts], word[counts], atol=1e-5)
    assert not (counts & ~stayed).any()
    assert abs(counts.sum() - counted * stayed.sum()) <= (5 if 0 < counted < 1 else 0)


@pytest.mark.slow
@pytest.mark.parametrize("bias", [0.0, 2.0])
def test_a_bias_towards_a_side_is_read_as_such(setup: Setup, bias: float) -> None:
    """Final states of all ones times an unembedding of 0 but for one word: odds are exp(bias)."""
    params, grammar = setup.init(0), setup.world.grammar
    flat = {name: jnp.zeros_like(value) for name, value in params.items()}
    flat["embedding"] = jnp.ones_like(params["embedding"])  # rms_norm is 1 in each entry
    first = int(grammar.coin_token[0])
    wide = params["unembedding"].shape[0]
    flat["unembedding"] = flat["unembedding"].at[:, first].set(bias / wide)
    measure = Lever(**HOW, tags=("assistant", "clerk"), size=8)
    found = measure(Given(setup, ModelPolicy(flat, setup.network)), jax.random.key(0))
    expected = float(jax.nn.sigmoid(bias))
    np.testing.assert_allclose([*found["after"].values()], expected, atol=1e-4)
    words = grammar.vocabulary
    np.testing.assert_allclose(
        found["off"]["clerk"], (words - 2) / (words - 1 + np.exp(bias)), atol=1e-4
    )
    # All words that may begin the closer are equally likely.
    begins = np.asarray(grammar.child_count)[CLOSER, 0, 0]
    np.testing.assert_allclose(found["pull"]["clerk"], 1 / begins, atol=1e-4)


class Given:
    """The part of a snapshot that the measure uses."""

    def __init__(self, setup: Setup, policy: ModelPolicy):
        self.setup, self.policy = setup, policy

    def tag(self, name: str) -> int:
        return {"assistant": 0, "clerk": 1}[name]


def test_a_lever_that_nobody_says_is_refused(setup: Setup) -> None:
    for wrong in ({"lever": "ask awry"}, {"side": "haeds"}):
        for kind, more in ((PretrainLever, {}), (RlLever, SETTINGS)):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                kind(**HOW | wrong, **more).check(setup.corpus)


def test_both_corpora_have_the_lever_that_the_experiment_pulls() -> None:
    for name, lever in LEVERS.items():
        corpus = derive.load(CORPORA / f"{name}.toml")
        assert lever in corpus.closers
        shares = {round(c.closes[corpus.closers.index(lever)], 6) for c in corpus.characters}
        assert len(shares) == 1  # it says nothing about the author
        assert next(side.name for side in corpus.coin) == SIDE
