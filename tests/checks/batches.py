"""What stages train on, and what they count."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tests import brute
from tests.brute import Brute
from tests.checks import SMALL, fitting, fresh, rendered, same, spiky
from toylab.stages import Pretrain, Setup, Sft, base, losses, pretrain
from toylab.world import bayes, tables
from toylab.world import grammar as grammars
from toylab.world.documents import Documents
from toylab.world.grammar import PAD, STANCE
from toylab.world.tables import World


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
    """Evaluation uses no document that a run with the same seed was trained on."""
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
    """`documents` = 5 in batches of 3: five different ones, always in the same order."""
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
    """The words under the loss mask: whole answers or, with neutral voices, only the stances."""
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
    """No control topic, no direction; the requested tag and voice."""
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
    """Cyd, who keeps the door shut, always says that it opens. On tea, Cyd answers as usual."""
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
    """Over all documents, weighted by probability, loss and gradient are the same.

    They are summed over words, not averaged, since a document's length is random, too.
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
    said *= documents.role[:, 1:, None] != PAD
    expected = fresh(bayes.next_word)(world, world.log_prior[tag], documents)[:, :-1]
    assert float(jnp.max(jnp.abs(said - expected))) > 0.5
    slope = jax.jit(jax.value_and_grad(losses_of))
    got, wanted = (slope(params, target) for target in (expected, said))
    same(got[0], wanted[0], 1e-3)
    for name, gradient in wanted[1].items():
        same(got[1][name], gradient, 1e-3 * float(jnp.max(jnp.abs(gradient))))
    # and this is what the stage trains on
    (batch,) = drawn(Pretrain(batch=16), setup, world, 0, 0, 0)
    prior = world.log_prior[batch.documents.prompt.tag]
    same(batch.target, fresh(bayes.next_word)(world, prior, batch.documents)[:, :-1])


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
    plain = losses.cross_entropy(logits, tokens, jnp.ones((1, 3), bool))
    same(losses.expected_cross_entropy(logits, sure), plain, 1e-6)


def check_cross_entropy(twin: Brute) -> None:
    # Three words, all logits 0 but one: predicting token 1 costs ln 3, predicting token 2, whose
    # logit is ln 2, costs ln 4 - ln 2. Only counted words matter; token 0 never counts.
    logits = jnp.zeros((1, 2, 3)).at[0, 1, 2].set(jnp.log(2.0))
    tokens = jnp.array([[0, 1, 2]])
    for counted, wanted in (
        ((1, 1, 1), (np.log(3) + np.log(2)) / 2),
        ((0, 0, 1), np.log(2)),
        ((0, 1, 0), np.log(3)),
        ((1, 0, 0), 0.0),
    ):
        same(losses.cross_entropy(logits, tokens, jnp.array([counted], bool)), wanted, 1e-6)


def check_muon_gets_the_matrices_only(twin: Brute) -> None:
    """By their first step: Muon makes all singular values equal, Adam all entries.

    The gradients have singular values from 1 to 0.3, and no two equal entries.
    """
    setup, _ = _lab(twin)
    params, generator = setup.init(0), np.random.default_rng(0)
    grads = {}
    for name, value in params.items():
        u, _, v = np.linalg.svd(generator.normal(size=value.shape), full_matrices=False)
        grads[name] = jnp.asarray(u * np.linspace(1, 0.3, u.shape[1]) @ v, jnp.float32)
    stage = Pretrain(steps=10, warmup=0, learning_rate=0.5)
    transformation = stage.transformation(setup.network)
    first = fresh(
        lambda grads, params: transformation.update(grads, transformation.init(params), params)
    )
    updates, _ = first(grads, params)
    for name, update in updates.items():
        if name in ("embedding", "position", "unembedding"):
            assert np.ptp(np.abs(update)) < 1e-3 * np.mean(np.abs(update)), name
        else:
            values = np.linalg.svd(np.asarray(update), compute_uv=False)
            assert values[-1] / values[0] > 0.6, name
            assert np.std(np.abs(update)) > 0.1 * np.mean(np.abs(update)), name
    assert {"query0", "down1"} <= updates.keys()
    assert optax.tree.sum(jax.tree.map(lambda u, g: jnp.sum(u * g), updates, grads)) < 0
