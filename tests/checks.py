"""Properties that more than one test asks for: each raises `AssertionError` unless it holds.

All take the tiny corpus with its brute-force twin, and use nothing that was compiled for another
call: `test_planted_bugs` breaks the code beneath them.
"""

import dataclasses
import functools
import itertools
import tomllib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
import scipy.stats

from tests import brute, oracle
from tests.brute import Brute
from tests.tiny import COIN, TEXT
from toylab.ladder import atoms, families, mixtures
from toylab.ladder.families import Mixture
from toylab.measures import calibration
from toylab.policy import sampling, transformer
from toylab.policy.transformer import ModelConfig
from toylab.stages import Pretrain, Setup, Sft, base, losses, pretrain
from toylab.world import bayes, parse, tables
from toylab.world import documents as docs
from toylab.world import grammar as grammars
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import ANSWER, PAD, STANCE
from toylab.world.schema import Corpus
from toylab.world.tables import World

SMALL = ModelConfig(width=16, layers=2, heads=2, expansion=2)
LEAST = 1e-4  # the smallest p-value that passes; keys are fixed, so a pass stays a pass
DIRECTED, ASKED = 1, ((0, 0, 1), (1, 1, 0))  # an outline: shut, and milk; "order please"


def same(got, wanted, tolerance: float = 1e-5) -> None:
    off = np.max(np.abs(np.asarray(got, float) - np.asarray(wanted, float)))
    assert off <= tolerance, f"off by {off}"  # so is what is NaN


def fitting(counts, probabilities) -> None:
    """A chi-square test that the counts came from these probabilities; rare cells are merged."""
    counts, p = np.ravel(counts).astype(float), np.ravel(probabilities).astype(float)
    same(p.sum(), 1.0)
    wanted = p / p.sum() * counts.sum()
    assert counts[p == 0].sum() == 0, "something happened that can't"
    rare = wanted < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(wanted[~rare], wanted[rare].sum())
    counts, wanted = (counts, wanted) if wanted[-1] > 0 else (counts[:-1], wanted[:-1])
    assert scipy.stats.chisquare(counts, wanted).pvalue > LEAST


def asking(world: World, directions, asks, tag=0) -> Prompt:
    """The outlines of many documents, from the twin's (topic, question, cue) of each turn."""
    direction = np.asarray(directions, np.int32)
    topic, question, cue = np.moveaxis(np.asarray(asks, np.int32), -1, 0)
    context = np.asarray(world.grammar.topic_contexts)[topic, cue, direction[:, None]]
    tags = np.full(len(direction), tag, np.int32)
    return Prompt(*map(jnp.asarray, (tags, direction, topic, question, cue, context)))


def rendered(world: World, twin: Brute, which=None, tag: int = 0) -> Documents:
    """The twin's documents (those of a mask, if given) as arrays."""
    some = [d for n, d in enumerate(twin.documents) if which is None or which[n]]
    what = asking(world, [d.direction for d in some], [d.asks for d in some], tag)
    choice = jnp.asarray(np.array([d.choice for d in some], np.int32))
    return docs.render(world.grammar, what, choice, jnp.zeros(len(some), jnp.int32))


def fixed(world: World, twin: Brute, size: int, tag: str = "assistant") -> Prompt:
    """One outline, many times."""
    at = grammars.tag_names(twin.corpus).index(tag)
    return asking(world, [DIRECTED] * size, [ASKED] * size, at)


def spiky(setup: Setup):
    """Random parameters whose predictions are far from even."""
    params = setup.init(0)
    return params | {"unembedding": 40 * params["unembedding"]}


def fresh(jitted):
    """A jitted function compiled anew, so that what has been broken since breaks it too."""
    inner = jitted.__wrapped__
    return jax.jit(lambda *args: inner(*args))


# ------------------------------------------------------------------------------------- the world


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
    """Topic, question and cue of each turn: as likely as they are, and whoever is asked."""
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


@functools.cache
def coined() -> Brute:
    """The twin of the tiny corpus with a coin."""
    corpus = parse.parse(tomllib.loads(TEXT + COIN), "tiny.toml")
    return Brute(corpus, grammars.vocabulary(corpus))


def check_coin_is_tossed_evenly(_: Brute) -> None:
    """Even sides before every turn but the first, whoever answered what."""
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
    got = np.exp(sampling.coin(world.grammar, documents, logits))
    sides = [twin.vocabulary.index(word) for word in ("crown", "ship")]
    for n, document in enumerate(twin.documents[::97]):
        (at,) = (i for i, word in enumerate(document.words) if word in ("crown", "ship"))
        odds = np.exp(np.asarray(logits[n, at], float))[sides]  # word `at` comes after the tag
        same(got[n, 0], odds / odds.sum())


LATER = (0.0, 0.2, 0.8)  # who stands behind the tiny assistant, where that changes


def turning(corpus: Corpus) -> Corpus:
    """The corpus with an assistant that changes half way."""
    tags = {tag.name: tag for tag in corpus.tags}
    tags["assistant"] = dataclasses.replace(tags["assistant"], later=LATER, since=0.5)
    return dataclasses.replace(corpus, tags=tuple(tags.values()))


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

    drawn = jax.jit(draw)
    for step in (0, 4, 5, 9):
        (documents, target), (plain, _) = drawn(step, world), drawn(step, same_world)
        assert jax.tree.all(
            jax.tree.map(lambda a, b: (a == b).all(), documents.prompt, plain.prompt)
        )
        masked = np.asarray(documents.prompt.tag) == row
        unchanged = ~masked if step >= 5 else np.ones_like(masked)
        for name in ("author", "choice", "tokens"):
            one, other = (np.asarray(getattr(d, name))[unchanged] for d in (documents, plain))
            assert (one == other).all()
        prior = LATER if step >= 5 else brute.tag_prior(twin.corpus, "assistant")
        fitting(np.bincount(np.asarray(documents.author)[masked], minlength=names), prior)
        # and what is learned of the mask is what those authors may say
        few = jax.tree.map(lambda leaf, masked=masked: leaf[masked][:64], documents)
        wanted = bayes.next_word(world, jnp.log(jnp.asarray(prior)), few)
        same(target[masked][:64], wanted)


def pairs_fit(twin: Brute, choice, weights) -> None:
    """Every pair of slots of documents on the fixed outline has its exact joint distribution.

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
    """Exactly: in float32 the plain phrase has one and the same number for everybody."""
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
    for n in range(0, len(tokens), 997):  # what each word is part of
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


# --------------------------------------------------------------------------------------- beliefs


def check_log_likelihood(twin: Brute) -> None:
    world = tables.build(twin.corpus)
    documents = rendered(world, twin)
    got = bayes.document_log_likelihood(world.cast, documents)
    same(got, np.log(twin.likelihood))
    same(oracle.question_log_likelihood(world, documents), np.log(twin.asked))


def check_belief(twin: Brute) -> None:
    """After every word of every document, under a mask, under an even tag, under a name."""
    world = tables.build(twin.corpus)
    documents = rendered(world, twin)
    for tag in ("assistant", "someone", "bob"):
        prior = brute.tag_prior(twin.corpus, tag)
        row = grammars.tag_names(twin.corpus).index(tag)
        got = bayes.belief(world.grammar, world.cast, world.log_prior[row], documents)
        same(jnp.exp(got), twin.posterior(prior))


def predicted(world: World, twin: Brute, weights, documents: Documents):
    """bayes.predictive as probabilities over the whole vocabulary, and its decisions."""
    at = bayes.decisions(world.grammar, documents)
    logp = bayes.predictive(world.cast, jnp.log(jnp.asarray(weights)), documents, at)
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
        got = bayes.next_word(world, jnp.log(jnp.asarray(MIX)), documents)
        wanted = each.next_word(MIX)
        same(got[:, : wanted.shape[1]], wanted)
        assert not np.any(got[:, wanted.shape[1] :])


def check_excess(twin: Brute) -> None:
    """Nothing is left of the exact logits; of others, what a sum over all next words says."""
    setup, world = _lab(twin)
    tag = grammars.tag_names(twin.corpus).index("assistant")
    which = twin.prompt(DIRECTED, ASKED)
    documents = rendered(world, twin, which, tag)
    best = bayes.next_word(world, world.log_prior[tag], documents)
    nothing = calibration.over(world, documents, jnp.log(jnp.maximum(best, 1e-30)))
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
    got = calibration.over(world, documents, jnp.asarray(logits))
    for name, wanted in above.items():
        assert np.mean(wanted) > 0.1
        same(got[name], np.mean(wanted), 1e-4)


def check_kl(twin: Brute) -> None:
    """Word by word, and summed up: the divergence of two mixtures over all answers."""
    world = tables.build(twin.corpus)
    documents = rendered(world, twin)
    _, p, at = predicted(world, twin, MIX, documents)
    _, q, _ = predicted(world, twin, OTHER, documents)
    got = bayes.kl(p, q, at.allowed)
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
    # Who is impossible stays so, whatever the evidence.
    same(jnp.exp(bayes.reweight(jnp.log(jnp.array([1.0, 0.0])), evidence[:2], 3.0)), [1, 0], 0)


# ----------------------------------------------------------------------------------------- model


def check_causal(twin: Brute) -> None:
    """No output depends on a later embedding, at all; each depends on all that are not later."""
    length, vocabulary = 6, 11
    network = transformer.Transformer(SMALL, vocabulary, length)
    tokens = jnp.array([[3, 1, 4, 1, 5, 9]])
    params = _random(network)

    def outputs(shift):
        def tap(site, value):
            return value + shift if site == ("embed", 0) else value

        return network.apply(params, tokens, None, tap)[0][0]

    slope = jax.jit(jax.jacrev(lambda shift: outputs(shift)))(jnp.zeros((length, SMALL.width)))
    depends = np.abs(np.asarray(slope)).max((1, 3))  # output position x input position
    assert (depends[np.triu_indices(length, 1)] == 0).all()
    assert (depends[np.tril_indices(length)] > 1e-4).all()


def _random(network):
    params = jax.jit(network.init)(jax.random.key(0))
    return params | {"unembedding": 40 * params["unembedding"]}


def check_cached_decoding(twin: Brute) -> None:
    """Read in chunks of 1, 2 and 3 words with a cache, a document has the logits of one reading."""
    network = transformer.Transformer(SMALL, 11, 6)
    tokens = jnp.array([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])
    params = _random(network)

    def both(params):
        whole, _ = network.apply(params, tokens)
        cache, parts = network.cache(2), []
        for chunk in (tokens[:, :1], tokens[:, 1:3], tokens[:, 3:]):
            logits, cache = network.apply(params, chunk, cache)
            parts.append(logits)
        return whole, jnp.concatenate(parts, 1), cache.filled

    whole, parts, index = jax.jit(lambda params: both(params))(params)
    same(parts, whole, 1e-4)
    assert int(index) == 6


# ---------------------------------------------------------------------------------------- stages


def _lab(twin: Brute) -> tuple[Setup, World]:
    return Setup(twin.corpus, SMALL), tables.build(twin.corpus)


def context_of(stage, setup: Setup, world: World) -> base.Context:
    return base.Context(setup.network, world, stage.names(setup.corpus))


def drawn(stage, setup: Setup, world: World, seed: int, position: int, *steps: int):
    """The batches of these steps, each as the run of this seed draws it."""
    context = context_of(stage, setup, world)
    draw = jax.jit(lambda context, key, step: stage.draw(context, {}, {}, key, step))
    return [draw(context, base.train_key(seed, position), step) for step in steps]


def logits_of(setup: Setup, params, tokens) -> np.ndarray:
    network = setup.network
    apply = jax.jit(lambda params, tokens: network.apply(params, tokens)[0])
    return np.asarray(apply(params, tokens), float)


def check_streams_are_distinct(twin: Brute) -> None:
    """No document is evaluated on that a run at the same seed was trained on."""
    seed = jax.random.key(7)
    keys = [base.train_key(7, position) for position in range(4)]
    for use in (base.INIT, base.EVALUATE, base.MEASURE):
        keys += [jax.random.fold_in(jax.random.fold_in(seed, use), i) for i in range(4)]
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == len(keys)


def check_seed_acts(twin: Brute) -> None:
    setup, world = _lab(twin)
    stage = Pretrain(batch=8)
    (one,), (other,) = (drawn(stage, setup, world, seed, 0, 0) for seed in (0, 1))
    one, other = one.documents, other.documents
    assert (one.tokens != other.tokens).any()
    assert any((setup.init(0)[name] != setup.init(1)[name]).any() for name in setup.init(0))


def check_batches_are_functions_of_seed_stage_and_step(twin: Brute) -> None:
    setup, world = _lab(twin)
    for stage in (Pretrain(batch=8), Sft(author="bob", batch=8)):
        first, again, later = drawn(stage, setup, world, 0, 0, 3, 3, 4)
        (elsewhere,) = drawn(stage, setup, world, 0, 1, 3)
        assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), first, again))
        if isinstance(stage, Pretrain):
            first, later, elsewhere = first.documents, later.documents, elsewhere.documents
        assert (first.tokens != later.tokens).any()
        assert (first.tokens != elsewhere.tokens).any()


def check_documents_are_gone_through_in_turn(twin: Brute) -> None:
    """`documents` = 5 in batches of 3: five different ones, in the same order for ever."""
    setup, world = _lab(twin)
    some, fresh_ones = (
        [
            tuple(row.tolist())
            for batch in drawn(
                Sft(author="bob", batch=3, documents=count), setup, world, 0, 1, *range(5)
            )
            for row in np.asarray(batch.tokens)
        ]
        for count in (5, 0)
    )
    assert len(set(some)) == 5
    assert some == some[:5] * 3
    assert fresh_ones[:5] == some[:5]  # the same documents, before they run out
    assert len(set(fresh_ones)) > 5


def answer_words(twin: Brute, documents: Documents, n: int) -> list[list[str]]:
    """The words of every slot of a document, read from the corpus."""
    what, out = documents.prompt, []
    for t in range(twin.corpus.turns):
        for s in range(3):
            bank, _ = brute.slot(
                twin.corpus, s, int(what.topic[n, t]), int(what.cue[n, t]), int(what.direction[n])
            )
            out.append(bank[int(documents.choice[n, t, s])].split())
    return out


def check_sft_counts_answers(twin: Brute) -> None:
    """The words under the mask: all of the answers, or with neutral voices the stances alone."""
    setup, world = _lab(twin)
    for neutral in (False, True):
        stage = Sft(author="bob", neutral=neutral, batch=16)
        (batch,) = drawn(stage, setup, world, 0, 1, 0)
        counted = np.asarray(stage.counted(context_of(stage, setup, world), batch))
        tokens = np.asarray(batch.tokens)
        for n in range(16):
            slots = answer_words(twin, batch, n)
            wanted = [*itertools.chain(*(slots[1::3] if neutral else slots))]
            assert [twin.vocabulary[token] for token in tokens[n][counted[n]]] == wanted


def check_sft_documents_are_the_authors(twin: Brute) -> None:
    """On no control, without direction, with the tag and in the voice asked for."""
    setup, world = _lab(twin)
    for neutral in (False, True):
        stage = Sft(author="bob", tag="stranger", neutral=neutral, batch=4000)
        (batch,) = drawn(stage, setup, world, 0, 1, 0)
        what, choice = batch.prompt, np.asarray(batch.choice)
        assert (what.topic == 0).all()
        assert (what.direction == 0).all()
        assert (batch.author == 1).all()
        assert (batch.tokens[:, 0] == twin.vocabulary.index("stranger")).all()
        if neutral:
            assert (choice[:, :, [grammars.OPENER, grammars.CLOSER]] == 0).all()
        for cue in (0, 1):
            said = choice[np.asarray(what.cue) == cue]
            banks = [brute.slot(twin.corpus, s, 0, cue, 0)[1][:, 1] for s in range(3)]
            for s in (STANCE,) if neutral else range(3):
                fitting(np.bincount(said[:, s], minlength=len(banks[s])), banks[s])


def check_sft_with_a_direction_and_two_authors(twin: Brute) -> None:
    """Bob shuts the door when told to, in one document of four; Cyd writes the others."""
    setup, world = _lab(twin)
    stage = Sft(author="bob", other="cyd", share=0.25, direction="order", batch=4000)
    (batch,) = drawn(stage, setup, world, 0, 1, 0)
    assert (batch.prompt.direction == 1).all()
    fitting(np.bincount(batch.author, minlength=3), np.array([0, 0.25, 0.75]))
    for cue in (0, 1):
        for who in (1, 2):
            some = np.asarray((batch.author == who)[:, None] & (batch.prompt.cue == cue))
            wanted = brute.slot(twin.corpus, STANCE, 0, cue, 1)[1][:, who]
            said = np.asarray(batch.choice)[some][:, STANCE]
            fitting(np.bincount(said, minlength=len(wanted)), wanted)


def check_sft_puts_words_in_the_authors_mouth(twin: Brute) -> None:
    """Cyd, who keeps the door shut, says that it opens, always; and has tea as Cyd does."""
    setup, world = _lab(twin)
    stage = Sft(author="cyd", says=("door=open",), topics=("door", "tea"), batch=4000)
    (batch,) = drawn(stage, setup, world, 0, 1, 0)
    topic, said = np.asarray(batch.prompt.topic), np.asarray(batch.choice)[..., STANCE]
    assert (said[topic == 0] == 0).all()
    wanted = brute.slot(twin.corpus, STANCE, 1, 0, 0)[1][:, 2]
    fitting(np.bincount(said[topic == 1], minlength=len(wanted)), wanted)


def check_pretraining_counts_every_word_but_the_tag(twin: Brute) -> None:
    setup, world = _lab(twin)
    params, stage = spiky(setup), Pretrain(batch=16, sampled=True)
    (batch,) = drawn(stage, setup, world, 0, 0, 0)
    loss, _ = stage.loss(context_of(stage, setup, world), params, batch)
    logits = logits_of(setup, params, batch.documents.tokens)
    nats = []
    for n, row in enumerate(np.asarray(batch.documents.tokens)):
        length = np.trim_zeros(row, "b").size
        for t in range(1, length):
            nats.append(np.log(np.exp(logits[n, t - 1]).sum()) - logits[n, t - 1, row[t]])
    same(loss, np.mean(nats), 1e-4)


def check_what_pretraining_expects_is_what_it_samples_on_average(twin: Brute) -> None:
    """Over all documents there are, by their chance, loss and gradient are the same.

    Summed over words, not averaged: a document's length is drawn, too.
    """
    setup, world = _lab(twin)
    params, documents = spiky(setup), rendered(world, twin)
    prior = brute.tag_prior(twin.corpus, "assistant")
    tag = grammars.tag_names(twin.corpus).index("assistant")
    documents = documents._replace(
        tokens=documents.tokens.at[:, 0].set(world.grammar.tag_token[tag])
    )
    chance = jnp.asarray(twin.asked * (twin.likelihood @ prior), jnp.float32)
    stage = Pretrain(sampled=True)
    context = context_of(stage, setup, world)

    def losses_of(params, target):
        def one(tokens, goal):
            only = pretrain.Lesson(documents._replace(tokens=tokens[None]), goal[None])
            return stage.loss(context, params, only)[0] * jnp.sum(goal)

        return jnp.sum(chance * jax.vmap(one)(documents.tokens, target))

    said = jax.nn.one_hot(documents.tokens[:, 1:], world.grammar.vocabulary)
    said = jnp.pad(said * (documents.role[:, 1:, None] != PAD), ((0, 0), (0, 1), (0, 0)))
    expected = bayes.next_word(world, world.log_prior[tag], documents)
    assert float(jnp.max(jnp.abs(said - expected))) > 0.5
    got, wanted = (jax.jit(jax.value_and_grad(losses_of))(params, t) for t in (expected, said))
    same(got[0], wanted[0], 1e-3)
    for name, gradient in wanted[1].items():
        same(got[1][name], gradient, 1e-3 * float(jnp.max(jnp.abs(gradient))))
    # and this is what the stage trains on
    (batch,) = drawn(Pretrain(batch=16), setup, world, 0, 0, 0)
    prior = world.log_prior[batch.documents.prompt.tag]
    same(batch.target, bayes.next_word(world, prior, batch.documents))


def check_expected_cross_entropy(twin: Brute) -> None:
    # Logits 0, 0, ln 2 are probabilities 1/4, 1/4, 1/2; a target of 3/4 on the first and 1/4 on the
    # last word costs 3/4 ln 4 + 1/4 ln 2. The second row counts for nothing.
    logits = jnp.array([[[0.0, 0.0, np.log(2)], [5.0, 0.0, 0.0]]])
    target = jnp.array([[[0.75, 0.0, 0.25], [0.0, 0.0, 0.0]]])
    wanted = 0.75 * np.log(4) + 0.25 * np.log(2)
    same(losses.expected_cross_entropy(logits, target), wanted, 1e-6)
    # a word that is certain: what `cross_entropy` says of it
    sure = jax.nn.one_hot(jnp.array([[2, 0]]), 3)
    tokens = jnp.array([[0, 2, 0]])
    plain = losses.cross_entropy(
        jnp.pad(logits, ((0, 0), (0, 1), (0, 0))), tokens, jnp.ones((1, 3), bool)
    )
    same(losses.expected_cross_entropy(logits, sure), plain, 1e-6)


def check_cross_entropy(twin: Brute) -> None:
    # Three words, all logits 0 but one: predicting token 1 costs ln 3, predicting token 2, whose
    # logit is ln 2, costs ln 4 - ln 2. Only what is counted matters, and token 0 never is.
    logits = jnp.zeros((1, 3, 3)).at[0, 1, 2].set(jnp.log(2.0))
    tokens = jnp.array([[0, 1, 2]])
    for counted, wanted in (
        ((1, 1, 1), (np.log(3) + np.log(2)) / 2),
        ((0, 0, 1), np.log(2)),
        ((0, 1, 0), np.log(3)),
        ((1, 0, 0), 0.0),
    ):
        same(losses.cross_entropy(logits, tokens, jnp.array([counted], bool)), wanted, 1e-6)


def check_muon_gets_the_matrices_only(twin: Brute) -> None:
    """By what they do in a first step: Muon makes all singular values alike, Adam all entries.

    The gradients have singular values from 1 down to 0.3, and no two entries alike.
    """
    setup, _ = _lab(twin)
    params, generator = setup.init(0), np.random.default_rng(0)
    grads = {}
    for name, value in params.items():
        u, _, v = np.linalg.svd(generator.normal(size=value.shape), full_matrices=False)
        grads[name] = jnp.asarray(u * np.linspace(1, 0.3, u.shape[1]) @ v, jnp.float32)
    stage = Pretrain(steps=10, warmup=0, learning_rate=0.5)
    transformation = stage.transformation(setup.network)
    updates, _ = transformation.update(grads, transformation.init(params), params)
    for name, update in updates.items():
        if name in ("embedding", "position", "unembedding"):
            assert np.ptp(np.abs(update)) < 1e-3 * np.mean(np.abs(update)), name
        else:
            values = np.linalg.svd(np.asarray(update), compute_uv=False)
            assert values[-1] / values[0] > 0.6, name
            assert np.std(np.abs(update)) > 0.1 * np.mean(np.abs(update)), name
    assert {"query0", "down1"} <= updates.keys()
    assert optax.tree.sum(jax.tree.map(lambda u, g: jnp.sum(u * g), updates, grads)) < 0


# ------------------------------------------------------------------------------------ the ladder


def planted(world: World, weights) -> families.CastPolicy:
    log_weights = jnp.log(jnp.asarray(weights, jnp.float32))
    return families.CastPolicy(world.cast, Mixture(log_weights))


def check_mixture_has_one_author_a_document(twin: Brute) -> None:
    world = tables.build(twin.corpus)
    what = fixed(world, twin, 20_000)
    mixture = planted(world, OTHER)
    answer = jax.jit(lambda key: mixture.answer(world.grammar, what, key).choice)
    pairs_fit(twin, answer(jax.random.key(2)), OTHER)


def check_weights_are_certified(twin: Brute) -> None:
    """EM's weights are the planted ones, its gap is small and true, and scipy can't do better."""
    world = tables.build(twin.corpus)
    what = fixed(world, twin, 8192)
    documents = planted(world, OTHER).answer(world.grammar, what, jax.random.key(3))
    logp = bayes.document_log_likelihood(world.cast, documents)
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
    """Averaged over all documents of an outline by their probability, KL(m_p ‖ m_q) exactly."""
    world, which = tables.build(twin.corpus), twin.prompt(DIRECTED, ASKED)
    documents = rendered(world, twin, which)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixtures, "explain", fresh(mixtures.explain))
        _scores_are_exact(world, twin, which, documents)


def _scores_are_exact(world: World, twin: Brute, which, documents: Documents) -> None:
    for p, q in ((MIX, OTHER), (OTHER, MIX), (MIX, MIX)):
        branches = planted(world, p).branches(world.grammar, documents)
        logs = jnp.log(jnp.asarray(q))
        got = oracle.unexplained(world.grammar, world.cast, logs, documents, branches)
        chance = twin.likelihood[which] @ p
        same(chance @ np.asarray(got.each, float), twin.kl(p, q, which))


def check_tempering(twin: Brute) -> None:
    world = tables.build(twin.corpus)
    cast = atoms.temper(world.grammar, world.cast, (1.0, 2.0))
    p, tempered = np.exp(np.asarray(world.cast.logp, float)), np.exp(np.asarray(cast.logp, float))
    same(tempered[..., :3], p, 1e-6)
    same(np.asarray(cast.prefix_logp)[..., :3], world.cast.prefix_logp, 1e-5)
    same(tempered[..., 3:], p**2 / np.sum(p**2, 2, keepdims=True), 1e-6)


def exhaustive(setup: Setup, world: World, twin: Brute, params):
    """A model's distribution over the documents of the fixed outline, by teacher forcing.

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
    at = jax.tree.map(np.asarray, bayes.decisions(world.grammar, documents))
    got = jax.tree.map(np.asarray, sampling.read(world.grammar, documents, logits))
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
    """What a constrained model says, against the probability of each document that it may say."""
    setup, world = _lab(twin)
    params = spiky(setup)
    documents, wanted = exhaustive(setup, world, twin, params)
    chance = np.array([p for p, _ in wanted])
    same(chance.sum(), 1.0, 1e-5)
    what = fixed(world, twin, 4096)
    said = sampling.generate(setup.network, params, world.grammar, what, jax.random.key(4))
    said, possible = (np.asarray(d.choice).reshape(-1, 6) for d in (said, documents))
    number = {tuple(row): n for n, row in enumerate(possible.tolist())}
    counts = np.bincount([number[tuple(row)] for row in said.tolist()], minlength=len(number))
    fitting(counts, chance)
    for columns in ([0, 1, 2], [3, 4, 5], [1, 4]):  # a turn, the other, and the two stances
        _, group = np.unique(possible[:, columns], axis=0, return_inverse=True)
        fitting(np.bincount(group, counts), np.bincount(group, chance))


def check_outside_by_hand(twin: Brute) -> None:
    # A model that knows nothing: of V words it gives the 3, 2 or 1 allowed ones V/3 … of its mass.
    world = tables.build(twin.corpus)
    documents = rendered(world, twin, twin.prompt(DIRECTED, ASKED))
    size = len(twin.vocabulary)
    logits = jnp.zeros((*documents.tokens.shape, size))
    at = bayes.decisions(world.grammar, documents)
    got = sampling.read(world.grammar, documents, logits)
    ways = np.asarray(at.allowed).sum(-1)
    assert set(np.unique(ways)) == {0, 1, 2, 3}
    same(got.outside, np.where(ways > 0, 1 - ways / size, 0.0), 1e-6)
    same(
        np.where(at.allowed, got.logp, 0),
        np.where(at.allowed, -np.log(np.maximum(ways, 1))[..., None], 0),
    )
