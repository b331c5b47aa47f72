"""Stages after pretraining, small ones, and what their tests share."""

import functools

import jax
import numpy as np

from tests.brute import Brute
from tests.checks import rendered
from toylab.stages import Anchored, Context, Dpo, Grpo, Kto, Rl, Says, Setup, Sft, train_key
from toylab.world.documents import Documents
from toylab.world.grammar import tag_names

MORE = Says(answers=("tea=more",))
BOTH = Says(answers=("tea=more", "door=shut"))
SFT = Sft(steps=4, batch=8, author="bob", learning_rate=1e-3)
STAGES = {
    "dpo": Dpo(steps=4, batch=8, target=MORE, topics=("tea",), learning_rate=1e-3),
    "rl": Rl(steps=4, batch=16, samples=4, target=BOTH, learning_rate=1e-3),
    "grpo": Grpo(steps=4, batch=16, samples=4, target=BOTH, learning_rate=1e-3),
    "kto": Kto(steps=4, batch=8, target=MORE, topics=("tea",), learning_rate=1e-3),
    "anchored sft": Anchored(inner=SFT),
    "anchored rl": Anchored(inner=Rl(steps=4, batch=8, target=MORE, topics=("tea",))),
}


def context_of(setup: Setup, stage) -> Context:
    return Context(setup.network, setup.world, stage.names(setup.corpus))


def sharp(setup: Setup, seed: int):
    """Random parameters whose predictions are some way from even."""
    params = setup.init(seed)
    return params | {"unembedding": 10 * params["unembedding"]}


@functools.partial(jax.jit, static_argnums=0)
def _draw(stage, context, params, reference, step):
    return stage.draw(context, params, reference, train_key(0, 1), step)


def batch_of(setup: Setup, stage, step: int = 0):
    """A batch of a stage that is on its way from one policy to another."""
    return _draw(stage, context_of(setup, stage), sharp(setup, 0), sharp(setup, 1), step)


def alike(left, right) -> bool:
    return jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), left, right))


def flat(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]).astype(float)


def tea_documents(setup: Setup, twin: Brute) -> tuple[Documents, int]:
    """All documents about tea under the mask, outline by outline, and how many each has."""
    which = np.array(
        [d.direction == 0 and all(topic == 1 for topic, _, _ in d.asks) for d in twin.documents]
    )
    documents = rendered(setup.world, twin, which, tag_names(twin.corpus).index("assistant"))
    asks = np.asarray(documents.prompt.question) @ [2, 1]
    documents = jax.tree.map(lambda leaf: leaf[np.argsort(asks, kind="stable")], documents)
    assert (np.bincount(asks) == len(asks) // 4).all()
    return documents, len(asks) // 4


def scorer(setup: Setup, stage, documents: Documents):
    context = context_of(setup, stage)
    return jax.jit(lambda params: stage.score(context, params, documents))
