"""Bugs in the ladder are found (see `planted`)."""

import dataclasses

import jax.numpy as jnp
import pytest

from tests import planted
from tests.checks import ladders
from tests.planted import Bugs, Patch
from toylab.ladder import atoms, families, mixtures
from toylab.ladder.families import Mixture
from toylab.policy import attention, sampling
from toylab.world import bayes

BUGS = Bugs()
bug = BUGS.bug


@bug("EM stops after a step", ladders.check_weights_are_certified)
def _(patch: Patch) -> None:
    patch(mixtures, "MOST_STEPS", 1)


@bug("EM is content with less", ladders.check_weights_are_certified)
def _(patch: Patch) -> None:
    patch(mixtures, "CERTIFIED", 0.02)


@bug("a divergence is averaged over turns", ladders.check_unexplained_is_the_divergence)
def _(patch: Patch, right=bayes.kl) -> None:
    def broken(p, q, allowed):
        return right(p, q, allowed) / allowed.shape[1]

    patch(bayes, "kl", broken)


@bug("the ladder's mixture forgets", ladders.check_unexplained_is_the_divergence)
def _(patch: Patch) -> None:
    def broken(cast, documents):
        return jnp.zeros_like(bayes.log_likelihood(cast, documents))

    patch(bayes, "before", broken)


@bug("tempering is not normalised", ladders.check_tempering)
def _(patch: Patch) -> None:
    def broken(logp):
        return logp

    patch(atoms, "normalise", broken)


@bug("a mixture draws an author a slot", ladders.check_mixture_has_one_author_a_document)
def _(patch: Patch) -> None:
    patch(Mixture, "joint", lambda self, seen: self.log_weights + jnp.zeros_like(seen.slots))


@bug("a mixture's weights are taken for even", ladders.check_mixture_has_one_author_a_document)
def _(patch: Patch, right=families.CastPolicy.answer) -> None:
    def broken(self, grammar, what, key):
        even = Mixture(jnp.zeros_like(self.member.log_weights))
        return right(dataclasses.replace(self, member=even), grammar, what, key)

    patch(families.CastPolicy, "answer", broken)


@bug("a model is read one word late", ladders.check_branches_are_the_models)
def _(patch: Patch, right=bayes.decisions) -> None:
    def broken(grammar, documents):
        at = right(grammar, documents)
        return at._replace(position=at.position + 1)

    patch(bayes, "decisions", broken)


@bug("a model's branches are not normalised", ladders.check_branches_are_the_models)
def _(patch: Patch, right=sampling.read) -> None:
    def broken(grammar, documents, logits):
        got = right(grammar, documents, logits)
        return got._replace(logp=got.logp + jnp.log1p(-got.outside)[..., None])

    patch(sampling, "read", broken)


@bug("mass outside the grammar is ignored", ladders.check_outside_by_hand)
def _(patch: Patch, right=sampling.read) -> None:
    def broken(grammar, documents, logits):
        got = right(grammar, documents, logits)
        return got._replace(outside=0 * got.outside)

    patch(sampling, "read", broken)


@bug("a model is sampled at a temperature", ladders.check_generation_samples_the_model)
def _(patch: Patch, right=sampling.generate) -> None:
    def broken(network, params, grammar, what, key):
        cooler = params | {"unembedding": 1.15 * params["unembedding"]}
        return right(network, cooler, grammar, what, key)

    patch(sampling, "generate", broken)


@bug("a word that is none takes a place", ladders.check_branches_found_while_writing)
def _(patch: Patch, right=sampling.opening) -> None:
    patch(sampling, "opening", lambda *given: jnp.maximum(right(*given), 0))


@bug("a model is sampled without its cache's past", ladders.check_generation_samples_the_model)
def _(patch: Patch, right=attention.attend) -> None:
    def broken(q, k, v, offset=0, there=None):
        # Reading a whole document is right; reading with a cache is wrong.
        return right(q, k, v, offset - (there is not None), there)

    patch(attention, "attend", broken)


@pytest.mark.parametrize(("plant", "check"), BUGS)
def test_a_planted_bug_is_found(plant, check, twin, holds, monkeypatch) -> None:
    planted.is_found(plant, check, twin, holds, monkeypatch)
