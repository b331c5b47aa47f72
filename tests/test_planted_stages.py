"""Bugs in stages are found (see `planted`)."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from tests import planted
from tests.checks import batches, beliefs, worlds
from tests.planted import Bugs, Patch
from toylab.measures import calibration
from toylab.policy import transformer
from toylab.stages import Pretrain, Sft, base, losses
from toylab.world import bayes, tables
from toylab.world import documents as docs
from toylab.world.grammar import ANSWER, QUESTION

BUGS = Bugs()
bug = BUGS.bug


@bug("evaluation shares the keys of training", batches.check_streams_are_distinct)
def _(patch: Patch) -> None:
    patch(base, "EVALUATE", base.TRAIN)


@bug("all stages of a path share a key", batches.check_streams_are_distinct)
def _(patch: Patch, right=base.train_key) -> None:
    def broken(seed, position):
        return right(seed, 0)

    patch(base, "train_key", broken)


@bug("the seed is ignored", batches.check_seed_acts)
def _(patch: Patch, right=base.train_key) -> None:
    def broken(seed, position):
        return right(0, position)

    patch(base, "train_key", broken)


@bug("every step has the same batch", batches.check_batches_are_functions_of_seed_stage_and_step)
def _(patch: Patch, right=Pretrain.draw) -> None:
    def broken(self, *given):
        *rest, key, step = given
        return right(self, *rest, key, 0 * step)

    patch(Pretrain, "draw", broken)


@bug("the pool is drawn anew every step", batches.check_documents_are_gone_through_in_turn)
def _(patch: Patch, right=Sft.draw) -> None:
    def broken(self, *given):
        *rest, key, step = given
        return right(self, *rest, jax.random.fold_in(key, step), step)

    patch(Sft, "draw", broken)


@bug("the pool is one document too small", batches.check_documents_are_gone_through_in_turn)
def _(patch: Patch, right=Sft.draw) -> None:
    def broken(self, *given):
        *rest, key, step = given
        fewer = dataclasses.replace(self, documents=max(self.documents - 1, 0))
        return right(fewer, *rest, key, step)

    patch(Sft, "draw", broken)


@bug("the loss is on questions too", batches.check_sft_counts_answers)
def _(patch: Patch) -> None:
    def broken(self, context, batch):
        return batch.role >= QUESTION

    patch(Sft, "counted", broken)


@bug("neutral voices count in the loss", batches.check_sft_counts_answers)
def _(patch: Patch) -> None:
    def broken(self, context, batch):
        return batch.role >= ANSWER

    patch(Sft, "counted", broken)


@bug("another author writes", batches.check_sft_documents_are_the_authors)
def _(patch: Patch, right=docs.speak) -> None:
    def broken(cast, key, context, who):
        return right(cast, key, context, 0 * who)

    patch(docs, "speak", broken)


@bug("neutral voices are the author's", batches.check_sft_documents_are_the_authors)
def _(patch: Patch, right=Sft.write) -> None:
    def broken(self, context, key, indices):
        return right(dataclasses.replace(self, neutral=False), context, key, indices)

    patch(Sft, "write", broken)


@bug("fine-tuning asks about the controls", batches.check_sft_documents_are_the_authors)
def _(patch: Patch, right=Sft.names) -> None:
    def broken(self, corpus):
        return right(self, corpus) | {"topics": jnp.ones(len(corpus.topics))}

    patch(Sft, "names", broken)


@bug("nobody is told anything", batches.check_sft_with_a_direction_and_two_authors)
def _(patch: Patch, right=Sft.names) -> None:
    def broken(self, corpus):
        return right(self, corpus) | {"direction": jnp.array(0)}

    patch(Sft, "names", broken)


@bug("the other author writes nothing", batches.check_sft_with_a_direction_and_two_authors)
def _(patch: Patch, right=Sft.write) -> None:
    def broken(self, context, key, indices):
        names = context.names | {"other": context.names["author"]}
        return right(self, dataclasses.replace(context, names=names), key, indices)

    patch(Sft, "write", broken)


@bug("the author speaks for himself", batches.check_sft_puts_words_in_the_authors_mouth)
def _(patch: Patch, right=Sft.names) -> None:
    def broken(self, corpus):
        return right(dataclasses.replace(self, says=()), corpus)

    patch(Sft, "names", broken)


@bug("padding is learnt", batches.check_pretraining_counts_every_word_but_the_tag)
def _(patch: Patch, right=Pretrain.draw) -> None:
    def broken(self, context, params, reference, key, step):
        lesson = right(self, context, params, reference, key, step)
        padding = jax.nn.one_hot(0, lesson.target.shape[-1])
        empty = jnp.sum(lesson.target, -1, keepdims=True) == 0
        return lesson._replace(target=jnp.where(empty, padding, lesson.target))

    patch(Pretrain, "draw", broken)


@bug("what counts for nothing counts", batches.check_expected_cross_entropy)
def _(patch: Patch, right=losses.expected_cross_entropy) -> None:
    def broken(logits, target):
        return right(logits, target) + jnp.mean(
            jax.nn.logsumexp(logits, -1) * (target.sum(-1) == 0)
        )

    patch(losses, "expected_cross_entropy", broken)


@bug(
    "pretraining is told who writes",
    batches.check_what_pretraining_expects_is_what_it_samples_on_average,
)
def _(patch: Patch, right=docs.prior) -> None:
    def broken(world, tag, progress=1.0):
        return jnp.log(jnp.eye(world.log_prior.shape[-1])[jnp.zeros_like(tag)])

    patch(docs, "prior", broken)


@bug("the next word forgets earlier answers", beliefs.check_next_word)
def _(patch: Patch) -> None:
    def broken(cast, documents):
        return jnp.zeros_like(bayes.log_likelihood(cast, documents))

    patch(bayes, "before", broken)


@bug(
    "what is expected forgets earlier answers",
    batches.check_what_pretraining_expects_is_what_it_samples_on_average,
)
def _(patch: Patch) -> None:
    def broken(cast, documents):
        return jnp.zeros_like(bayes.log_likelihood(cast, documents))

    patch(bayes, "before", broken)


@bug("what is expected is always that of the end", worlds.check_priors_change_when_they_should)
def _(patch: Patch, right=Pretrain.draw) -> None:
    def broken(self, context, params, reference, key, step):
        lesson = right(self, context, params, reference, key, step)
        prior = context.world.log_prior[lesson.documents.prompt.tag]
        target = bayes.next_word(context.world, prior, lesson.documents)
        return lesson._replace(target=target[:, :-1])

    patch(Pretrain, "draw", broken)


@bug("excess counts padding", beliefs.check_excess)
def _(patch: Patch, right=calibration.over) -> None:
    def broken(world, documents, logits):
        return right(world, documents._replace(role=jnp.abs(documents.role)), logits)

    patch(calibration, "over", broken)


@bug("excess is that of the questions", beliefs.check_excess)
def _(patch: Patch, right=calibration.over) -> None:
    def broken(world, documents, logits):
        found = right(world, documents, logits)
        return {"answers": found["all"], "all": found["all"]}

    patch(calibration, "over", broken)


@bug("all prompts are as likely", beliefs.check_next_word)
def _(patch: Patch, right=tables.topic_shares) -> None:
    def broken(grammar, share=None):
        return jnp.ones_like(right(grammar, share))

    patch(tables, "topic_shares", broken)


@bug("no direction is ever given", beliefs.check_next_word)
def _(patch: Patch, right=tables.build) -> None:
    def broken(corpus):
        never = tuple(dataclasses.replace(each, share=1e-9) for each in corpus.directions)
        return right(dataclasses.replace(corpus, directions=never))

    patch(tables, "build", broken)


@bug("the mask is one word late", batches.check_cross_entropy)
def _(patch: Patch, right=losses.cross_entropy) -> None:
    def broken(logits, tokens, counted):
        return right(logits, tokens, jnp.roll(counted, 1, 1))

    patch(losses, "cross_entropy", broken)


@bug("a word is predicted from itself", batches.check_cross_entropy)
def _(patch: Patch, right=losses.token_log_likelihood) -> None:
    def broken(logits, tokens):
        return right(jnp.roll(logits, -1, 1), tokens)

    patch(losses, "token_log_likelihood", broken)


@bug("muon gets the tables", batches.check_muon_gets_the_matrices_only)
def _(patch: Patch) -> None:
    patch(transformer.Transformer, "tables", ())


@bug("adam gets a matrix", batches.check_muon_gets_the_matrices_only)
def _(patch: Patch) -> None:
    patch(transformer.Transformer, "tables", ("embedding", "position", "unembedding", "query0"))


@pytest.mark.parametrize(("plant", "check"), BUGS)
def test_a_planted_bug_is_found(plant, check, twin, holds, monkeypatch) -> None:
    planted.is_found(plant, check, twin, holds, monkeypatch)
