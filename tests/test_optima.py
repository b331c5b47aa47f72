"""Gradients and optima of post-training, against sums over everything.

A *tabular* policy is a cast of one atom whose tables are free; the losses take log-probabilities,
so they can't tell it from a transformer.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize

from tests import oracle
from tests.brute import Brute
from tests.checks import rendered, same
from tests.post import (
    BOTH,
    MORE,
    SFT,
    Free,
    batch_of,
    context_of,
    flat,
    scorer,
    sharp,
    tea_documents,
    writer,
    young,
)
from toylab.stages import Anchored, Dpo, Grpo, Kto, Rl, Setup, losses, train_key
from toylab.stages.anchored import Held
from toylab.stages.targets import rewards
from toylab.world import bayes
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.tables import Cast

BETA = 0.5

# ------------------------------------------------------------------------------ gradients, values


def agrees(setup: Setup, stage, exact, steps: int = 40, later=None, policy=sharp) -> None:
    """Compares gradients on drawn batches with the exact one, along it and in random directions.

    They are taken at the parameters that drew the batch, or at `later` ones.
    """
    context, params, reference = context_of(setup, stage), policy(setup, 0), policy(setup, 1)
    later = later or params

    @jax.jit
    def sampled(step):
        batch = stage.draw(context, params, reference, train_key(0, 1), step)
        return jax.grad(lambda p: stage.loss(context, p, batch)[0])(later)

    wanted = flat(jax.jit(jax.grad(exact))(later))
    got = np.array([flat(sampled(step)) for step in range(steps)])
    along = wanted / np.linalg.norm(wanted)
    others = np.random.default_rng(0).normal(size=(20, len(wanted)))
    directions = np.concatenate([along[None], others])
    projected = (got - wanted) @ directions.T
    error = projected.std(0, ddof=1) / np.sqrt(steps)
    assert error[0] < 0.03 * np.linalg.norm(wanted)  # sharp enough to see an error of a tenth
    assert np.abs(projected.mean(0) / error).max() < 4


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_the_gradient_of_rl_is_that_of_the_expected_return(setup: Setup, twin: Brute, beta) -> None:
    stage = Rl(batch=1024, samples=4, target=MORE, topics=("tea",), beta=beta)
    documents, size = tea_documents(setup, twin)
    free = Free(setup, stage, documents)
    reward = rewards(MORE.arrays(twin.corpus), documents).sum(1)
    earned = jnp.zeros(free.possible.shape).at[0].set(reward)  # no reward outside the grammar
    reference = jax.jit(lambda params: free.words(params)[0])(young(setup, 1)).sum(-1)
    chance = jax.jit(free.chance)(young(setup, 0))
    same(chance.reshape(-1, 4, size).sum((0, 2)), np.ones(4), 1e-4)
    assert 0.1 < chance[0].sum() / 4 < 0.9

    def exact(params):
        ratio = jnp.sum(free.words(params)[0], -1) - reference
        return -jnp.sum(free.chance(params) * (earned - beta * ratio)) / 4

    agrees(setup, stage, exact, policy=young)


@pytest.mark.slow
def test_the_gradient_of_dpo_is_that_of_the_expected_loss(setup: Setup, twin: Brute) -> None:
    stage = Dpo(batch=1024, target=MORE, topics=("tea",), beta=0.5)
    documents, size = tea_documents(setup, twin)
    score = scorer(setup, stage, documents)
    reward = rewards(MORE.arrays(twin.corpus), documents).sum(1).reshape(4, size)
    reference = score(sharp(setup, 1)).reshape(4, size)
    written = writer(setup, stage, documents)(sharp(setup, 1)).reshape(4, size)

    def exact(params):
        ratio = score(params).reshape(4, size) - reference
        chance = jnp.exp(written[:, :, None] + written[:, None, :])
        preferred = jax.nn.sigmoid(reward[:, :, None] - reward[:, None, :])
        loss = -jax.nn.log_sigmoid(0.5 * (ratio[:, :, None] - ratio[:, None, :]))
        return 2 * jnp.sum(chance * preferred * loss) / 4  # either may be the preferred one

    agrees(setup, stage, exact)


@pytest.mark.slow
@pytest.mark.parametrize("moved", [0.0, 0.1], ids=["first update", "later update"])
def test_the_gradient_of_grpo_is_that_of_the_expected_loss(
    setup: Setup, twin: Brute, moved: float
) -> None:
    """Groups of two, so that the better answer has an advantage of 1 and the other of -1."""
    stage = Grpo(batch=1024, samples=2, target=MORE, topics=("tea",), beta=0.3, clip=0.1)
    documents, size = tea_documents(setup, twin)
    free, drew = Free(setup, stage, documents), young(setup, 0)

    def by_question(each):
        return jnp.moveaxis(each.reshape(-1, 4, size), 1, 0).reshape(4, -1)

    words = jax.jit(lambda params: free.words(params)[0])
    (old, counted), reference = jax.jit(free.words)(drew), words(young(setup, 1))
    chance = by_question(jax.jit(free.chance)(drew))
    same(chance.sum(1), np.ones(4), 1e-4)
    reward = rewards(MORE.arrays(twin.corpus), documents).sum(1)
    reward = by_question(jnp.zeros(free.possible.shape).at[0].set(reward))

    def likely(above):
        """For each document, P(its reward is `above` that of the other document of its pair)."""
        pairs = zip(reward, chance, strict=True)
        return jnp.stack([jnp.sum(jnp.where(above(r[:, None], r), c, 0), 1) for r, c in pairs])

    better, worse = likely(jnp.greater), likely(jnp.less)

    def exact(params):
        logp = words(params)
        ratio, gap = jnp.exp(logp - old), reference - logp
        kl = jnp.exp(gap) - gap - 1

        def mean(each):
            total = jnp.sum(jnp.where(counted, each, 0), -1) / jnp.maximum(counted.sum(-1), 1)
            return by_question(total)

        gain = better * mean(jnp.minimum(ratio, 1.1)) - worse * mean(jnp.maximum(ratio, 0.9))
        return -jnp.sum(chance * (gain - 0.3 * mean(kl))) / 4

    other = young(setup, 2)
    later = {name: value + moved * other[name] for name, value in drew.items()}
    if moved:
        ratio = jnp.exp(words(later) - old)
        assert jnp.mean(((ratio > 1.1) | (ratio < 0.9))[counted]) > 0.03
    agrees(setup, stage, exact, later=later, policy=young)


@pytest.mark.slow
def test_the_gradient_of_kto_is_that_of_the_expected_loss(setup: Setup, twin: Brute) -> None:
    weights = {"desirable": 1.0, "undesirable": 1.5}
    stage = Kto(batch=1024, target=MORE, topics=("tea",), beta=0.5, level=0.7, **weights)
    documents, _ = tea_documents(setup, twin)
    score, written = (each(setup, stage, documents) for each in (scorer, writer))
    reward = rewards(MORE.arrays(twin.corpus), documents).sum(1)
    reference, now = score(sharp(setup, 1)), score(sharp(setup, 0))
    first, own = (jnp.exp(written(sharp(setup, seed))) for seed in (1, 0))
    divergence = jnp.sum(own * (now - reference)) / 4
    assert divergence > 0.05

    def exact(params):
        gain = 0.5 * (score(params) - reference - divergence)
        good = jax.nn.sigmoid(reward - 0.7)
        loss = good * jax.nn.sigmoid(-gain) + 1.5 * (1 - good) * jax.nn.sigmoid(gain)
        return jnp.sum(first * loss) / 4

    agrees(setup, stage, exact)


def test_the_anchor_is_the_divergence_from_the_reference(setup: Setup, twin: Brute) -> None:
    """Here it is summed over all documents, weighted by the reference."""
    stage = Anchored(inner=SFT, beta=3.0)
    context, documents = context_of(setup, stage), tea_documents(setup, twin)[0]
    inner = batch_of(setup, SFT)
    written = writer(setup, Dpo(target=MORE), documents)
    params, reference = sharp(setup, 0), sharp(setup, 1)
    p, q = (np.asarray(written(each), float) for each in (reference, params))
    weight, wanted = np.exp(p) / 4, np.sum(np.exp(p) / 4 * (p - q))

    @jax.jit
    def losses_of(document):
        one = jax.tree.map(lambda leaf: leaf[None], document)
        batch = Held(inner, one, stage._branches(context, reference, one))
        loss, metrics = stage.loss(context, params, batch)
        return metrics["anchor"], loss - metrics["inner_loss"]

    each, total = jax.lax.map(losses_of, documents)
    same(weight @ np.asarray(each, float), wanted, 1e-4)
    same(total, 3 * each, 1e-4)
    assert wanted > 0.05


# ------------------------------------------------------------------- a tabular policy finds π*


def tabular(theta) -> Cast:
    return Cast(logp=jax.nn.log_softmax(theta, 2)[..., None], prefix_logp=jnp.zeros(()))


def start(setup: Setup):
    """The reference: the mean of the cast, independently for each slot."""
    logp = jax.nn.logsumexp(setup.world.cast.logp, -1)
    return jnp.where(jnp.isfinite(logp), logp, -1e9)


def table_logp(theta, documents: Documents):
    return jnp.sum(bayes.log_likelihood(tabular(theta), documents)[..., 0], (1, 2))


def dpo_table_loss(setup: Setup, names, theta, reference, key):
    keys = jax.random.split(key, 3)
    what = docs.prompt(setup.world, keys[0], 1024, tag=0, direction=0)
    what = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), what)
    documents = table_answers(setup, reference, what, keys[1])
    ratio = table_logp(theta, documents) - table_logp(reference, documents)
    (a, b), (r, s) = ratio.reshape(2, -1), rewards(names, documents).sum(1).reshape(2, -1)
    first = jax.random.bernoulli(keys[2], jax.nn.sigmoid(r - s))
    return losses.dpo_loss(jnp.where(first, a, b), jnp.where(first, b, a), BETA)


def rl_table_loss(setup: Setup, names, theta, reference, key):
    keys = jax.random.split(key)
    what = docs.prompt(setup.world, keys[0], 128, tag=0, direction=0)
    what = jax.tree.map(lambda leaf: jnp.repeat(leaf, 8, 0), what)
    documents = table_answers(setup, theta, what, keys[1])
    logp = table_logp(theta, documents)
    ratio = jax.lax.stop_gradient(logp) - table_logp(reference, documents)
    returns = rewards(names, documents).sum(1) - BETA * ratio
    return losses.rloo_loss(logp.reshape(-1, 8), returns.reshape(-1, 8))


def table_answers(setup: Setup, theta, what, key) -> Documents:
    who = jnp.zeros(len(what.tag), jnp.int32)
    choice = docs.speak(tabular(theta), key, what.context, who)
    return docs.render(setup.world.grammar, what, choice, who)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [rl_table_loss, dpo_table_loss], ids=["rl", "dpo"])
def test_a_tabular_policy_converges_to_the_tilted_reference(
    setup: Setup, twin: Brute, loss
) -> None:
    """π* ∝ π_ref · exp(reward / β), with the policy's own start as reference."""
    names, reference, steps = BOTH.arrays(twin.corpus), start(setup), 1500
    optimiser = optax.adam(optax.cosine_decay_schedule(0.05, steps))

    def one(carry, step):
        theta, state = carry
        slope = jax.grad(lambda t: loss(setup, names, t, reference, jax.random.key(step)))(theta)
        updates, state = optimiser.update(slope, state)
        return (optax.apply_updates(theta, updates), state), None

    run = jax.jit(
        lambda theta: jax.lax.scan(one, (theta, optimiser.init(theta)), jnp.arange(steps))
    )
    (theta, _), _ = run(reference)
    for asks in itertools.product([(0, 0, 0), (0, 0, 1), (1, 0, 0)], repeat=2):
        documents = rendered(setup.world, twin, twin.prompt(0, asks))
        before, after = (np.asarray(table_logp(t, documents)) for t in (reference, theta))
        best = oracle.tilt(before, rewards(names, documents).sum(1), BETA)
        same(np.exp(after).sum(), 1, 1e-4)
        assert 0.5 * np.abs(np.exp(after) - np.exp(best)).sum() <= 0.02
        assert 0.5 * np.abs(np.exp(before) - np.exp(best)).sum() > 0.3


def test_soft_values_when_later_questions_are_not_known() -> None:
    """Two turns, each with one of two questions and three answers; the reference remembers."""
    generator = np.random.default_rng(0)
    beta, first = 0.5, jax.nn.log_softmax(jnp.array(generator.normal(size=(2, 3))))
    second = jax.nn.log_softmax(jnp.array(2 * generator.normal(size=(2, 3, 2, 3))))
    early, late = (jnp.array(generator.normal(size=p.shape)) for p in (first, second))
    payoff = early + jnp.mean(oracle.soft_value(second, late, beta), -1)
    value = jnp.mean(oracle.soft_value(first, payoff, beta))
    best = oracle.tilt(first, payoff, beta), oracle.tilt(second, late, beta)

    def expected(one, two):
        """E[reward] − β KL, question by question and answer by answer."""
        total = 0.0
        for q, a, r, b in np.ndindex(second.shape):
            chance = jnp.exp(one[q, a] + two[q, a, r, b]) / 4
            ratio = one[q, a] - first[q, a] + two[q, a, r, b] - second[q, a, r, b]
            total += chance * (early[q, a] + late[q, a, r, b] - beta * ratio)
        return total

    same(expected(*best), value, 1e-5)

    @jax.jit
    @jax.value_and_grad
    def objective(raw):
        one, two = raw[:6].reshape(2, 3), raw[6:].reshape(second.shape)
        return -expected(jax.nn.log_softmax(one), jax.nn.log_softmax(two))

    def cost(raw):
        score, slope = objective(jnp.asarray(raw, jnp.float32))
        return float(score), np.asarray(slope, float)

    found = scipy.optimize.minimize(cost, np.zeros(42), jac=True, method="L-BFGS-B")
    same(-found.fun, value, 1e-4)
    got = jax.nn.softmax(jnp.asarray(found.x[:6], jnp.float32).reshape(2, 3))
    same(got, jnp.exp(best[0]), 0.01)
    # A policy that also knew the second question could do better.
    earned = early[:, :, None] + oracle.soft_value(second, late, beta)
    known = oracle.soft_value(
        jnp.moveaxis(first[:, :, None], 1, 2), jnp.moveaxis(earned, 1, 2), beta
    )
    assert jnp.mean(known) > value + 1e-3
