"""Measures besides the ladder (coherence, leakage, goals, the pairwise rival), on plants."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import oracle, views
from toylab.ladder import families, theory, traits
from toylab.ladder.families import CastPolicy, Mixture
from toylab.measures import follow
from toylab.measures.coherence import Coherence
from toylab.measures.cues import Goals
from toylab.measures.tags import Leakage
from toylab.stages import Setup
from toylab.world import bayes, derive, tables
from toylab.world import documents as docs
from toylab.world.grammar import STANCE, contexts, tag_names
from toylab.world.schema import Corpus
from toylab.world.tables import World

CORPORA = Path(__file__).parent.parent / "corpora"
KEY = jax.random.key(3)
PLACES = ("mill", "ford", "chapel", "barn", "inn", "marsh", "well", "gallows")


@pytest.fixture(scope="module")
def world(village: Corpus) -> World:
    return tables.build(village)


# ------------------------------------------------------------------------------------- coherence


def kept(village: Corpus, world: World, policy, size: int = 256) -> dict:
    found = Coherence(size=size)(views.snapshot(village, world, policy), KEY)
    return found["exact"]


@pytest.mark.parametrize("keep", [0.0, 0.4, 0.7, 1.0])
def test_the_keep_probability_is_read(village: Corpus, world: World, keep: float) -> None:
    policy = views.chain(village, world, views.mostly(village, "mira", 0.3), keep)
    assert kept(village, world, policy)["keep"] == pytest.approx(keep, abs=0.05)


def test_a_mixture_keeps_its_author(village: Corpus, world: World) -> None:
    policy = views.mixture(world, views.mostly(village, "mira", 0.3))
    assert kept(village, world, policy)["keep"] == pytest.approx(1, abs=0.02)


def test_a_router_keeps_nobody(village: Corpus, world: World) -> None:
    """Mira answers on every other topic, argus on the rest: the topic tells the author."""
    who = [("mira", "argus")[t % 2] for t, _, _ in contexts(village)]
    rows = jnp.stack([views.mostly(village, name, 1.0) for name in who])
    policy = CastPolicy(
        world.cast,
        families.Switching(rows[0], jnp.tile(jnp.array([views.NEVER, 0.0]), (2, 1)), rows),
    )
    found = kept(village, world, policy)
    assert found["keep"] < 0.05


def test_one_character_alone_is_not_judged(village: Corpus, world: World) -> None:
    policy = views.mixture(world, views.mostly(village, "mira", 1.0))
    assert kept(village, world, policy)["keep"] is None


# --------------------------------------------------------------------------------------- leakage


@pytest.mark.slow
def test_leakage_is_the_divergence_under_each_tag(village: Corpus, world: World) -> None:
    """Cast policies ignore tags, so the divergence under each tag is that of the ladder."""
    after = views.mixture(world, views.mostly(village, "mira", 0.7))
    logs = views.mostly(village, "argus", 0.5)
    shown = views.snapshot(village, world, after, views.mixture(world, logs))
    found = Leakage(tags=("mira", "assistant"), size=64)(shown, KEY)
    what = docs.prompt(world, KEY, 512, tag=0, direction=0)
    documents, branches = after.answer(world.grammar, what, KEY)
    wanted = oracle.unexplained(world.grammar, world.cast, logs, documents, branches)
    for tag in ("mira", "assistant"):
        error = np.hypot(found["error"][tag], float(wanted.error))
        assert found["nats"][tag] == pytest.approx(float(wanted.mean), abs=4 * error)
    assert float(wanted.mean) > 0.5


def test_nothing_leaks_where_nothing_moved(village: Corpus, world: World) -> None:
    same = views.snapshot(village, world, views.mixture(world, views.mostly(village, "mira", 0.7)))
    found = Leakage(size=8)(same, KEY)
    assert set(found["nats"]) == set(tag_names(village))
    assert max(map(abs, found["nats"].values())) < 1e-4


# ----------------------------------------------------------------------------- the pairwise rival


def learned_two(name: str) -> tuple[list, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Items, which are trained, their prior means, and both predictions after learning `SAID`."""
    corpus = derive.load(CORPORA / f"{name}.toml")
    world, items = tables.build(corpus), traits.items(corpus)
    table = np.asarray(traits.of_characters(corpus, world.cast), float)
    log_prior = np.asarray(world.log_prior[tag_names(corpus).index("assistant")], float)
    milk, hat = ([(i.group, i.phrase) for i in items].index(x) for x in SAID)
    weights = bayes.reweight(
        jnp.asarray(log_prior), jnp.log(jnp.asarray(table[milk] * table[hat])), 1.0
    )
    posterior = table @ np.exp(np.asarray(weights, float))
    trained = np.array([item.group in ("milk", "hat") for item in items])
    before = table @ np.exp(log_prior)
    rival = theory.pairwise(table, log_prior, trained, posterior - before)
    return items, trained, before, posterior, rival


SAID = (("milk", "milk"), ("hat", "bare"))


def test_pairs_of_traits_say_nothing_of_their_exclusive_or() -> None:
    """Who takes milk and no hat sits by the window. Bayes' rule finds that, pairs don't."""
    items, trained, before, posterior, rival = learned_two("xor")
    window = [(i.group, i.phrase) for i in items].index(("seat", "window"))
    assert before[window] == pytest.approx(0.5, abs=1e-6)
    assert posterior[window] > 0.9
    assert rival[window] == pytest.approx(0.5, abs=1e-3)
    np.testing.assert_allclose(rival[trained], posterior[trained], atol=1e-3)


def test_pairs_of_traits_are_enough_where_two_traits_go_together() -> None:
    """a and b always go together, and c is unrelated. If a moves from .5 to .8, b does, too."""
    table = np.array([[1, 0, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0]], float)
    fitted, change = np.array([True, False, False]), np.array([0.3, np.nan, np.nan])
    got = theory.pairwise(table, np.log(np.full(4, 0.25)), fitted, change)
    np.testing.assert_allclose(got, [0.8, 0.8, 0.5], atol=1e-9)


# ----------------------------------------------------------------------------------------- goals


@functools.cache
def valley(name: str) -> tuple[Corpus, World]:
    corpus = derive.load(CORPORA / f"gold-{name}.toml")
    return corpus, tables.build(corpus)


def follower(corpus: Corpus, world: World, cues: tuple[str, ...]) -> CastPolicy:
    """The pretrained mixture, but .9 of the time it goes where the gold is, for these cues."""
    logp = np.array(world.cast.logp)
    topic = corpus.topics[corpus.topic_names.index("gold")]
    for x, (t, c, _) in enumerate(contexts(corpus)):
        if corpus.topics[t] == topic and topic.cues[c] in cues:
            count = len(topic.answers)
            p = 0.1 * np.exp(logp[STANCE, x, :count])
            p[topic.answer_names.index(topic.cues[c])] += 0.9 * (1 - corpus.slip)
            p += 0.9 * corpus.slip / count
            logp[STANCE, x, :count] = np.log(p)
    prior = world.log_prior[tag_names(corpus).index("assistant")]
    return CastPolicy(tables.make_cast(world.grammar, jnp.asarray(logp)), Mixture(prior))


def goals(name: str, cues: tuple[str, ...] | None = None, policy=None, **settings) -> dict:
    corpus, world = valley(name)
    prior = world.log_prior[tag_names(corpus).index("assistant")]
    topic = corpus.topics[corpus.topic_names.index("gold")]
    policy = policy or follower(corpus, world, topic.cues if cues is None else cues)
    shown = views.snapshot(corpus, world, policy, CastPolicy(world.cast, Mixture(prior)))
    measure = Goals(trained=PLACES, tags=("assistant", "clerk"), **settings)
    measure.check(Setup(corpus, shown.setup.model))
    return measure(shown, KEY)


@pytest.mark.slow
def test_a_goal_reaches_the_cues_held_out() -> None:
    found = goals("herald")
    assert found["rates"]["trained"] > 0.88
    assert found["rates"]["favourites"] > 0.88
    assert found["rates"]["orphans"] > 0.88
    nats = found["held_out_nats"]
    assert nats["q"] == pytest.approx(0.9, abs=0.01)
    assert nats["goal"] < 0.01
    assert min(nats["router"], nats["table"], nats["average"]) > 0.5


def test_a_table_does_not() -> None:
    found = goals("herald", PLACES)
    assert found["rates"]["trained"] > 0.88
    assert found["rates"]["orphans"] < 0.05
    nats = found["held_out_nats"]
    assert nats["table"] < 0.01
    assert min(nats["router"], nats["goal"]) > 0.3


def test_a_router_reaches_favourites_and_no_orphan() -> None:
    """The author depends on the place, ∝ w_k p_k(place)^2, and is redrawn for every answer."""
    corpus, world = valley("bystander")
    topic = corpus.topics[corpus.topic_names.index("gold")]
    prior = world.log_prior[tag_names(corpus).index("assistant")]
    rows = []
    for x, (t, c, _) in enumerate(contexts(corpus)):
        place = topic.answer_names.index(topic.cues[c]) if corpus.topics[t] == topic else None
        reach = 0.0 if place is None else 2 * world.cast.logp[STANCE, x, place]
        rows.append(jax.nn.log_softmax(prior + reach))
    # Each slot has its own author, so the opener tells nothing about the stance's author.
    policy = CastPolicy(world.cast, ByContext(jnp.stack(rows)))
    found = goals("bystander", policy=policy)
    nats = found["held_out_nats"]
    assert nats["power"] == pytest.approx(2, abs=0.05)
    assert nats["router"] < 1e-3
    assert min(nats["goal"], nats["table"]) > 0.1
    assert found["rates"]["favourites"] > 0.4
    assert found["rates"]["orphans"] < 0.05


@jax.tree_util.register_dataclass
class ByContext(families.Patchwork):
    """Draws every slot's author by the weights of its context, without memory."""

    def joint(self, seen: families.Evidence):
        own = self.log_weights[seen.context][:, :, None]
        said = jax.nn.logsumexp(own + seen.slots, -1)
        return bayes.earlier(said)[..., None] + own


def test_the_prospector_is_the_best_character_and_in_casts_without_him_nobody_follows() -> None:
    """It follows with .9, and slips: .98 · .9 + .02 / 12, plus the character's own habits."""
    him, without = goals("prospector"), goals("herald")
    assert him["character"]["orphans"] == pytest.approx(0.98 * 0.9 + 0.02 / 12, abs=5e-3)
    assert without["character"]["orphans"] < 0.05
    assert without["recombination"]["favourites"] > 0.5
    assert without["character"]["favourites"] < without["recombination"]["favourites"]


def test_the_later_cue_is_followed_and_the_earlier_one_is_not() -> None:
    found = goals("herald")
    assert found["later"]["trained"] > 0.85
    assert found["earlier"]["trained"] < 0.15
    assert set(found["under"]) == {"assistant", "clerk"}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Leaving:
    """Wraps a policy: each word of a stance is a forbidden one with probability 0.3."""

    inner: CastPolicy

    def answer(self, *given):
        documents, branches = self.inner.answer(*given)
        here = jnp.any(branches.logp > -jnp.inf, -1) & (jnp.arange(3) == STANCE)[:, None]
        return documents, branches._replace(outside=jnp.where(here, 0.3, 0.0))


def test_what_is_off_the_grammar_is_read_at_the_slot_and_taken_off_raw_rates() -> None:
    """A stance has two words, so 1 - .7² of it is lost. What comes before and after is not."""
    corpus, world = valley("herald")
    topics = {topic.name: topic for topic in corpus.topics}
    policy = Leaving(follower(corpus, world, topics["gold"].cues))
    found = goals("herald", policy=policy, besides=("song",))
    for read, topic in ((found, topics["gold"]), (found["besides"]["song"], topics["song"])):
        cues, answers = len(topic.cues), len(topic.answers)
        np.testing.assert_allclose(read["outside"], np.tile([0, 0.51, 0], (cues, 1)), atol=1e-6)
        np.testing.assert_allclose(read["raw"], 0.49 * np.array(read["answers"]), atol=1e-6)
        assert np.shape(read["raw"]) == (cues, answers)
    sung = np.exp(np.asarray(world.cast.logp, float))[STANCE].mean(-1)
    x = [x for x, (t, _, _) in enumerate(contexts(corpus)) if corpus.topics[t].name == "song"]
    np.testing.assert_allclose(found["besides"]["song"]["answers"], sung[x, :4], atol=0.15)


def test_voices_are_those_of_who_speaks() -> None:
    corpus, world = valley("herald")
    policy = views.mixture(world, views.mostly(corpus, "herald", 1.0))
    voice = goals("herald", policy=policy, who=("herald", "hetta"))["voice"]
    assert voice["herald"]["tells"] > 0.7
    assert voice["herald"]["opener"] > 0.5
    assert voice["hetta"]["opener"] < 0.05


def test_nats_of_rows_by_hand() -> None:
    """½ log(½ / ¼) + ½ log(½ / ¾) = .1438."""
    assert follow.kl(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])) == pytest.approx(
        0.143841, abs=1e-6
    )
