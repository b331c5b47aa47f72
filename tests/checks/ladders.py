"""Weights, divergences and tempering; a model's branches and what it samples."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from tests import oracle
from tests.brute import Brute
from tests.checks import ASKED, DIRECTED, fitting, fixed, fresh, rendered, same, spiky
from tests.checks.batches import _lab, logits_of
from tests.checks.beliefs import MIX, OTHER
from tests.checks.worlds import pairs_fit
from toylab.ladder import atoms, families, mixtures
from toylab.ladder.families import Mixture
from toylab.policy import sampling
from toylab.policy.policy import ModelPolicy
from toylab.stages import Setup
from toylab.world import bayes, tables
from toylab.world import documents as docs
from toylab.world import grammar as grammars
from toylab.world.documents import Documents
from toylab.world.tables import World


def planted(world: World, weights) -> families.CastPolicy:
    log_weights = jnp.log(jnp.asarray(weights, jnp.float32))
    return families.CastPolicy(world.cast, Mixture(log_weights))


def check_mixture_has_one_author_a_document(twin: Brute) -> None:
    world = tables.build(twin.corpus)
    what = fixed(world, twin, 20_000)
    mixture = planted(world, OTHER)
    answer = jax.jit(lambda key: mixture.answer(world.grammar, what, key)[0].choice)
    pairs_fit(twin, answer(jax.random.key(2)), OTHER)


def check_weights_are_certified(twin: Brute) -> None:
    """EM finds the planted weights, its gap is small and correct, and scipy can't do better."""
    world = tables.build(twin.corpus)
    what = fixed(world, twin, 8192)
    policy = planted(world, OTHER)

    @fresh
    def evidence(key):
        documents, _ = policy.answer(world.grammar, what, key)
        return bayes.document_log_likelihood(world.cast, documents)

    logp = evidence(jax.random.key(3))
    fit = fresh(mixtures.fit_weights)(logp)
    weights, logp = np.exp(np.asarray(fit.log_weights, float)), np.asarray(logp, float)
    same(weights, OTHER, 0.04)
    assert float(fit.gap) <= 1e-3
    ratio = np.exp(logp) / (np.exp(logp) @ weights)[:, None]
    same(fit.gap, ratio.mean(0).max() - 1, 1e-4)
    best = second_optimiser(logp)
    reached = [np.mean(np.log(np.exp(logp) @ w)) for w in (weights, best)]
    same(*reached, 1e-4)


def second_optimiser(logp: np.ndarray) -> np.ndarray:
    """Maximum-likelihood weights by L-BFGS on their logits, in float64."""
    likelihood = np.exp(logp - logp.max(1, keepdims=True))

    def objective(raw: np.ndarray) -> tuple[float, np.ndarray]:
        weights = np.exp(raw - raw.max())
        weights /= weights.sum()
        mixed = likelihood @ weights
        ratio = np.mean(likelihood / mixed[:, None], 0)
        return -np.mean(np.log(mixed)), -weights * (ratio - 1)

    start = np.zeros(logp.shape[1])
    raw = scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B").x
    return np.exp(raw) / np.exp(raw).sum()


def check_unexplained_is_the_divergence(twin: Brute) -> None:
    """Averaged over all documents of a prompt by their probability, KL(m_p ‖ m_q) exactly."""
    world, which = tables.build(twin.corpus), twin.prompt(DIRECTED, ASKED)
    documents = rendered(world, twin, which)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixtures, "explain", fresh(mixtures.explain))
        _scores_are_exact(world, twin, which, documents)


def _scores_are_exact(world: World, twin: Brute, which, documents: Documents) -> None:
    @fresh
    def score(p, q):
        branches = planted(world, p).branches(world.grammar, documents)
        return oracle.unexplained(world.grammar, world.cast, jnp.log(q), documents, branches)

    for p, q in ((MIX, OTHER), (OTHER, MIX), (MIX, MIX)):
        got = score(p, q)
        chance = twin.likelihood[which] @ p
        same(chance @ np.asarray(got.each, float), twin.kl(p, q, which))


def check_tempering(twin: Brute) -> None:
    world = tables.build(twin.corpus)
    cast = fresh(lambda cast: atoms.temper(world.grammar, cast, (1.0, 2.0)))(world.cast)
    p, tempered = np.exp(np.asarray(world.cast.logp, float)), np.exp(np.asarray(cast.logp, float))
    same(tempered[..., :3], p, 1e-6)
    same(np.asarray(cast.prefix_logp)[..., :3], world.cast.prefix_logp, 1e-5)
    same(tempered[..., 3:], p**2 / np.sum(p**2, 2, keepdims=True), 1e-6)


def exhaustive(setup: Setup, world: World, twin: Brute, params):
    """A model's distribution over the documents of the fixed prompt, by teacher forcing.

    Per document: (probability, {(t, s, j): (tokens, log-probabilities, outside)}), in float64,
    over the words that the twin says may follow.
    """
    which = twin.prompt(DIRECTED, ASKED)
    documents = rendered(world, twin, which, grammars.tag_names(twin.corpus).index("assistant"))
    logits = logits_of(setup, params, documents.tokens)
    out = []
    for n, d in enumerate(np.flatnonzero(which)):
        document, decisions, total = twin.documents[d], {}, 0.0
        for t, s, j in itertools.product(range(2), range(3), range(2)):
            words = np.flatnonzero(twin.following[d, t, s, j] >= 0)
            if len(words):
                position = document.starts[t][s] + j
                row = logits[n, position - 1]
                logp = row - np.log(np.exp(row).sum())
                inside = np.log(np.exp(logp[words]).sum())
                decisions[t, s, j] = words, logp[words] - inside, 1 - np.exp(inside)
                total += logp[int(documents.tokens[n, position])] - inside
        out.append((np.exp(total), decisions))
    return documents, out


def check_branches_are_the_models(twin: Brute) -> None:
    """Every decision's branches and the mass outside them, against softmaxes done by hand."""
    setup, world = _lab(twin)
    params = spiky(setup)
    documents, wanted = exhaustive(setup, world, twin, params)
    logits = logits_of(setup, params, documents.tokens)
    at = jax.tree.map(np.asarray, fresh(bayes.decisions)(world.grammar, documents))
    got = jax.tree.map(np.asarray, fresh(sampling.read)(world.grammar, documents, logits))
    for n, (_, decisions) in enumerate(wanted):
        for place in itertools.product(range(2), range(3), range(2)):
            here = (n, *place)
            allowed = at.allowed[here]
            assert allowed.any() == (place in decisions)
            if place in decisions:
                words, logp, outside = decisions[place]
                order = np.argsort(at.token[here][allowed])
                assert (at.token[here][allowed][order] == words).all()
                same(got.logp[here][allowed][order], logp, 1e-4)
                same(got.outside[here], outside, 1e-4)


def check_generation_samples_the_model(twin: Brute) -> None:
    """Samples of a constrained model, against the probability of each allowed document."""
    setup, world = _lab(twin)
    params = spiky(setup)
    documents, wanted = exhaustive(setup, world, twin, params)
    chance = np.array([p for p, _ in wanted])
    same(chance.sum(), 1.0, 1e-5)
    what = fixed(world, twin, 4096)
    write = fresh(lambda key: sampling.generate(setup.network, params, world.grammar, what, key)[0])
    said = write(jax.random.key(4))
    said, possible = (np.asarray(d.choice).reshape(-1, 6) for d in (said, documents))
    number = {tuple(row): n for n, row in enumerate(possible.tolist())}
    counts = np.bincount([number[tuple(row)] for row in said.tolist()], minlength=len(number))
    fitting(counts, chance)
    for columns in ([0, 1, 2], [3, 4, 5], [1, 4]):  # each turn, and both stances together
        _, group = np.unique(possible[:, columns], axis=0, return_inverse=True)
        fitting(np.bincount(group, counts), np.bincount(group, chance))


def check_branches_found_while_writing(twin: Brute) -> None:
    """In several parts they equal those of a single pass over what was written, with and without
    given directions and answers.
    """
    setup, world = _lab(twin)
    params, grammar, key = spiky(setup), world.grammar, jax.random.key(7)
    policy, size = ModelPolicy(params, setup.network), sampling.PART + 3
    many = jnp.arange(size) % (grammar.turns + 1)
    answer = fresh(lambda what, start: policy.answer(grammar, what, key, start))
    speak, read = fresh(docs.speak), fresh(sampling.read)
    for direction, prefilled in ((None, False), (0, False), (None, True)):
        prompt = fresh(lambda key, to=direction: docs.prompt(world, key, size, direction=to))
        what = prompt(key)
        put = speak(world.cast, key, what.context, jnp.zeros(size, int))
        start = sampling.Given(put, many) if prefilled else None
        documents, found = answer(what, start)
        logits = logits_of(setup, params, documents.tokens)
        wanted = read(grammar, documents, logits)
        real = np.isfinite(wanted.logp)
        assert (np.isfinite(found.logp) == real).all()
        same(jnp.where(real, found.logp, 0), jnp.where(real, wanted.logp, 0), 1e-5)
        same(found.outside, wanted.outside, 1e-5)
        if start:
            kept = np.arange(grammar.turns) < np.asarray(many)[:, None]
            assert (np.asarray(documents.choice)[kept] == np.asarray(put)[kept]).all()


def check_outside_by_hand(twin: Brute) -> None:
    # A uniform model over V words gives the 3, 2 or 1 allowed ones 3/V, 2/V or 1/V of its mass.
    world = tables.build(twin.corpus)
    documents = rendered(world, twin, twin.prompt(DIRECTED, ASKED))
    size = len(twin.vocabulary)
    logits = jnp.zeros((*documents.tokens.shape, size))
    at = fresh(bayes.decisions)(world.grammar, documents)
    got = fresh(sampling.read)(world.grammar, documents, logits)
    ways = np.asarray(at.allowed).sum(-1)
    assert set(np.unique(ways)) == {0, 1, 2, 3}
    same(got.outside, np.where(ways > 0, 1 - ways / size, 0.0), 1e-6)
    same(
        np.where(at.allowed, got.logp, 0),
        np.where(at.allowed, -np.log(np.maximum(ways, 1))[..., None], 0),
    )
