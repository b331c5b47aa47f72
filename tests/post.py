"""Stages after pretraining, small ones, and what their tests share."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from tests.brute import Brute
from tests.checks import rendered
from toylab.policy import sampling
from toylab.stages import (
    Anchored,
    Context,
    Dpo,
    Grpo,
    Kto,
    Pretrain,
    Rl,
    Says,
    Setup,
    Sft,
    begin,
    segments,
    train_key,
)
from toylab.world import bayes
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
    """Random parameters whose predictions are not nearly uniform."""
    params = setup.init(seed)
    return params | {"unembedding": 10 * params["unembedding"]}


@functools.partial(jax.jit, static_argnums=0)
def _draw(stage, context, params, reference, step):
    return stage.draw(context, params, reference, train_key(0, 1), step)


@functools.cache
def young(setup: Setup, seed: int):
    """Parameters after a little pretraining: most documents that they write follow the grammar."""
    stage = Pretrain(steps=60, batch=32)
    state = begin(setup, stage, setup.init(seed))
    ((state, _),) = segments(setup, stage, state, train_key(seed, 0), [60])
    return state.params


def batch_of(setup: Setup, stage, step: int = 0, policy=sharp):
    """A batch of a stage whose policy has moved away from its start."""
    return _draw(stage, context_of(setup, stage), policy(setup, 0), policy(setup, 1), step)


def alike(left, right) -> bool:
    return jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), left, right))


def flat(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]).astype(float)


def tea_documents(setup: Setup, twin: Brute) -> tuple[Documents, int]:
    """All documents about tea under the mask, prompt by prompt, and how many each has."""
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


def writer(setup: Setup, stage, documents: Documents):
    """log-probability of each document if the policy is constrained to the grammar."""
    context, grammar = context_of(setup, stage), setup.world.grammar

    @jax.jit
    def of(params):
        logits = context.logits(params, documents.tokens)
        logp = sampling.read(grammar, documents, logits).logp
        taken = bayes.decisions(grammar, documents).taken
        return jnp.sum(jnp.where(taken, logp, 0.0), (1, 2, 3, 4))

    return of


class Free:
    """All that an unconstrained policy can write: each document, complete or cut at one of its N
    words, where it leaves the grammar. Axes: E = 1 + N ends, D documents."""

    def __init__(self, setup: Setup, stage, documents: Documents):
        self.setup, self.documents, self.context = setup, documents, context_of(setup, stage)
        self.stage, self.at = stage, bayes.decisions(setup.world.grammar, documents)
        exists = jnp.any(self.at.taken, -1)
        count = exists[0].size
        words = exists.reshape(len(exists), count).T
        self.possible = jnp.concatenate([jnp.ones((1, len(exists)), bool), words])
        place = jnp.eye(1 + count, count, -1).reshape(1 + count, 1, *exists.shape[1:])
        self.left = (place > 0) & exists

    def words(self, params):
        """log-probability of every word [E, D, N], and whether it exists."""
        return jax.lax.map(
            lambda left: self.stage.words(self.context, params, self.documents, left), self.left
        )

    def chance(self, params):
        """Probability of each end [E, D]. Documents with the same cut share it, in proportion to
        their continuations."""
        logits = self.context.logits(params, self.documents.tokens)
        held = sampling.read(self.setup.world.grammar, self.documents, logits).logp
        held = jnp.sum(jnp.where(self.at.taken, held, 0.0), -1).reshape(len(logits), -1).T
        after = jnp.cumsum(held[::-1], 0)[::-1]
        after = jnp.concatenate([jnp.zeros((1, len(logits))), after])
        logp = jnp.sum(self.words(params)[0], -1)
        return jnp.where(self.possible, jnp.exp(logp + jax.lax.stop_gradient(after)), 0.0)
