"""Stages after fine-tuning: what they train on, the loop that runs them, and their flags."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from tests import brute
from tests.checks import fresh, same
from tests.checks.batches import logits_of
from tests.post import BOTH, MORE, SFT, STAGES, alike, batch_of, context_of, flat, sharp, young
from toylab.lab import config, execute
from toylab.lab.flags import Flags
from toylab.lab.paths import Recipe, plain
from toylab.lab.store import Run
from toylab.lab.sweep import Arm, Sweep, quick
from toylab.stages import (
    Anchored,
    Context,
    Diverged,
    Dpo,
    Persona,
    Pretrain,
    Rl,
    Says,
    Setup,
    Sft,
    begin,
    segments,
    train_key,
)
from toylab.stages.targets import rewards
from toylab.world import bayes
from toylab.world.grammar import vocabulary
from toylab.world.schema import Corpus

SLOW = ("anchored rl",)  # both of its parts are tested alone
each_stage = pytest.mark.parametrize(
    "stage",
    [
        pytest.param(stage, id=name, marks=[pytest.mark.slow] * (name in SLOW))
        for name, stage in STAGES.items()
    ],
)


@pytest.mark.parametrize("stage", [STAGES["dpo"], STAGES["rl"]], ids=["dpo", "rl"])
def test_what_is_scored_is_the_words_of_the_answers(setup: Setup, tiny: Corpus, stage) -> None:
    """Every word where a trie may branch, decoded, with its probability in the whole vocabulary.
    Where a document left the grammar, this is the total for all forbidden words."""
    batch, words = batch_of(setup, stage, policy=young), vocabulary(tiny)
    documents = jax.tree.map(np.asarray, batch.documents)
    at = jax.tree.map(np.asarray, fresh(bayes.decisions)(setup.world.grammar, documents))
    logits = logits_of(setup, young(setup, 1), documents.tokens)
    chance, depth = scipy.special.softmax(logits, -1), setup.world.grammar.depth
    left = np.asarray(getattr(batch, "left", np.zeros(at.taken.shape[:-1], bool)))
    assert left.any() == (stage.kind == "rl")
    for n in range(len(documents.tokens)):
        place = at.position[n][at.taken[n].any(-1)] + 1
        scored, total, slots = [words[token] for token in documents.tokens[n, place]], 0.0, []
        gone = False
        assert words[documents.tokens[n, 0]] == "assistant"
        for t, s in np.ndindex(tiny.turns, 3):
            what = documents.prompt
            bank, _ = brute.slot(tiny, s, what.topic[n, t], what.cue[n, t], what.direction[n])
            bank = [phrase.split() for phrase in bank]
            phrase, first = bank[documents.choice[n, t, s]], documents.start[n, t, s]
            slots += phrase[:depth]
            for j, word in enumerate(phrase[:depth]):
                may = {other[j] for other in bank if other[:j] == phrase[:j] and len(other) > j}
                row = chance[n, first + j - 1]
                p = 1 - sum(row[words.index(w)] for w in may) if left[n, t, s, j] else None
                total += 0.0 if gone else np.log(p or row[words.index(word)])
                gone |= left[n, t, s, j]
        assert scored == slots
        same(np.asarray(batch.reference)[n], total, 1e-3)


def test_batches_are_pairs_and_groups_on_one_outline(setup: Setup, tiny: Corpus) -> None:
    pairs, groups = (batch_of(setup, STAGES[kind], policy=young) for kind in ("dpo", "rl"))
    for leaf in pairs.documents.prompt:
        assert (leaf[:4] == leaf[4:]).all()
    assert (pairs.documents.prompt.topic == 1).all()
    for leaf in groups.documents.prompt:
        assert (leaf.reshape(4, 4, -1) == leaf.reshape(4, 4, -1)[:, :1]).all()
    assert (groups.documents.prompt.topic == 0).all()  # tea is a control
    assert (groups.documents.prompt.direction == 0).all()
    stayed = ~np.asarray(groups.left).any((1, 2, 3))
    wanted = rewards(BOTH.arrays(tiny), groups.documents).sum(1) * stayed
    assert 0 < stayed.mean() < 1
    same(groups.reward, wanted, 0)


def test_preferences_are_those_of_bradley_and_terry(setup: Setup, tiny: Corpus) -> None:
    stage = dataclasses.replace(STAGES["dpo"], batch=16_384)
    pairs = batch_of(setup, stage)
    one, other = rewards(MORE.arrays(tiny), pairs.documents).sum(1).reshape(2, -1)
    for gap in range(-2, 3):
        first = np.asarray(pairs.first)[np.asarray(one - other) == gap]
        chance = 1 / (1 + np.exp(-gap))
        assert len(first) > 100
        assert abs(first.mean() - chance) < 4 * np.sqrt(chance * (1 - chance) / len(first))


def test_a_pool_of_pairs_is_gone_through_in_turn(setup: Setup) -> None:
    stage = dataclasses.replace(STAGES["dpo"], batches=2)
    zero, one, two = (batch_of(setup, stage, step) for step in range(3))
    same_pairs = jax.tree.map(lambda a, b: bool((a == b).all()), zero, two)
    assert jax.tree.all(same_pairs)
    assert (zero.documents.tokens != one.documents.tokens).any()
    unlimited = batch_of(setup, STAGES["dpo"], 2)
    assert (unlimited.documents.tokens != two.documents.tokens).any()


def test_the_anchor_is_on_other_topics(setup: Setup, tiny: Corpus) -> None:
    for stage, topic in ((STAGES["anchored sft"], 1), (STAGES["anchored rl"], 0)):
        held = batch_of(setup, stage)
        assert (held.documents.prompt.topic == topic).all()
        trained_on = getattr(held.inner, "documents", held.inner)
        assert (trained_on.prompt.topic == 1 - topic).all()
        assert {vocabulary(tiny)[token] for token in np.asarray(held.documents.tokens)[:, 0]} == {
            "assistant"
        }
    named = Anchored(inner=SFT, topics=("door", "tea"))
    assert set(np.unique(batch_of(setup, named).documents.prompt.topic)) == {0, 1}


def train(setup: Setup, stage, seed: int = 0, at=(4,), position: int = 1):
    params = young(setup, 0)  # random ones leave the grammar at once, and earn nothing
    *_, (state, metrics) = segments(
        setup, stage, begin(setup, stage, params), train_key(seed, position), at, params
    )
    return state, metrics


@each_stage
def test_a_run_that_stops_and_goes_on_is_the_same_and_the_seed_acts(setup: Setup, stage) -> None:
    stage.check(setup.corpus)
    whole, _ = train(setup, stage)
    parts, _ = train(setup, stage, at=(1, 3, 4))
    assert alike(whole, parts)
    saved = jax.tree.map(np.asarray, train(setup, stage, at=(2,))[0])
    loaded = jax.tree.map(jnp.asarray, saved)
    ((again, _),) = segments(setup, stage, loaded, train_key(0, 1), [4], young(setup, 0))
    assert alike(whole, again)
    assert not alike(whole.params, young(setup, 0))
    assert not alike(whole.params, train(setup, stage, seed=1)[0].params)


@each_stage
def test_an_absurd_learning_rate_diverges(setup: Setup, stage) -> None:
    absurd = (
        dataclasses.replace(stage, inner=dataclasses.replace(stage.inner, learning_rate=1e30))
        if isinstance(stage, Anchored)
        else dataclasses.replace(stage, learning_rate=1e30)
    )
    with pytest.raises(Diverged, match=f"{stage.kind} diverged between steps 0 and 4"):
        train(setup, absurd)


def test_a_stage_that_refers_must_be_given_its_reference(setup: Setup) -> None:
    state = begin(setup, STAGES["rl"], setup.init(0))
    with pytest.raises(TypeError, match="rl needs the parameters that it started from"):
        next(segments(setup, STAGES["rl"], state, train_key(0, 1), [1]))


@pytest.mark.parametrize("kind", ["rl", pytest.param("grpo", marks=pytest.mark.slow)])
def test_without_a_weight_of_the_divergence_no_reference_is_asked(setup: Setup, kind: str) -> None:
    """The loss, too, is the same as with one; with a weight it differs."""
    stage = dataclasses.replace(STAGES[kind], beta=0.0)
    assert STAGES[kind].needs_reference
    assert not stage.needs_reference
    context, params, step = context_of(setup, stage), young(setup, 0), jnp.zeros((), jnp.int32)
    draw = fresh(lambda reference: stage.draw(context, params, reference, train_key(0, 1), step))
    without, with_one = draw({}), draw(sharp(setup, 1))
    losses = fresh(
        lambda batch: [each.loss(context, params, batch) for each in (stage, STAGES[kind])]
    )
    loss, told = fresh(stage.loss)(context, params, without)
    assert "kl" not in told
    (same_loss, _), (another, _) = losses(with_one)
    same(loss, same_loss, 1e-6)
    assert abs(loss - another) > 1e-3


@pytest.mark.slow
def test_several_updates_on_a_draw_are_steps_on_one_batch(setup: Setup) -> None:
    """Two updates on one draw, by hand; the loss that is logged is their mean."""
    stage = dataclasses.replace(STAGES["grpo"], updates=2, steps=1)
    params = young(setup, 0)
    state, metrics = train(setup, stage, at=(1,))
    context = Context(setup.network, setup.world, stage.names(setup.corpus))
    transformation, step = stage.transformation(setup.network), jnp.zeros((), jnp.int32)
    batch = stage.draw(context, params, params, train_key(0, 1), step)
    optimiser, told = transformation.init(params), []
    slope = jax.jit(jax.value_and_grad(lambda p: stage.loss(context, p, batch)[0]))
    for _ in range(2):
        loss, gradient = slope(params)
        update, optimiser = transformation.update(gradient, optimiser, params)
        params = {name: params[name] + update[name] for name in params}
        told.append(loss)
    same(flat(state.params), flat(params), 1e-4)
    same(metrics["loss"], np.mean(told), 1e-5)
    assert told[1] < told[0]
    assert int(state.step) == 1


def test_an_anchor_of_weight_nought_changes_nothing_and_a_heavy_one_holds(setup: Setup) -> None:
    inner = dataclasses.replace(SFT, steps=20)
    plain_run, _ = train(setup, inner, at=(20,))
    loose, first = train(setup, Anchored(inner=inner, beta=0.0), at=(20,))
    _, after = train(setup, Anchored(inner=inner, beta=100.0), at=(20,))
    same(flat(loose.params), flat(plain_run.params), 1e-4)
    assert after["anchor"] < 0.3 * first["anchor"]


def test_a_run_killed_after_pretraining_finds_its_reference_again(setup: Setup, tmp_path) -> None:
    pretrain = Pretrain(steps=3, batch=8, warmup=1)
    path = Recipe(setup, 0, (pretrain, STAGES["rl"]))
    ends = []
    for folder, stops in (("whole", [[4]]), ("parts", [[2], [4]])):
        for wanted in stops:
            run = Run(tmp_path / folder, path)
            execute.train(run, wanted)
        ends.append(run.params(4))
    assert alike(*ends)


def sweep_of(**stages) -> Sweep:
    arms = {name: Arm(title=name, stages=(stage,), read_at=()) for name, stage in stages.items()}
    return Sweep(name="some", question="?", corpus="tiny", arms=arms)


def given(sweep: Sweep, *arguments: str) -> Sweep:
    values = Flags("")
    config.define_sweep(values, sweep)
    assert values.parse(arguments) == []
    return config.apply(sweep, values.given)


def test_flags_reach_what_is_within_a_stage() -> None:
    sweep = sweep_of(free=SFT, held=Anchored(inner=SFT), paid=STAGES["rl"])
    changed = given(
        sweep,
        "--sft.steps=7",
        "--held.sft.author=cyd",
        "--anchored.beta=2",
        "--rl.target.answers=tea=yes,door=open",
        "--paid.rl.beta=0",
    )
    free, held, paid = (arm.stages[0] for arm in changed.arms.values())
    assert (free.steps, free.author) == (7, "bob")
    assert (held.steps, held.inner.author, held.beta) == (7, "cyd", 2.0)
    assert held.inner == dataclasses.replace(SFT, steps=7, author="cyd")
    assert paid == dataclasses.replace(
        STAGES["rl"], beta=0.0, target=Says(answers=("tea=yes", "door=open"))
    )
    assert given(sweep) == sweep
    assert [
        arm.stages[0].steps
        for arm in quick(sweep_of(a=Anchored(inner=Sft(author="x")))).arms.values()
    ] == [20]


@each_stage
def test_numbers_and_names_do_not_compile_anew(stage) -> None:
    changed = stage.lasting(9)
    assert changed.steps == 9
    assert changed.structure() == stage.structure()
    assert changed != stage


def test_configs_say_what_they_are_made_of(setup: Setup) -> None:
    held = json.loads(json.dumps(plain(Anchored(inner=Rl(target=MORE)))))
    assert (held["kind"], held["inner"]["kind"], held["inner"]["target"]["kind"]) == (
        "anchored",
        "rl",
        "says",
    )
    stages = [
        Rl(target=MORE),
        Rl(target=Persona(character="ada")),
        Dpo(target=MORE),
        Anchored(inner=Rl(target=MORE)),
        Anchored(inner=Dpo(target=MORE)),
        Anchored(inner=Rl(target=MORE), beta=2.0),
    ]
    assert len({Recipe(setup, 0, (Pretrain(), stage)).digest() for stage in stages}) == len(stages)
