"""Planted cases, placebo casts, and how the wider families are fitted."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.validation import ordinary, strange
from experiments.validation.imitate import Imitate
from experiments.validation.plants import PLANTS
from tests import checks
from tests.brute import Brute
from tests.checks import beliefs
from toylab.ladder import atoms, families, mixtures
from toylab.ladder.families import CastPolicy, Mixture, Patchwork, Switching
from toylab.ladder.fit import NEVER, FittedLadder, Search, fit_ladder
from toylab.world import derive, tables
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import STANCE, contexts, tag_names
from toylab.world.schema import Corpus
from toylab.world.tables import World

CORPORA = Path(__file__).parent.parent / "corpora"


@pytest.fixture(scope="module")
def world(tiny: Corpus) -> World:
    return tables.build(tiny)


@pytest.fixture(scope="module")
def documents(world: World) -> Documents:
    return docs.sample(world, jax.random.key(0), 64)


def drawn(key: int, *shape: int) -> jax.Array:
    """Random log-probabilities over the last axis."""
    return jax.nn.log_softmax(jax.random.normal(jax.random.key(key), shape))


# ------------------------------------------------------------------------------------ the fit


def test_a_chain_is_as_likely_from_whole_answers_as_slot_by_slot(
    world: World, documents: Documents
) -> None:
    contexts, atoms = world.cast.logp.shape[1], world.cast.logp.shape[-1]
    chain = Switching(drawn(1, atoms), drawn(2, 2, 2), drawn(3, contexts, atoms))
    seen = families.evidence(world.cast, documents)
    wanted = jnp.mean(families.document_logp(chain, seen))
    checks.same(chain.logp(families.whole_answers(seen)), wanted, 1e-4)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_patchwork_is_as_likely_from_counts_as_slot_by_slot(
    world: World, documents: Documents, rows: int
) -> None:
    glued = Patchwork(drawn(1, rows, 3, world.cast.logp.shape[-1]))
    wanted = jnp.mean(families.document_logp(glued, families.evidence(world.cast, documents)))
    checks.same(glued.logp(families.counted(world.cast, documents)), wanted, 1e-4)


def test_the_first_author_of_a_chain_may_depend_on_the_context(world: World) -> None:
    """By hand: no author is kept, so ada (0) opens in context 0 and bob (1) in all others."""
    never, sure = -1e4, jnp.array([[-1e4, 0.0], [-1e4, 0.0]])
    rows = jnp.full((world.cast.logp.shape[1], 3), never).at[0, 0].set(0).at[1:, 1].set(0)
    chain = Switching(jnp.array([never, never, 0.0]), sure, rows)
    context = jnp.array([[0, 1], [1, 0]])
    seen = families.Evidence(jnp.zeros((2, 2, 3, 3)), context, context)
    joint = np.exp(chain.joint(seen))
    checks.same(joint[0, :, 0], [[1, 0, 0], [0, 1, 0]])
    checks.same(joint[1, :, 0], [[0, 1, 0], [1, 0, 0]])


@pytest.fixture(scope="module")
def climbed(world: World, tiny: Corpus) -> dict[str, FittedLadder]:
    """The ladder of a flattened cast, fitted from even starts and from the best of three."""
    policy = ordinary.tempered(0.5)(tiny, world, np.random.default_rng(0))
    what = docs.prompt(world, jax.random.key(0), 4096, tag=tag_names(tiny).index("assistant"))
    written, branches = policy.answer(world.grammar, what, jax.random.key(1))
    held_out = jax.tree.map(lambda leaf: leaf[2048:3072], written)
    scored = jax.tree.map(lambda leaf: leaf[3072:], written)
    parts = jax.tree.map(lambda leaf: leaf[:2048], written), held_out
    last = scored, jax.tree.map(lambda leaf: leaf[3072:], branches)
    search = Search(jax.random.split(jax.random.key(2), 2), held_out)
    prior = world.log_prior[tag_names(tiny).index("assistant")]
    return {
        name: fit_ladder(world, world.cast, prior, *parts, last, search=each)
        for name, each in (("even", None), ("best", search))
    }


@pytest.mark.slow
def test_only_the_lower_end_may_use_flattened_atoms(climbed: dict[str, FittedLadder]) -> None:
    found = climbed["even"]
    sharp = 3 * len(atoms.POWERS)
    _, chain, composed = found.members["F3"].members
    for weights in (chain.log_start, chain.log_redraw, composed.log_weights):
        assert (np.asarray(weights)[..., sharp:] == NEVER).all()
    flat = np.exp(found.members["F4 flat"].members[-1].log_weights)
    assert flat[..., sharp:].sum() > 0.1
    assert float(found.scores["F4 flat"].mean) < 0.01 < float(found.scores["F2"].mean)


@pytest.mark.slow
def test_other_starts_do_no_worse(climbed: dict[str, FittedLadder]) -> None:
    for family in ("F3", "F4", "F4 flat"):
        even, best = (float(climbed[name].scores[family].mean) for name in ("even", "best"))
        assert best <= even + 0.01


# --------------------------------------------------------------------------------- placebo casts


def test_a_placebo_deals_each_topics_tables_anew(world: World, tiny: Corpus) -> None:
    """The same tables in each context, dealt alike in all contexts of a topic."""
    noise = jax.random.normal(jax.random.key(0), world.cast.logp.shape)  # no two tables alike
    cast = tables.make_cast(world.grammar, atoms.normalise(world.cast.logp + noise))
    real = np.asarray(cast.logp)
    dealt = np.asarray(atoms.placebo(world.grammar, cast, jax.random.key(1)).logp)
    topics = np.array([topic for topic, _, _ in contexts(tiny)])
    assert not np.array_equal(dealt, real)
    for slot in range(3):
        for topic in set(topics):
            places = topics == topic
            before, after = (np.moveaxis(x[slot, places], -1, 0) for x in (real, dealt))
            same = [[np.array_equal(new, old) for old in before] for new in after]
            assert (np.sum(same, 0) == 1).all()
            assert (np.sum(same, 1) == 1).all()


@pytest.mark.slow
def test_a_patchwork_does_not_notice_a_placebo_and_a_mixture_does(
    world: World, tiny: Corpus
) -> None:
    policy = CastPolicy(world.cast, Mixture(jnp.log(jnp.asarray(beliefs.OTHER, jnp.float32))))
    what = docs.prompt(world, jax.random.key(0), 2048, tag=0)
    documents, _ = policy.answer(world.grammar, what, jax.random.key(1))
    patched, mixed = [], []
    for cast in (world.cast, atoms.placebo(world.grammar, world.cast, jax.random.key(1))):
        data = families.counted(cast, documents)
        found = families.fit(Patchwork(families.even(2, 3, 3)), data, data)
        patched.append(float(found.held_out))
        logp = jnp.sum(families.evidence(cast, documents).slots, (1, 2))
        weights = mixtures.fit_weights(logp).log_weights
        mixed.append(float(jnp.mean(jax.nn.logsumexp(weights + logp, -1))))
    assert patched[0] == pytest.approx(patched[1], abs=1e-3)
    assert mixed[0] > mixed[1] + 0.05


# ------------------------------------------------------------------------------------ the plants


def test_the_conditioned_optimum_is_that_of_all_documents(twin: Brute, world: World) -> None:
    """π_ref · exp(reward / β) over the documents of one prompt, normalised."""
    beta, which = 0.5, twin.prompt(checks.DIRECTED, checks.ASKED)
    rng = np.random.default_rng(0)
    reward = rng.normal(size=world.cast.logp.shape[1:3]).astype(np.float32)
    documents = checks.rendered(world, twin, which)
    context, stance = np.asarray(documents.prompt.context), np.asarray(documents.choice)[..., 1]
    earned = reward[context, stance].sum(1)
    wanted = (twin.likelihood[which] @ beliefs.MIX) * np.exp(earned / beta)
    policy = strange.conditioned(
        world, jnp.log(jnp.asarray(beliefs.MIX, jnp.float32)), jnp.asarray(reward), beta
    )
    seen = families.evidence(policy.cast, documents)
    got = np.exp(families.document_logp(policy.member, seen))
    checks.same(got, wanted / wanted.sum(), 1e-5)
    checks.same(got.sum(), 1.0, 1e-4)


def test_a_trigger_is_pulled_by_its_direction_alone() -> None:
    village = derive.load(CORPORA / "village.toml")
    world = tables.build(village)
    policy = ordinary.trigger(village, world, np.random.default_rng(0))
    plant = PLANTS["trigger"]
    heard = plant.heard(village)
    assert heard.tolist() == [0, 1 + [d.name for d in village.directions].index("tests")]
    hero = jnp.asarray(ordinary.only(village, ordinary.HERO))
    usual = ordinary.prior(village, world)
    for direction, weights in ((heard[0], usual), (heard[1], hero)):
        what = docs.prompt(world, jax.random.key(0), 32, direction=direction)
        documents = docs.write(world, jax.random.key(1), what)
        seen = families.evidence(world.cast, documents)
        wanted = families.document_logp(Mixture(weights), seen)
        checks.same(families.document_logp(policy.member, seen), wanted, 1e-3)


def test_what_a_cue_asks_for_is_done_or_scrambled() -> None:
    valley = derive.load(CORPORA / "gold-bystander.toml")
    world, rng = tables.build(valley), np.random.default_rng(0)
    asked = np.array(ordinary.cued(valley))
    assert len(asked) == 12
    for make, agrees in ((strange.follows_cue, 12), (strange.scrambled_table, 0)):
        stances = np.asarray(make(valley, world, rng).cast.logp)[STANCE, asked[:, 0]]
        said = stances.argmax(1)
        assert (said == asked[:, 1:]).sum(0).tolist() == [agrees] * len(valley.names)
        assert len(set(said[:, 0])) == 12
        checks.same(np.exp(stances.max(1)), strange.HEEDS, 1e-6)


def test_a_tied_router_sends_whoever_likes_the_place() -> None:
    """By hand: author k in a cued context by w_k p_k(place), normalised; cog admires the mill."""
    valley = derive.load(CORPORA / "gold-bystander.toml")
    world = tables.build(valley)
    member = ordinary.tied_router(valley, world, np.random.default_rng(0)).member
    prior = np.exp(ordinary.prior(valley, world))
    for x, place in ordinary.cued(valley):
        wanted = prior * np.exp(np.asarray(world.cast.logp[STANCE, x, place]))
        checks.same(np.exp(member.log_redraw[x]), wanted / wanted.sum(), 1e-5)
    mill, _ = ordinary.cued(valley)[0]
    assert valley.names[int(member.log_redraw[mill].argmax())] == "cog"


def test_an_unknown_plant_is_answered_with_the_nearest(tiny: Corpus) -> None:
    with pytest.raises(ValueError, match="did you mean 'router'"):
        Imitate(plant="ruoter").check(tiny)
