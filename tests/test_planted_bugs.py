"""Do the checks see what is wrong? Each of these bugs is planted, and its check has to fail.

Under `@bug(title, check)` stands a function that plants it by `patch(owner, name, broken)`. The
test itself comes last: the check must hold without the bug, and raise an `AssertionError` with it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import checks
from tests.brute import Brute
from toylab.ladder import atoms, families, mixtures
from toylab.ladder.families import Mixture
from toylab.measures import calibration
from toylab.policy import sampling, transformer
from toylab.stages import Pretrain, Sft, base, losses
from toylab.world import bayes, tables
from toylab.world import documents as docs
from toylab.world.grammar import ANSWER, QUESTION

Check = Callable[[Brute], None]
Patch = Callable[[Any, str, Any], None]
BUGS: list = []


def bug(title: str, check: Check) -> Callable[[Callable[[Patch], None]], None]:
    def register(plant: Callable[[Patch], None]) -> None:
        BUGS.append(pytest.param(plant, check, id=title))

    return register


# ------------------------------------------------------------------------------------- the world


@bug("tongues never slip", checks.check_log_likelihood)
def _(patch: Patch, right=tables._cast_logp) -> None:
    def broken(corpus, found):
        return right(dataclasses.replace(corpus, slip=1e-9), found)

    patch(tables, "_cast_logp", broken)


@bug("nobody follows a cue or obeys", checks.check_log_likelihood)
def _(patch: Patch) -> None:
    def broken(corpus, t, c, d):
        return np.array([character.traits[t] for character in corpus.characters])

    patch(tables, "_stances", broken)


@bug("one author is fonder of the plain phrase", checks.check_plain_phrase_is_no_evidence)
def _(patch: Patch, right=tables._cast_logp) -> None:
    def broken(corpus, found):
        logp = right(corpus, found)
        logp[0, :, 0, 0] += 1e-6
        return logp

    patch(tables, "_cast_logp", broken)


@bug("a table sums to more than one", checks.check_tables_sum_to_one)
def _(patch: Patch, right=tables._cast_logp) -> None:
    def broken(corpus, found):
        return right(corpus, found) + 1e-3

    patch(tables, "_cast_logp", broken)


@bug("tags have each other's priors", checks.check_priors_are_those_of_the_tags)
def _(patch: Patch, right=tables.build) -> None:
    def broken(corpus):
        world = right(corpus)
        return dataclasses.replace(world, log_prior=jnp.roll(world.log_prior, 1, 0))

    patch(tables, "build", broken)


@bug("authors are drawn without regard to the tag", checks.check_priors_are_those_of_the_tags)
def _(patch: Patch, right=docs.author) -> None:
    def broken(world, key, tag, progress=1.0):
        return right(world, key, jnp.full_like(tag, len(world.tag_share) - 1), progress)

    patch(docs, "author", broken)


@bug("the sampler has a temperature", checks.check_sampler_has_the_joint_distribution)
def _(patch: Patch, right=docs.speak) -> None:
    def broken(cast, key, context, who):
        flat = dataclasses.replace(cast, logp=atoms.normalise(0.9 * cast.logp))
        return right(flat, key, context, who)

    patch(docs, "speak", broken)


@bug("every slot has an author of its own", checks.check_sampler_has_the_joint_distribution)
def _(patch: Patch, right=docs.speak) -> None:
    def broken(cast, key, context, who):
        turns = [
            right(cast, jax.random.fold_in(key, t), context[:, t : t + 1], jnp.roll(who, t))
            for t in range(context.shape[1])
        ]
        return jnp.concatenate(turns, 1)

    patch(docs, "speak", broken)


@bug("some are asked other questions", checks.check_questions_are_asked_alike)
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


@bug("a slot starts one word late", checks.check_words_are_those_of_the_twin)
def _(patch: Patch, right=docs.render) -> None:
    def broken(grammar, what, choice, who):
        documents = right(grammar, what, choice, who)
        return documents._replace(start=documents.start + 1)

    patch(docs, "render", broken)


@bug("the coin falls by the number of topics", checks.check_coin_is_tossed_evenly)
def _(patch: Patch) -> None:
    def broken(grammar, share=None):
        return jnp.ones((grammar.turns, len(grammar.topic_side)))

    patch(tables, "topic_shares", broken)


@bug("the first turn has a coin too", checks.check_coin_is_tossed_evenly)
def _(patch: Patch, right=tables.topic_shares) -> None:
    def broken(grammar, share=None):
        shares = right(grammar, share)
        return jnp.broadcast_to(shares[-1], shares.shape)

    patch(tables, "topic_shares", broken)


@bug("the coin is tossed in silence", checks.check_coin_is_spoken)
def _(patch: Patch, right=docs.asked) -> None:
    def broken(grammar, what):
        silent = dataclasses.replace(
            grammar,
            questions=grammar.questions[:1],
            question_length=grammar.question_length[:1],
        )
        return right(silent, what)

    patch(docs, "asked", broken)


@bug("the coin is read one word late", checks.check_coin_is_read_off)
def _(patch: Patch, right=sampling.coin) -> None:
    def broken(grammar, documents, logits):
        return right(grammar, documents, jnp.roll(logits, -1, 1))

    patch(sampling, "coin", broken)


@bug("the sides of the coin are exchanged", checks.check_coin_is_read_off)
def _(patch: Patch, right=sampling.coin) -> None:
    def broken(grammar, documents, logits):
        return right(grammar, documents, logits)[..., ::-1]

    patch(sampling, "coin", broken)


@bug("a prior never changes", checks.check_priors_change_when_they_should)
def _(patch: Patch, right=docs.author) -> None:
    def broken(world, key, tag, progress=1.0):
        return right(world, key, tag, 0.0)

    patch(docs, "author", broken)


@bug("a prior changes a step late", checks.check_priors_change_when_they_should)
def _(patch: Patch, right=docs.author) -> None:
    def broken(world, key, tag, progress=1.0):
        return right(world, key, tag, progress - 0.1)

    patch(docs, "author", broken)


@bug("pretraining is always at its end", checks.check_priors_change_when_they_should)
def _(patch: Patch, right=docs.sample) -> None:
    def broken(world, key, size, progress=1.0):
        return right(world, key, size)

    patch(docs, "sample", broken)


@bug("one tag's change is everybody's", checks.check_priors_change_when_they_should)
def _(patch: Patch, right=docs.author) -> None:
    def broken(world, key, tag, progress=1.0):
        first = jnp.full_like(tag, jnp.argmin(world.change_at))
        late = jnp.min(world.change_at) <= progress
        return right(world, key, jnp.where(late, first, tag), progress)

    patch(docs, "author", broken)


# --------------------------------------------------------------------------------------- beliefs


@bug("a belief forgets the turns before", checks.check_belief)
def _(patch: Patch) -> None:
    def broken(cast, documents):
        each = bayes.log_likelihood(cast, documents)
        return jnp.cumsum(each, 2) - each

    patch(bayes, "before", broken)


@bug("a belief counts the present slot twice", checks.check_belief)
def _(patch: Patch, right=bayes.before) -> None:
    def broken(cast, documents):
        return right(cast, documents) + bayes.log_likelihood(cast, documents)

    patch(bayes, "before", broken)


@bug("predictions use the prior at each slot", checks.check_predictive)
def _(patch: Patch) -> None:
    def broken(cast, documents):
        return jnp.zeros_like(bayes.log_likelihood(cast, documents))

    patch(bayes, "before", broken)


@bug("the divergence is taken the wrong way round", checks.check_kl)
def _(patch: Patch, right=bayes.kl) -> None:
    def broken(p, q, allowed):
        return right(q, p, allowed)

    patch(bayes, "kl", broken)


@bug("evidence counts against", checks.check_reweight)
def _(patch: Patch, right=bayes.reweight) -> None:
    def broken(log_prior, evidence, tau):
        return right(log_prior, evidence, -tau)

    patch(bayes, "reweight", broken)


# ----------------------------------------------------------------------------------------- model


@bug("a word sees the next one", checks.check_causal)
def _(patch: Patch, right=transformer.attend) -> None:
    def broken(q, k, v, offset):
        return right(q, k, v, offset + 1)

    patch(transformer, "attend", broken)


@bug("a word does not see itself", checks.check_causal)
def _(patch: Patch, right=transformer.attend) -> None:
    def broken(q, k, v, offset):
        return right(q, k, v, offset - 1)

    patch(transformer, "attend", broken)


@bug("the index of the cache is one too high", checks.check_cached_decoding)
def _(patch: Patch, right=transformer.Cache) -> None:
    def broken(keys, values, index):
        return right(keys, values, index + 1)

    patch(transformer, "Cache", broken)


@bug("the cache is read as if it stood at its beginning", checks.check_cached_decoding)
def _(patch: Patch, right=transformer.attend) -> None:
    def broken(q, k, v, offset):
        return right(q, k, v, 0 * offset)

    patch(transformer, "attend", broken)


# ---------------------------------------------------------------------------------------- stages


@bug("evaluation shares the keys of training", checks.check_streams_are_distinct)
def _(patch: Patch) -> None:
    patch(base, "EVALUATE", base.TRAIN)


@bug("all stages of a path share a key", checks.check_streams_are_distinct)
def _(patch: Patch, right=base.train_key) -> None:
    def broken(seed, position):
        return right(seed, 0)

    patch(base, "train_key", broken)


@bug("the seed is ignored", checks.check_seed_acts)
def _(patch: Patch, right=base.train_key) -> None:
    def broken(seed, position):
        return right(0, position)

    patch(base, "train_key", broken)


@bug("every step has the same batch", checks.check_batches_are_functions_of_seed_stage_and_step)
def _(patch: Patch, right=Pretrain.draw) -> None:
    def broken(self, *given):
        *rest, key, step = given
        return right(self, *rest, key, 0 * step)

    patch(Pretrain, "draw", broken)


@bug("the pool is drawn anew every step", checks.check_documents_are_gone_through_in_turn)
def _(patch: Patch, right=Sft.draw) -> None:
    def broken(self, *given):
        *rest, key, step = given
        return right(self, *rest, jax.random.fold_in(key, step), step)

    patch(Sft, "draw", broken)


@bug("the pool is one document too small", checks.check_documents_are_gone_through_in_turn)
def _(patch: Patch, right=Sft.draw) -> None:
    def broken(self, *given):
        *rest, key, step = given
        fewer = dataclasses.replace(self, documents=max(self.documents - 1, 0))
        return right(fewer, *rest, key, step)

    patch(Sft, "draw", broken)


@bug("the loss is on questions too", checks.check_sft_counts_answers)
def _(patch: Patch) -> None:
    def broken(self, context, batch):
        return batch.role >= QUESTION

    patch(Sft, "counted", broken)


@bug("neutral voices count in the loss", checks.check_sft_counts_answers)
def _(patch: Patch) -> None:
    def broken(self, context, batch):
        return batch.role >= ANSWER

    patch(Sft, "counted", broken)


@bug("another author writes", checks.check_sft_documents_are_the_authors)
def _(patch: Patch, right=docs.speak) -> None:
    def broken(cast, key, context, who):
        return right(cast, key, context, 0 * who)

    patch(docs, "speak", broken)


@bug("neutral voices are the author's", checks.check_sft_documents_are_the_authors)
def _(patch: Patch, right=Sft.write) -> None:
    def broken(self, context, key, indices):
        names = context.names | {"voiced": jnp.array(True)}
        return right(self, dataclasses.replace(context, names=names), key, indices)

    patch(Sft, "write", broken)


@bug("fine-tuning asks about the controls", checks.check_sft_documents_are_the_authors)
def _(patch: Patch, right=Sft.names) -> None:
    def broken(self, corpus):
        return right(self, corpus) | {"topics": jnp.ones(len(corpus.topics))}

    patch(Sft, "names", broken)


@bug("nobody is told anything", checks.check_sft_with_a_direction_and_two_authors)
def _(patch: Patch, right=Sft.names) -> None:
    def broken(self, corpus):
        return right(self, corpus) | {"direction": jnp.array(0)}

    patch(Sft, "names", broken)


@bug("the other author writes nothing", checks.check_sft_with_a_direction_and_two_authors)
def _(patch: Patch, right=Sft.write) -> None:
    def broken(self, context, key, indices):
        names = context.names | {"other": context.names["author"]}
        return right(self, dataclasses.replace(context, names=names), key, indices)

    patch(Sft, "write", broken)


@bug("the author speaks for himself", checks.check_sft_puts_words_in_the_authors_mouth)
def _(patch: Patch, right=Sft.names) -> None:
    def broken(self, corpus):
        return right(dataclasses.replace(self, says=()), corpus)

    patch(Sft, "names", broken)


@bug("padding is learnt", checks.check_pretraining_counts_every_word_but_the_tag)
def _(patch: Patch, right=Pretrain.draw) -> None:
    def broken(self, context, params, reference, key, step):
        lesson = right(self, context, params, reference, key, step)
        padding = jax.nn.one_hot(jnp.zeros_like(lesson.documents.tokens), lesson.target.shape[-1])
        empty = jnp.sum(lesson.target, -1, keepdims=True) == 0
        return lesson._replace(target=jnp.where(empty, padding, lesson.target))

    patch(Pretrain, "draw", broken)


@bug("what counts for nothing counts", checks.check_expected_cross_entropy)
def _(patch: Patch, right=losses.expected_cross_entropy) -> None:
    def broken(logits, target):
        return right(logits, target) + jnp.mean(
            jax.nn.logsumexp(logits, -1) * (target.sum(-1) == 0)
        )

    patch(losses, "expected_cross_entropy", broken)


@bug(
    "pretraining is told who writes",
    checks.check_what_pretraining_expects_is_what_it_samples_on_average,
)
def _(patch: Patch, right=docs.prior) -> None:
    def broken(world, tag, progress=1.0):
        return jnp.log(jnp.eye(world.log_prior.shape[-1])[jnp.zeros_like(tag)])

    patch(docs, "prior", broken)


@bug("the next word forgets earlier answers", checks.check_next_word)
def _(patch: Patch) -> None:
    def broken(cast, documents):
        return jnp.zeros_like(bayes.log_likelihood(cast, documents))

    patch(bayes, "before", broken)


@bug(
    "what is expected forgets earlier answers",
    checks.check_what_pretraining_expects_is_what_it_samples_on_average,
)
def _(patch: Patch) -> None:
    def broken(cast, documents):
        return jnp.zeros_like(bayes.log_likelihood(cast, documents))

    patch(bayes, "before", broken)


@bug("what is expected is always that of the end", checks.check_priors_change_when_they_should)
def _(patch: Patch, right=Pretrain.draw) -> None:
    def broken(self, context, params, reference, key, step):
        lesson = right(self, context, params, reference, key, step)
        prior = context.world.log_prior[lesson.documents.prompt.tag]
        return lesson._replace(target=bayes.next_word(context.world, prior, lesson.documents))

    patch(Pretrain, "draw", broken)


@bug("excess counts padding", checks.check_excess)
def _(patch: Patch, right=calibration.over) -> None:
    def broken(world, documents, logits):
        return right(world, documents._replace(role=jnp.abs(documents.role)), logits)

    patch(calibration, "over", broken)


@bug("excess is that of the questions", checks.check_excess)
def _(patch: Patch, right=calibration.over) -> None:
    def broken(world, documents, logits):
        found = right(world, documents, logits)
        return {"answers": found["all"], "all": found["all"]}

    patch(calibration, "over", broken)


@bug("all prompts are as likely", checks.check_next_word)
def _(patch: Patch, right=tables.topic_shares) -> None:
    def broken(grammar, share=None):
        return jnp.ones_like(right(grammar, share))

    patch(tables, "topic_shares", broken)


@bug("no direction is ever given", checks.check_next_word)
def _(patch: Patch, right=tables._prompts) -> None:
    def broken(grammar, direction_share):
        return right(grammar, np.eye(len(direction_share))[0] + 1e-9)

    patch(tables, "_prompts", broken)


@bug("the mask is one word late", checks.check_cross_entropy)
def _(patch: Patch, right=losses.cross_entropy) -> None:
    def broken(logits, tokens, counted):
        return right(logits, tokens, jnp.roll(counted, 1, 1))

    patch(losses, "cross_entropy", broken)


@bug("a word is predicted from itself", checks.check_cross_entropy)
def _(patch: Patch, right=losses.token_log_likelihood) -> None:
    def broken(logits, tokens):
        return right(jnp.roll(logits, -1, 1), tokens)

    patch(losses, "token_log_likelihood", broken)


@bug("muon gets the tables", checks.check_muon_gets_the_matrices_only)
def _(patch: Patch) -> None:
    patch(transformer.Transformer, "tables", ())


@bug("adam gets a matrix", checks.check_muon_gets_the_matrices_only)
def _(patch: Patch) -> None:
    patch(transformer.Transformer, "tables", ("embedding", "position", "unembedding", "query0"))


# ------------------------------------------------------------------------------------ the ladder


@bug("EM stops after a step", checks.check_weights_are_certified)
def _(patch: Patch) -> None:
    patch(mixtures, "MOST_STEPS", 1)


@bug("EM is content with less", checks.check_weights_are_certified)
def _(patch: Patch) -> None:
    patch(mixtures, "CERTIFIED", 0.02)


@bug("a divergence is averaged over turns", checks.check_unexplained_is_the_divergence)
def _(patch: Patch, right=bayes.kl) -> None:
    def broken(p, q, allowed):
        return right(p, q, allowed) / allowed.shape[1]

    patch(bayes, "kl", broken)


@bug("the ladder's mixture forgets", checks.check_unexplained_is_the_divergence)
def _(patch: Patch) -> None:
    def broken(cast, documents):
        return jnp.zeros_like(bayes.log_likelihood(cast, documents))

    patch(bayes, "before", broken)


@bug("tempering is not normalised", checks.check_tempering)
def _(patch: Patch) -> None:
    def broken(logp):
        return logp

    patch(atoms, "normalise", broken)


@bug("a mixture draws an author a slot", checks.check_mixture_has_one_author_a_document)
def _(patch: Patch) -> None:
    patch(families, "_before", jnp.zeros_like)


@bug("a mixture's weights are taken for even", checks.check_mixture_has_one_author_a_document)
def _(patch: Patch, right=families.CastPolicy.answer) -> None:
    def broken(self, grammar, what, key):
        even = Mixture(jnp.zeros_like(self.member.log_weights))
        return right(dataclasses.replace(self, member=even), grammar, what, key)

    patch(families.CastPolicy, "answer", broken)


@bug("a model is read one word late", checks.check_branches_are_the_models)
def _(patch: Patch, right=bayes.decisions) -> None:
    def broken(grammar, documents):
        at = right(grammar, documents)
        return at._replace(position=at.position + 1)

    patch(bayes, "decisions", broken)


@bug("a model's branches are not normalised", checks.check_branches_are_the_models)
def _(patch: Patch, right=sampling.read) -> None:
    def broken(grammar, documents, logits):
        got = right(grammar, documents, logits)
        return got._replace(logp=got.logp + jnp.log1p(-got.outside)[..., None])

    patch(sampling, "read", broken)


@bug("mass outside the grammar is ignored", checks.check_outside_by_hand)
def _(patch: Patch, right=sampling.read) -> None:
    def broken(grammar, documents, logits):
        got = right(grammar, documents, logits)
        return got._replace(outside=0 * got.outside)

    patch(sampling, "read", broken)


@bug("a model is sampled at a temperature", checks.check_generation_samples_the_model)
def _(patch: Patch, right=sampling.generate) -> None:
    def broken(network, params, grammar, what, key):
        cooler = params | {"unembedding": 1.15 * params["unembedding"]}
        return right(network, cooler, grammar, what, key)

    patch(sampling, "generate", broken)


@bug("a model is sampled without its cache's past", checks.check_generation_samples_the_model)
def _(patch: Patch, right=transformer.attend) -> None:
    def broken(q, k, v, offset):
        if q.shape[-2] > 1:  # reading a whole document is sound; one word at a time is not
            return right(q, k, v, offset)
        return right(q, k, v, offset - 1)

    patch(transformer, "attend", broken)


def test_there_are_bugs_enough() -> None:
    used = {param.values[1] for param in BUGS}
    every = {check for name, check in vars(checks).items() if name.startswith("check_")}
    assert used == every, "each check must be seen to fail"
    assert len(BUGS) >= 40


@pytest.mark.parametrize(("plant", "check"), BUGS)
def test_a_planted_bug_is_found(
    plant: Callable[[Patch], None],
    check: Check,
    twin: Brute,
    holds: Callable[[Check], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    holds(check)
    plant(monkeypatch.setattr)
    with pytest.raises(AssertionError):
        check(twin)
