"""Bugs in the world, in inference and in the model are found (see `planted`)."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from tests import planted
from tests.checks import beliefs, networks, worlds
from tests.planted import Bugs, Patch
from toylab.ladder import atoms
from toylab.policy import attention, sampling, transformer
from toylab.world import bayes, tables
from toylab.world import documents as docs

BUGS = Bugs()
bug = BUGS.bug


# the world


@bug("tongues never slip", beliefs.check_log_likelihood)
def _(patch: Patch, right=tables.build) -> None:
    patch(tables, "build", lambda corpus: right(dataclasses.replace(corpus, slip=1e-9)))


@bug("nobody follows a cue or obeys", beliefs.check_log_likelihood)
def _(patch: Patch, right=tables.build) -> None:
    def broken(corpus):
        free = {"obeys": (0.0,) * len(corpus.directions), "follows": (0.0,) * len(corpus.topics)}
        cast = tuple(dataclasses.replace(character, **free) for character in corpus.characters)
        return right(dataclasses.replace(corpus, characters=cast))

    patch(tables, "build", broken)


@bug("one author is fonder of the plain phrase", worlds.check_plain_phrase_is_no_evidence)
def _(patch: Patch, right=tables.make_cast) -> None:
    def broken(grammar, logp):
        return right(grammar, logp.at[0, :, 0, 0].add(1e-6))

    patch(tables, "make_cast", broken)


@bug("a table sums to more than one", worlds.check_tables_sum_to_one)
def _(patch: Patch, right=tables.make_cast) -> None:
    def broken(grammar, logp):
        return right(grammar, logp + 1e-3)

    patch(tables, "make_cast", broken)


@bug("tags have each other's priors", worlds.check_priors_are_those_of_the_tags)
def _(patch: Patch, right=tables.build) -> None:
    def broken(corpus):
        world = right(corpus)
        return dataclasses.replace(world, log_prior=jnp.roll(world.log_prior, 1, 0))

    patch(tables, "build", broken)


@bug("authors are drawn without regard to the tag", worlds.check_priors_are_those_of_the_tags)
def _(patch: Patch, right=docs.author) -> None:
    def broken(world, key, tag, progress=1.0):
        return right(world, key, jnp.full_like(tag, len(world.tag_share) - 1), progress)

    patch(docs, "author", broken)


@bug("the sampler has a temperature", worlds.check_sampler_has_the_joint_distribution)
def _(patch: Patch, right=docs.speak) -> None:
    def broken(cast, key, context, who):
        flat = dataclasses.replace(cast, logp=atoms.normalise(0.9 * cast.logp))
        return right(flat, key, context, who)

    patch(docs, "speak", broken)


@bug("every slot has an author of its own", worlds.check_sampler_has_the_joint_distribution)
def _(patch: Patch, right=docs.speak) -> None:
    def broken(cast, key, context, who):
        turns = [
            right(cast, jax.random.fold_in(key, t), context[:, t : t + 1], jnp.roll(who, t))
            for t in range(context.shape[1])
        ]
        return jnp.concatenate(turns, 1)

    patch(docs, "speak", broken)


@bug("some are asked other questions", worlds.check_questions_are_asked_alike)
def _(patch: Patch, right=docs.prompt) -> None:
    def broken(world, key, size, **given):
        what = right(world, key, size, **given)
        other = right(world, jax.random.fold_in(key, 1), size, **given)
        swap = ((what.tag == 0) & (other.topic[:, 0] == 0))[:, None]
        picked = {
            name: jnp.where(swap, getattr(other, name), getattr(what, name))
            for name in ("topic", "question", "cue")
        }
        return what._replace(**picked)

    patch(docs, "prompt", broken)


@bug("a slot starts one word late", worlds.check_words_are_those_of_the_twin)
def _(patch: Patch, right=docs.render) -> None:
    def broken(grammar, what, choice, who):
        documents = right(grammar, what, choice, who)
        return documents._replace(start=documents.start + 1)

    patch(docs, "render", broken)


@bug("the coin falls by the number of topics", worlds.check_coin_is_tossed_evenly)
def _(patch: Patch) -> None:
    def broken(grammar, share=None):
        return jnp.ones((grammar.turns, len(grammar.topic_side)))

    patch(tables, "topic_shares", broken)


@bug("the first turn has a coin too", worlds.check_coin_is_tossed_evenly)
def _(patch: Patch, right=tables.topic_shares) -> None:
    def broken(grammar, share=None):
        shares = right(grammar, share)
        return jnp.broadcast_to(shares[-1], shares.shape)

    patch(tables, "topic_shares", broken)


@bug("the coin is tossed in silence", worlds.check_coin_is_spoken)
def _(patch: Patch, right=docs.asked) -> None:
    def broken(grammar, what):
        silent = dataclasses.replace(
            grammar,
            questions=grammar.questions[:1],
            question_length=grammar.question_length[:1],
        )
        return right(silent, what)

    patch(docs, "asked", broken)


@bug("the coin is read one word late", worlds.check_coin_is_read_off)
def _(patch: Patch, right=sampling.coin) -> None:
    def broken(grammar, documents, logits):
        return right(grammar, documents, jnp.roll(logits, -1, 1))

    patch(sampling, "coin", broken)


@bug("the sides of the coin are exchanged", worlds.check_coin_is_read_off)
def _(patch: Patch, right=sampling.coin) -> None:
    def broken(grammar, documents, logits):
        return right(grammar, documents, logits)[..., ::-1]

    patch(sampling, "coin", broken)


@bug("a prior never changes", worlds.check_priors_change_when_they_should)
def _(patch: Patch, right=docs.author) -> None:
    def broken(world, key, tag, progress=1.0):
        return right(world, key, tag, 0.0)

    patch(docs, "author", broken)


@bug("a prior changes a step late", worlds.check_priors_change_when_they_should)
def _(patch: Patch, right=docs.author) -> None:
    def broken(world, key, tag, progress=1.0):
        return right(world, key, tag, progress - 0.1)

    patch(docs, "author", broken)


@bug("pretraining is always at its end", worlds.check_priors_change_when_they_should)
def _(patch: Patch, right=docs.sample) -> None:
    def broken(world, key, size, progress=1.0):
        return right(world, key, size)

    patch(docs, "sample", broken)


@bug("one tag's change is everybody's", worlds.check_priors_change_when_they_should)
def _(patch: Patch, right=docs.author) -> None:
    def broken(world, key, tag, progress=1.0):
        first = jnp.full_like(tag, jnp.argmin(world.change_at))
        late = jnp.min(world.change_at) <= progress
        return right(world, key, jnp.where(late, first, tag), progress)

    patch(docs, "author", broken)


# beliefs


@bug("a belief forgets the turns before", beliefs.check_belief)
def _(patch: Patch) -> None:
    def broken(cast, documents):
        each = bayes.log_likelihood(cast, documents)
        return jnp.cumsum(each, 2) - each

    patch(bayes, "before", broken)


@bug("a belief counts the present slot twice", beliefs.check_belief)
def _(patch: Patch, right=bayes.before) -> None:
    def broken(cast, documents):
        return right(cast, documents) + bayes.log_likelihood(cast, documents)

    patch(bayes, "before", broken)


@bug("predictions use the prior at each slot", beliefs.check_predictive)
def _(patch: Patch) -> None:
    def broken(cast, documents):
        return jnp.zeros_like(bayes.log_likelihood(cast, documents))

    patch(bayes, "before", broken)


@bug("the divergence is taken the wrong way round", beliefs.check_kl)
def _(patch: Patch, right=bayes.kl) -> None:
    def broken(p, q, allowed):
        return right(q, p, allowed)

    patch(bayes, "kl", broken)


@bug("evidence counts against", beliefs.check_reweight)
def _(patch: Patch, right=bayes.reweight) -> None:
    def broken(log_prior, evidence, tau):
        return right(log_prior, evidence, -tau)

    patch(bayes, "reweight", broken)


# model


@bug("a word sees the next one", networks.check_causal)
def _(patch: Patch, right=attention.attend) -> None:
    def broken(q, k, v, offset=0, there=None):
        return right(q, k, v, offset + 1, there)

    patch(attention, "causal", attention.plain)
    patch(attention, "attend", broken)


@bug("a word does not see itself", networks.check_causal)
def _(patch: Patch, right=attention.attend) -> None:
    def broken(q, k, v, offset=0, there=None):
        return right(q, k, v, offset - 1, there)

    patch(attention, "causal", attention.plain)
    patch(attention, "attend", broken)


@bug("the index of the cache is one too high", networks.check_cached_decoding)
def _(patch: Patch, right=transformer.Cache) -> None:
    def broken(keys, values, filled, there):
        return right(keys, values, filled + 1, there)

    patch(transformer, "Cache", broken)


@bug("the cache is read as if it stood at its beginning", networks.check_cached_decoding)
def _(patch: Patch, right=attention.attend) -> None:
    def broken(q, k, v, offset=0, there=None):
        return right(q, k, v, 0 * offset, there)

    patch(attention, "attend", broken)


@pytest.mark.parametrize(("plant", "check"), BUGS)
def test_a_planted_bug_is_found(plant, check, twin, holds, monkeypatch) -> None:
    planted.is_found(plant, check, twin, holds, monkeypatch)
