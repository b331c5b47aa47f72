"""Inference about the author, against sums over all documents."""

import jax.numpy as jnp
import numpy as np

from tests import brute, oracle
from tests.brute import Brute
from tests.checks import ASKED, DIRECTED, coined, fresh, rendered, same, spiky
from tests.checks.batches import _lab, logits_of
from toylab.measures import calibration
from toylab.world import bayes, tables
from toylab.world import grammar as grammars
from toylab.world.documents import Documents
from toylab.world.grammar import ANSWER, PAD
from toylab.world.tables import World


def check_log_likelihood(twin: Brute) -> None:
    world = tables.build(twin.corpus)
    documents = rendered(world, twin)
    got = fresh(bayes.document_log_likelihood)(world.cast, documents)
    same(got, np.log(twin.likelihood))
    same(fresh(oracle.question_log_likelihood)(world, documents), np.log(twin.asked))


def check_belief(twin: Brute) -> None:
    """After every word of every document, under a mask, under an even tag, under a name."""
    world = tables.build(twin.corpus)
    documents, belief = rendered(world, twin), fresh(oracle.belief)
    for tag in ("assistant", "someone", "bob"):
        prior = brute.tag_prior(twin.corpus, tag)
        row = grammars.tag_names(twin.corpus).index(tag)
        got = belief(world.grammar, world.cast, world.log_prior[row], documents)
        same(jnp.exp(got), twin.posterior(prior))


def predicted(world: World, twin: Brute, weights, documents: Documents):
    """bayes.predictive as probabilities over the whole vocabulary, and its decisions."""

    @fresh
    def read(log_weights, documents):
        at = bayes.decisions(world.grammar, documents)
        return at, bayes.predictive(world.cast, log_weights, documents, at)

    at, logp = read(np.log(weights), documents)
    token, p = np.asarray(at.token), np.where(at.allowed, np.exp(logp), 0.0)
    dense = np.zeros((*token.shape[:-1], len(twin.vocabulary)))
    for c in range(token.shape[-1]):
        np.put_along_axis(
            dense,
            token[..., c, None],
            np.take_along_axis(dense, token[..., c, None], -1) + p[..., c, None],
            -1,
        )
    return dense, logp, at


MIX, OTHER = np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.2, 0.7])


def check_predictive(twin: Brute) -> None:
    world = tables.build(twin.corpus)
    documents = rendered(world, twin)
    dense, _, at = predicted(world, twin, MIX, documents)
    wanted = twin.predictive(MIX)
    same(dense, wanted)
    real = np.asarray(at.allowed).any(-1)
    same(dense.sum(-1), real.astype(float))
    assert (real == (wanted.sum(-1) > 0)).all()


def check_next_word(twin: Brute) -> None:
    """After every word of every document, direction, questions and coin included."""
    for each in (twin, coined()):
        world = tables.build(each.corpus)
        documents = rendered(world, each)
        got = fresh(bayes.next_word)(world, np.log(MIX), documents)
        wanted = each.next_word(MIX)
        same(got[:, : wanted.shape[1]], wanted)
        assert not np.any(got[:, wanted.shape[1] :])


def check_excess(twin: Brute) -> None:
    """The KL of the exact logits is 0; for other logits it is the sum over all next words."""
    setup, world = _lab(twin)
    tag = grammars.tag_names(twin.corpus).index("assistant")
    which = twin.prompt(DIRECTED, ASKED)
    documents = rendered(world, twin, which, tag)
    best = fresh(bayes.next_word)(world, world.log_prior[tag], documents)
    over = fresh(calibration.over)
    nothing = over(world, documents, jnp.log(jnp.maximum(best, 1e-30)))
    same(list(nothing.values()), 0.0)
    logits = logits_of(setup, spiky(setup), documents.tokens)
    logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    exact = twin.next_word(brute.tag_prior(twin.corpus, "assistant"))[which]
    above: dict[str, list[float]] = {"answers": [], "all": []}
    for n, role in enumerate(np.asarray(documents.role)):
        for t in range(int((role != PAD).sum()) - 1):
            p = exact[n, t]
            some = p > 0
            nats = float(p[some] @ (np.log(p[some]) - logp[n, t][some]))
            above["all"].append(nats)
            above["answers"] += [nats] * int(role[t + 1] >= ANSWER)
    got = over(world, documents, jnp.asarray(logits, jnp.float32))
    for name, wanted in above.items():
        assert np.mean(wanted) > 0.1
        same(got[name], np.mean(wanted), 1e-4)


def check_kl(twin: Brute) -> None:
    """Word by word, and summed up: the divergence of two mixtures over all answers."""
    world = tables.build(twin.corpus)
    documents = rendered(world, twin)
    _, p, at = predicted(world, twin, MIX, documents)
    _, q, _ = predicted(world, twin, OTHER, documents)
    got = fresh(bayes.kl)(p, q, at.allowed)
    left, right = twin.predictive(MIX), twin.predictive(OTHER)
    some = left > 0
    ratio = np.log(np.where(some, left, 1.0) / np.where(some, right, 1.0))
    same(got, np.sum(left * ratio, -1))
    which = twin.prompt(DIRECTED, ASKED)
    each = np.asarray(got).sum((1, 2, 3))[which]
    same((twin.likelihood[which] @ MIX) @ each, twin.kl(MIX, OTHER, which))


def check_reweight(twin: Brute) -> None:
    # Prior 1/2, 1/4, 1/4; evidence of ln 1, ln 4, ln 16 nats at an exchange rate of 1/2 multiplies
    # by 1, 2, 4: 1/2, 1/2, 1, which is 1/4, 1/4, 1/2.
    prior, evidence = jnp.log(jnp.array([0.5, 0.25, 0.25])), jnp.log(jnp.array([1.0, 4.0, 16.0]))
    same(jnp.exp(bayes.reweight(prior, evidence, 0.5)), [0.25, 0.25, 0.5], 1e-6)
    # An author with prior 0 keeps posterior 0, whatever the evidence.
    same(jnp.exp(bayes.reweight(jnp.log(jnp.array([1.0, 0.0])), evidence[:2], 3.0)), [1, 0], 0)
