import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import brute, checks, oracle
from tests.brute import Brute
from tests.checks import beliefs, ladders
from toylab.ladder import atoms, mixtures
from toylab.ladder.families import CastPolicy, Mixture
from toylab.policy.policy import ModelPolicy
from toylab.stages import Setup
from toylab.world import bayes, tables
from toylab.world import documents as docs
from toylab.world.grammar import contexts, tag_names
from toylab.world.schema import Corpus
from toylab.world.tables import Cast, World

SIZE = 4096
CERTAIN = np.array([1.0, 0.0, 0.0])  # ada, always


@pytest.fixture(scope="module")
def world(tiny: Corpus) -> World:
    return tables.build(tiny)


@pytest.fixture(scope="module")
def prompt(world: World, tiny: Corpus):
    """As in pretraining, under the assistant's tag."""
    row = tag_names(tiny).index("assistant")
    return checks.fresh(lambda key: docs.prompt(world, key, SIZE, tag=row))(jax.random.key(10))


unexplained, phrase_marginals = jax.jit(oracle.unexplained), jax.jit(atoms.phrase_marginals)


@jax.jit
def perform(policy, grammar, what, key):
    return policy.answer(grammar, what, key)


def rungs(
    world: World, policy, what, cast: Cast, key: int = 0
) -> tuple[mixtures.Fit, mixtures.Score]:
    """Weights fitted on one half of a policy's documents, scored on the other."""
    fit_on, _ = perform(policy, world.grammar, what, jax.random.key(key))
    score_on, branches = perform(policy, world.grammar, what, jax.random.key(key + 1))
    fit = mixtures.fit_weights(bayes.document_log_likelihood(cast, fit_on))
    return fit, unexplained(world.grammar, cast, fit.log_weights, score_on, branches)


def start(world: World, policy, what, weights, key: int = 0) -> mixtures.Score:
    """F0: the divergence from the mixture with these weights."""
    documents, branches = perform(policy, world.grammar, what, jax.random.key(key + 1))
    logs = jnp.log(jnp.asarray(weights, jnp.float32))
    return unexplained(world.grammar, world.cast, logs, documents, branches)


def test_nothing_is_unexplained_when_nothing_happened(twin: Brute, world: World, prompt) -> None:
    prior = brute.tag_prior(twin.corpus, "assistant")
    score = start(world, ladders.planted(world, prior), prompt, prior)
    assert float(score.mean) == pytest.approx(0, abs=1e-5)
    assert np.abs(score.each).max() < 1e-4


def test_the_divergence_is_that_of_all_documents(holds) -> None:
    holds(ladders.check_unexplained_is_the_divergence)


def test_weights_are_recovered_certified_and_the_best(holds) -> None:
    holds(ladders.check_weights_are_certified)


def test_mixtures_have_one_author_a_document(holds) -> None:
    holds(ladders.check_mixture_has_one_author_a_document)


def test_selection_is_explained_by_the_first_rung(twin: Brute, world: World, prompt) -> None:
    policy = ladders.planted(world, beliefs.OTHER)
    fit, first = rungs(world, policy, prompt, world.cast)
    f0 = start(world, policy, prompt, brute.tag_prior(twin.corpus, "assistant"))
    checks.same(np.exp(fit.log_weights), beliefs.OTHER, 0.05)
    assert float(first.mean) < 2e-3
    assert float(f0.mean) > 0.1


def test_the_first_rung_equals_that_of_a_second_optimiser(world: World, prompt) -> None:
    """Also with a policy outside the family: all at power 3, so no weights are exact."""
    cast = atoms.temper(world.grammar, world.cast, (3.0,))
    policy = CastPolicy(cast, Mixture(jnp.log(jnp.asarray(beliefs.MIX, jnp.float32))))
    documents, branches = perform(policy, world.grammar, prompt, jax.random.key(7))
    logp = bayes.document_log_likelihood(world.cast, documents)
    fit = mixtures.fit_weights(logp)
    best = ladders.second_optimiser(np.asarray(logp, float))
    assert float(fit.gap) <= mixtures.CERTIFIED
    scores = [
        unexplained(world.grammar, world.cast, weights, documents, branches).mean
        for weights in (fit.log_weights, jnp.log(jnp.asarray(best, jnp.float32)))
    ]
    checks.same(*map(float, scores), 1e-4)


@pytest.mark.parametrize("weights", [(1, 0, 0), (0.2, 0.5, 0.3)], ids=["one", "a mixture"])
def test_each_rung_explains_at_least_as_much_as_the_one_before(
    twin: Brute, world: World, prompt, weights
) -> None:
    cast = atoms.temper(world.grammar, world.cast, (2.5,))
    logs = jnp.log(jnp.asarray(weights, jnp.float32))
    policy = CastPolicy(cast, Mixture(logs))
    f0 = start(world, policy, prompt, brute.tag_prior(twin.corpus, "assistant"))
    _, f1 = rungs(world, policy, prompt, world.cast)
    _, f2 = rungs(world, policy, prompt, atoms.temper(world.grammar, world.cast))
    slack = 3 * max(float(f1.error), float(f2.error)) + mixtures.CERTIFIED
    assert float(f1.mean) <= float(f0.mean) + slack
    assert float(f2.mean) <= float(f1.mean) + slack
    assert float(f2.mean) > -1e-5


def test_a_caricature_is_explained_by_exaggeration_and_not_by_selection(
    world: World, prompt
) -> None:
    caricature = atoms.temper(world.grammar, world.cast, (3.0,))
    policy = CastPolicy(caricature, Mixture(jnp.log(jnp.asarray([0.0, 1.0, 0.0]))))  # bob, cubed
    _, f1 = rungs(world, policy, prompt, world.cast)
    wide = atoms.temper(world.grammar, world.cast, (1.0, 3.0))
    fit, f2 = rungs(world, policy, prompt, wide)
    assert float(f1.mean) > 0.3
    assert float(f2.mean) < 5e-3
    assert float(jnp.exp(fit.log_weights[4])) > 0.98  # bob at the second power


def test_the_divergence_is_the_mean_over_documents(world: World, prompt) -> None:
    policy = ladders.planted(world, beliefs.OTHER)
    score = start(world, policy, prompt, beliefs.MIX)
    assert float(jnp.mean(score.each)) == pytest.approx(float(score.mean), abs=1e-6)
    error = np.std(np.asarray(score.each, float)) / np.sqrt(SIZE)
    assert float(score.error) == pytest.approx(error, rel=1e-4)


# ----------------------------------------------------------------------------------------- casts


def test_tempering_is_by_powers_and_power_one_is_the_cast(holds) -> None:
    holds(ladders.check_tempering)


def test_blurring_by_hand(world: World) -> None:
    """Temperature 1 and no extra slip is the cast; all slips is an even draw."""
    same = atoms.blur(world.grammar, world.cast, 1.0, 1e-9)
    checks.same(jnp.exp(same.logp), jnp.exp(world.cast.logp))
    even = np.exp(atoms.blur(world.grammar, world.cast, 1.0, 1 - 1e-6).logp)
    banks = np.isfinite(world.cast.logp).sum(2, keepdims=True)
    checks.same(even, np.where(np.isfinite(world.cast.logp), 1 / banks, 0.0))
    # At temperature 1/2, p becomes p² over its sum, and a slip of 0.1 is mixed in.
    p = np.exp(np.asarray(world.cast.logp, float))
    squared = p**2 / (p**2).sum(2, keepdims=True)
    wanted = np.where(p > 0, 0.9 * squared + 0.1 / banks, 0.0)
    checks.same(np.exp(atoms.blur(world.grammar, world.cast, 0.5, 0.1).logp), wanted)


@pytest.mark.parametrize(("temperature", "slip"), [(1.25, 0.05), (0.8, 0.1)])
def test_planted_nuisances_are_recovered(
    world: World, prompt, temperature: float, slip: float
) -> None:
    logs = jnp.log(jnp.asarray(beliefs.MIX, jnp.float32))
    student = CastPolicy(atoms.blur(world.grammar, world.cast, temperature, slip), Mixture(logs))
    documents, branches = perform(student, world.grammar, prompt, jax.random.key(3))
    got = atoms.fit_nuisances(world.grammar, world.cast, logs, documents, branches)
    assert got[0] == pytest.approx(temperature, abs=2e-3)
    assert got[1] == pytest.approx(slip, abs=1e-3)


def at_the_root(world: World) -> np.ndarray:
    """The tries, [S, X], that branch only before the first word, so no prefix is sampled there."""
    return (np.asarray(world.grammar.child_count)[:, :, 1:] <= 1).all(-1)


def test_phrase_marginals_of_one_author_are_its_tables(twin: Brute, world: World, prompt) -> None:
    """Exact, except where the second word decides: there, the first word is sampled."""
    policy = ladders.planted(world, CERTAIN)
    documents, branches = perform(policy, world.grammar, prompt, jax.random.key(4))
    p, asked = phrase_marginals(world.grammar, documents, branches)
    wanted, plain = np.exp(world.cast.logp[..., 0]), at_the_root(world)
    assert 0 < plain.sum() < plain.size
    checks.same(p[plain], wanted[plain], 1e-4)  # thousands are summed in float32
    likely(p, wanted, asked)
    assert float(asked.sum()) == 3 * twin.corpus.turns * SIZE


def test_phrase_marginals_of_a_mixture_are_the_mixed_tables(world: World, prompt) -> None:
    policy = ladders.planted(world, beliefs.MIX)
    documents, branches = perform(policy, world.grammar, prompt, jax.random.key(4))
    p, asked = phrase_marginals(world.grammar, documents, branches)
    wanted = np.exp(np.asarray(world.cast.logp, float)) @ beliefs.MIX
    assert float(asked.min()) > 200
    likely(p, wanted, asked)


def test_phrase_marginals_of_a_phrase_are_zero_where_its_bank_has_none(world: World, prompt):
    policy = ladders.planted(world, beliefs.MIX)
    documents, branches = perform(policy, world.grammar, prompt, jax.random.key(4))
    p, _ = phrase_marginals(world.grammar, documents, branches)
    absent = ~np.isfinite(np.asarray(world.cast.logp[..., 0]))
    assert absent.any()
    assert (np.asarray(p)[absent] == 0).all()


def likely(p, wanted, asked) -> None:
    """Within 4.5 standard errors of counting; the estimate itself varies less than that."""
    error = np.sqrt(wanted * (1 - wanted) / np.asarray(asked)[..., None])
    assert (np.abs(np.asarray(p) - wanted) <= 4.5 * error + 1e-5).all()


@pytest.fixture(scope="module")
def learned(tiny: Corpus, world: World):
    """For a policy that is ada under every name: the learned tables, the right ones (all are ada in
    the contexts asked about, those without a direction), and a mask of these contexts."""
    cast = atoms.learned(tiny, world, ladders.planted(world, CERTAIN), jax.random.key(0), 64)
    met = np.array([direction == 0 for _, _, direction in contexts(tiny)])
    wanted = np.array(jnp.exp(world.cast.logp))
    wanted[:, met] = wanted[:, met, :, :1]
    return np.exp(cast.logp), wanted, met


def test_a_learned_cast_is_read_off_the_policy(world: World, learned) -> None:
    got, wanted, met = learned
    checks.same(got[:, ~met], wanted[:, ~met])  # what was never asked stays exact
    plain = at_the_root(world)
    checks.same(got[plain], wanted[plain], 1e-4)
    checks.same(got.sum(2), 1.0)


def test_a_learned_cast_is_right_where_phrases_share_a_first_word(learned) -> None:
    got, wanted, _ = learned
    checks.same(got, wanted, 0.03)


# ---------------------------------------------------------------------------------- transformers


def test_a_models_branches_are_its_softmax_over_what_is_allowed(holds) -> None:
    holds(ladders.check_branches_are_the_models)


def test_branches_found_while_writing_are_those_of_reading(holds) -> None:
    holds(ladders.check_branches_found_while_writing)


def test_a_model_speaks_as_its_branches_say(holds) -> None:
    holds(ladders.check_generation_samples_the_model)


def test_mass_outside_the_grammar_by_hand(holds) -> None:
    holds(ladders.check_outside_by_hand)


def test_what_a_model_writes_is_rendered_as_any_document(
    setup: Setup, world: World, prompt
) -> None:
    """Its words follow the tries, and its prompt is the one it was given."""
    policy = ModelPolicy(checks.spiky(setup), setup.network)
    what = jax.tree.map(lambda leaf: leaf[:256], prompt)
    documents, branches = perform(policy, world.grammar, what, jax.random.key(0))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), documents.prompt, what))
    assert (documents.author == docs.NOBODY).all()
    render = checks.fresh(docs.render)
    again = render(world.grammar, what, documents.choice, documents.author)
    assert (again.tokens == documents.tokens).all()
    at = checks.fresh(bayes.decisions)(world.grammar, documents)
    some = np.asarray(at.allowed).any(-1)
    checks.same(jnp.sum(jnp.exp(branches.logp), -1)[some], 1.0)
    assert (np.asarray(branches.outside) >= 0).all()
    assert (np.asarray(branches.outside)[some] > 0).all()


def test_generation_is_a_function_of_its_key(setup: Setup, world: World, prompt) -> None:
    policy = ModelPolicy(checks.spiky(setup), setup.network)
    what = jax.tree.map(lambda leaf: leaf[:256], prompt)
    one, again, other = (
        perform(policy, world.grammar, what, jax.random.key(key))[0].choice for key in (0, 0, 1)
    )
    assert (one == again).all()
    assert (one != other).any()
