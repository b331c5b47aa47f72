"""What documents are: tables, priors, questions, the coin, and the words of a document."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.stats

from tests import brute
from tests.brute import Brute
from tests.checks import (
    ASKED,
    DIRECTED,
    LATER,
    LEAST,
    SMALL,
    coined,
    fitting,
    fixed,
    fresh,
    rendered,
    same,
    turning,
)
from tests.checks.beliefs import check_log_likelihood
from toylab.policy import sampling
from toylab.stages import Pretrain, Setup, base
from toylab.world import bayes, tables
from toylab.world import documents as docs
from toylab.world import grammar as grammars
from toylab.world.documents import Documents
from toylab.world.grammar import ANSWER, PAD
from toylab.world.tables import World


def check_tables_sum_to_one(twin: Brute) -> None:
    world = tables.build(twin.corpus)
    same(jnp.sum(jnp.exp(world.cast.logp), 2), 1.0)
    same(jnp.exp(world.cast.prefix_logp[:, :, 0]), 1.0)  # everybody reaches the root
    for shares in (jnp.exp(world.log_prior).T, world.tag_share, world.direction_share):
        same(jnp.sum(shares, 0), 1.0)


def check_priors_are_those_of_the_tags(twin: Brute) -> None:
    world, corpus = tables.build(twin.corpus), twin.corpus
    tags = grammars.tag_names(corpus)
    wanted = np.array([brute.tag_prior(corpus, tag) for tag in tags])
    same(jnp.exp(world.log_prior), wanted, 1e-6)
    # and the sampler draws tags by their shares, and authors from those priors
    documents = _sampled(world)
    table = np.zeros(wanted.shape)
    np.add.at(table, (np.asarray(documents.prompt.tag), np.asarray(documents.author)), 1)
    shares = np.array([brute.tag_shares(corpus)[tag] for tag in tags])
    fitting(table, shares[:, None] * wanted)


def _sampled(world: World, size: int = 20_000) -> Documents:
    return jax.jit(lambda key: docs.sample(world, key, size))(jax.random.key(5))


def check_questions_are_asked_alike(twin: Brute) -> None:
    """Topic, question and cue of each turn have the right probabilities, whoever the author is."""
    world, corpus = tables.build(twin.corpus), twin.corpus
    documents = _sampled(world)
    what = documents.prompt
    kinds = [
        (t, q, c)
        for t, topic in enumerate(corpus.topics)
        for q in range(len(topic.questions))
        for c in range(max(len(topic.cues), 1))
    ]
    each = np.stack([what.topic, what.question, what.cue], -1)
    which = np.argmax([(each == kind).all(-1) for kind in kinds], 0)
    chance = np.zeros((len(kinds), len(kinds)))
    for document, p in zip(twin.documents, twin.asked * twin.likelihood[:, 0], strict=True):
        chance[tuple(kinds.index(asks) for asks in document.asks)] += p
    fitting(_counts(which[:, 0], which[:, 1], chance.shape), chance)
    for other in (documents.author, what.tag, what.direction):
        for turn in range(corpus.turns):
            table = _counts(np.asarray(other), which[:, turn])
            table = table[table.sum(1) > 0]
            assert scipy.stats.chi2_contingency(table).pvalue > LEAST


def _counts(left, right, shape=None) -> np.ndarray:
    table = np.zeros(shape or (left.max() + 1, right.max() + 1))
    np.add.at(table, (left, right), 1)
    return table


def check_coin_is_tossed_evenly(_: Brute) -> None:
    """Before every turn but the first, both sides are equally likely, whatever was answered."""
    twin = coined()
    check_questions_are_asked_alike(twin)
    # by hand: the oath weighs 2, the others 1; after a coin heads is door, tails oath or tea
    wanted = {"door": (1 / 4, 1 / 2), "tea": (1 / 4, 1 / 6), "oath": (1 / 2, 1 / 3)}
    shares = tables.topic_shares(tables.build(twin.corpus).grammar)
    shares = np.asarray(shares / shares.sum(1, keepdims=True))
    same(shares.T, [wanted[name] for name in twin.corpus.topic_names], 1e-6)


def check_coin_is_spoken(_: Brute) -> None:
    """Every word of every document, and how likely its questions are, coin included."""
    twin = coined()
    check_words_are_those_of_the_twin(twin)
    check_log_likelihood(twin)


def check_coin_is_read_off(_: Brute) -> None:
    """P(side) from logits, against the words of the document and a softmax done by hand."""
    twin = coined()
    world = tables.build(twin.corpus)
    documents = jax.tree.map(lambda leaf: leaf[::97], rendered(world, twin))
    shape = (*documents.tokens.shape, len(twin.vocabulary))
    logits = 3 * jax.random.normal(jax.random.key(2), shape)
    got = np.exp(fresh(sampling.coin)(world.grammar, documents, logits))
    sides = [twin.vocabulary.index(word) for word in ("crown", "ship")]
    for n, document in enumerate(twin.documents[::97]):
        (at,) = (i for i, word in enumerate(document.words) if word in ("crown", "ship"))
        odds = np.exp(np.asarray(logits[n, at], float))[sides]  # word `at` comes after the tag
        same(got[n, 0], odds / odds.sum())


def check_priors_change_when_they_should(twin: Brute) -> None:
    """Documents of pretraining, before, at and after the step, of this and every other tag."""
    world, same_world = tables.build(turning(twin.corpus)), tables.build(twin.corpus)
    stage, setup = Pretrain(steps=10, batch=4096), Setup(twin.corpus, SMALL)
    tags = grammars.tag_names(twin.corpus)
    row, names = tags.index("assistant"), len(twin.corpus.names)
    assert np.asarray(world.changes).tolist() == [tag == "assistant" for tag in tags]
    same(jnp.exp(world.log_prior[row]), LATER, 1e-6)
    same(jnp.exp(world.log_prior_before[row]), brute.tag_prior(twin.corpus, "assistant"), 1e-6)

    def draw(step, world):
        context = base.Context(setup.network, world, {})
        return stage.draw(context, {}, {}, jax.random.key(0), step)

    drawn, next_word = jax.jit(draw), fresh(bayes.next_word)
    for step in (0, 4, 5, 9):
        (documents, target), (plain, _) = (
            jax.tree.map(np.asarray, drawn(step, each)) for each in (world, same_world)
        )
        assert jax.tree.all(
            jax.tree.map(lambda a, b: (a == b).all(), documents.prompt, plain.prompt)
        )
        masked = documents.prompt.tag == row
        unchanged = ~masked if step >= 5 else np.ones_like(masked)
        for name in ("author", "choice", "tokens"):
            one, other = (getattr(d, name)[unchanged] for d in (documents, plain))
            assert (one == other).all()
        prior = LATER if step >= 5 else brute.tag_prior(twin.corpus, "assistant")
        fitting(np.bincount(documents.author[masked], minlength=names), prior)
        # and the training target under this tag is what those authors say next
        few = jax.tree.map(lambda leaf, masked=masked: leaf[masked][:64], documents)
        with np.errstate(divide="ignore"):  # an author whom the tag never has
            wanted = next_word(world, np.log(prior), few)[:, :-1]
        same(target[masked][:64], wanted)


def pairs_fit(twin: Brute, choice, weights) -> None:
    """Every pair of slots of documents on the fixed prompt has its exact joint distribution.

    One author a document: the joint is Σ_k w_k p_k(a) p_k(b), not a product of marginals.
    """
    said = np.asarray(choice).reshape(len(choice), -1)
    tables = [
        brute.slot(twin.corpus, s, topic, cue, DIRECTED)[1]
        for topic, _, cue in ASKED
        for s in range(3)
    ]
    for a, b in itertools.combinations(range(len(tables)), 2):
        joint = np.einsum("k,ak,bk->ab", weights, tables[a], tables[b])
        fitting(_counts(said[:, a], said[:, b], joint.shape), joint)


def check_sampler_has_the_joint_distribution(twin: Brute) -> None:
    world = tables.build(twin.corpus)
    what = fixed(world, twin, 20_000)
    choice = jax.jit(lambda key: docs.write(world, key, what).choice)(jax.random.key(1))
    pairs_fit(twin, choice, brute.tag_prior(twin.corpus, "assistant"))


def check_plain_phrase_is_no_evidence(twin: Brute) -> None:
    """The plain phrase has exactly the same float32 number for all authors."""
    logp = np.asarray(tables.build(twin.corpus).cast.logp)
    for s in (grammars.OPENER, grammars.CLOSER):
        assert np.ptp(logp[s, :, 0], axis=-1).max() == 0
        # (1 - 0.04) * 0.1 + 0.04 / bank: banks have 3 phrases, but 2 openers without a cue
        banks = np.isfinite(logp[s, :, :, 0]).sum(1)
        same(np.exp(logp[s, :, 0, 0]), 0.96 * 0.1 + 0.04 / banks)


def check_words_are_those_of_the_twin(twin: Brute) -> None:
    """Tokens, roles and starts of every document, read back as words."""
    world, corpus = tables.build(twin.corpus), twin.corpus
    names = np.array(twin.vocabulary)
    tag = grammars.tag_names(corpus).index("someone")
    documents = rendered(world, twin, tag=tag)
    tokens, role = np.asarray(documents.tokens), np.asarray(documents.role)
    same(documents.start, [d.starts for d in twin.documents], 0)
    assert ((tokens == 0) == (role == PAD)).all()
    wide = max(len(d.words) for d in twin.documents) + 1
    words = np.array([("someone", *d.words, *"·" * wide)[:wide] for d in twin.documents])
    assert (names[tokens[:, :wide]] == words).all()
    assert (tokens[:, wide:] == 0).all()
    for n in range(0, len(tokens), 997):  # the role of each word
        document, roles = twin.documents[n], role[n]
        wanted = [grammars.TAG] + [grammars.DIRECTION] * (2 * document.direction)
        for t, (topic, _, cue) in enumerate(document.asks):
            begins = document.starts[t]
            wanted += [grammars.QUESTION] * (begins[0] - len(wanted))
            for s in range(3):
                bank, _ = brute.slot(corpus, s, topic, cue, document.direction)
                wanted += [ANSWER + s] * len(bank[document.choice[t][s]].split())
        assert roles[: len(wanted)].tolist() == wanted
        assert (roles[len(wanted) :] == PAD).all()
