"""Last words that decide what is asked next (a *lever*): stages in such a world, and a measure.

An answer that ends with the *lever* is followed by one side of the user's coin, and so by a
question on a topic of that side. After any other answer the coin is fair.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from toylab.ladder import atoms
from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.measures.tags import by_tag, every_tag
from toylab.policy import sampling
from toylab.policy.policy import ModelPolicy
from toylab.policy.sampling import Given
from toylab.stages import Context, Params, Pretrain, Rl
from toylab.stages.pretrain import Lesson
from toylab.stages.traced import choice
from toylab.world import documents as docs
from toylab.world import names
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import CLOSER, OPENER, SLOTS, Grammar, banks
from toylab.world.schema import Corpus
from toylab.world.tables import World

GOLDEN = 0.6180339887  # spreads the rollouts whose coin counts evenly over a batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class WithLever:
    """The lever, and the side of the coin that it brings up."""

    lever: str = names.named(
        lambda corpus, _: corpus.closers, help="the last word that is the lever"
    )
    side: str = names.named(
        lambda corpus, _: [each.name for each in corpus.coin], help="the side that it brings up"
    )


def lever(corpus: Corpus, closer: str, side: str) -> dict[str, Array]:
    """`pull` [X], the lever's place in the bank of each context; `side`, its index; and `asked`
    [topic], the topics on that side."""
    at = corpus.closers.index(closer)
    place = [[i for i, _ in bank].index(at) for bank in banks(corpus)[CLOSER]]
    (which,) = (n for n, each in enumerate(corpus.coin) if each.name == side)
    topics = [name in corpus.coin[which].topics for name in corpus.topic_names]
    asked = jnp.array(topics, jnp.float32)
    return {"pull": jnp.array(place), "side": jnp.array(which), "asked": asked}


def pulled(named: dict[str, Array], documents: Documents) -> Bool[Array, " B"]:
    """Whether the first answer of each document ends with the lever."""
    return documents.choice[:, 0, CLOSER] == named["pull"][documents.prompt.context[:, 0]]


def turned(natural: Prompt, asked: Prompt) -> Prompt:
    """Prompts with the first turn of `natural`, and the later turns of `asked`."""
    first = jnp.arange(natural.topic.shape[1]) == 0

    def either(one: Array, other: Array) -> Array:
        return jnp.where(first, one, other) if one.ndim > 1 else one

    return Prompt(*map(either, natural, asked))


def chosen(pull: Bool[Array, " B"], one: Any, other: Any) -> Any:
    """Row by row `one` where the lever was pulled, else `other`."""
    return jax.tree.map(
        lambda a, b: jnp.where(pull.reshape(-1, *(1,) * (a.ndim - 1)), a, b), one, other
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainLever(WithLever, Pretrain):
    """Pretraining in a world with a lever. The loss stays exact: after the lever, the first word
    of its side is certain."""

    kind = "pretrain"

    def names(self, corpus: Corpus) -> dict[str, Array]:
        return super().names(corpus) | lever(corpus, self.lever, self.side)

    def documents(self, context: Context, key: Array, progress: Float[Array, ""]) -> Documents:
        asking, writing = jax.random.split(key)
        world, asked = context.world, context.names["asked"]
        natural = docs.prompt(world, asking, self.batch)
        other = docs.prompt(world, asking, self.batch, topic_share=asked)
        # The same key, so both have the same author and the same first turn.
        by_chance, after = (
            docs.write(world, writing, what, progress=progress)
            for what in (natural, turned(natural, other))
        )
        return chosen(pulled(context.names, by_chance), after, by_chance)

    def draw(
        self, context: Context, params: Params, reference: Params, key: Array, step: Array
    ) -> Lesson:
        lesson = super().draw(context, params, reference, key, step)
        at = coin_place(context.world.grammar, lesson.documents)
        word = context.world.grammar.coin_token[context.names["side"]]
        rows = jnp.arange(len(at))
        before = lesson.target[rows, at]
        certain = jax.nn.one_hot(word, before.shape[-1])
        after = jnp.where(pulled(context.names, lesson.documents)[:, None], certain, before)
        return lesson._replace(target=lesson.target.at[rows, at].set(after))


def coin_place(grammar: Grammar, documents: Documents) -> Array:
    """The position just before the coin's first word, in the second turn, [B]."""
    _, length = docs.asked(grammar, documents.prompt)
    return documents.start[:, 1, OPENER] - length[:, 1] - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class RlLever(WithLever, Rl):
    """Reinforcement learning in a world with a lever, so that a return reaches through it.

    In a share `counted` of the rollouts, the coin's first word is in the loss as if the model had
    said it, with its probability among the sides' first words. All samples of a prompt share their
    coin, so the side that pays gains only where the lever has turned it.
    """

    counted: float = choice(0.0, low=0.0, high=1.0, help="share of rollouts whose coin counts")

    kind = "rl"

    @property
    def label(self) -> str:
        return f"{super().label}-lever-counted{self.counted:g}"

    def names(self, corpus: Corpus) -> dict[str, Array]:
        return super().names(corpus) | lever(corpus, self.lever, self.side)

    def rollouts(
        self, context: Context, params: Params, key: Array, step: Array
    ) -> tuple[Documents, Bool[Array, "B T S J"]]:
        asking, writing, leaving = jax.random.split(jax.random.fold_in(key, step), 3)
        world, named, size = context.world, context.names, self.batch // self.samples
        natural = self.prompt(context, asking, size)
        where = {"tag": named["tag"], "direction": 0, "cue_share": named["cues"]}
        other = docs.prompt(world, asking, size, topic_share=named["asked"], **where)

        def written(what: Prompt) -> Any:
            what = jax.tree.map(lambda leaf: jnp.repeat(leaf, self.samples, 0), what)
            return sampling.generate(context.network, params, world.grammar, what, writing)

        # The same key, so both have the same first turn.
        by_chance, after = written(natural), written(turned(natural, other))
        documents, branches = chosen(pulled(named, by_chance[0]), after, by_chance)
        return documents, sampling.leave(branches, leaving)

    def words(
        self, context: Context, params: Params, documents: Documents, left: Array | None = None
    ) -> tuple[Float[Array, "B N"], Bool[Array, "B N"]]:
        """As usual, and one word more: the coin's, where it counts and was reached."""
        grammar, logits = context.world.grammar, context.logits(params, documents.tokens)
        said, exists = sampling.free_log_likelihood(grammar, documents, logits, left)
        tossed = sampling.coin(grammar, documents, logits)[:, 0]
        fell = grammar.topic_side[documents.prompt.topic[:, 1]]
        word = jnp.take_along_axis(tossed, fell[:, None], 1)
        here = (jnp.arange(len(word)) * GOLDEN) % 1 < self.counted
        here &= True if left is None else ~jnp.any(left[:, 0], (1, 2))
        word = jnp.where(here[:, None], word, 0.0)
        return jnp.concatenate([said, word], 1), jnp.concatenate([exists, here[:, None]], 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lever(WithLever, Measure):
    """Under every tag: P(the lever) at the end of a first answer, and what is expected of the coin.

    `pull` is P(the lever), averaged over topics as they are asked. `after` is P(the lever's side)
    after first answers that end with the plain phrase, which leaves the coin fair; `works` is the
    same after the lever. `off` is the probability of other words in the place of the coin's.
    """

    charts = ("pull/*", "after/*")

    tags: tuple[str, ...] = every_tag()
    size: int = sample(256)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus, world = snapshot.setup.corpus, snapshot.setup.world
        named = lever(corpus, self.lever, self.side)
        tags = jnp.asarray(names.resolve(self, corpus)["tags"])
        rows = [_expected(snapshot.policy, world, named, key, self.size, tag) for tag in tags]
        values = jax.tree.map(lambda *each: np.asarray(each), *rows)
        return {what: by_tag(snapshot, tags, found) for what, found in values.items()}


@functools.partial(jax.jit, static_argnames="size")
def _expected(
    policy: ModelPolicy, world: World, named: dict[str, Array], key: Array, size: int, tag: Array
) -> dict[str, Array]:
    """The numbers of `Lever` under one tag."""
    grammar = world.grammar
    what = docs.prompt(world, key, size, tag=tag, direction=0)
    shape = (size, grammar.turns, len(SLOTS))

    def ending(phrase: Array) -> tuple[Documents, Any, Array]:
        """Documents whose first answers end with this, the branches, and the logits."""
        given = Given(jnp.full(shape, -1).at[:, 0, CLOSER].set(phrase), jnp.ones(size, jnp.int32))
        documents, branches = policy.answer(grammar, what, key, given)
        return documents, branches, policy.network.apply(policy.params, documents.tokens)[0]

    pull = named["pull"][what.context[:, 0]]
    plain, branches, logits = ending(jnp.zeros(size, jnp.int32))
    said = atoms.phrase_probability(grammar, plain, branches.logp)[:, 0, CLOSER]
    chance = jnp.take_along_axis(said, pull[:, None], 1)
    levered, _, more = ending(pull)
    sides = [sampling.coin(grammar, *each)[:, 0] for each in ((plain, logits), (levered, more))]
    expected = [jnp.mean(jnp.exp(each), 0)[named["side"]] for each in sides]
    at = coin_place(grammar, plain)
    inside = jax.nn.softmax(logits[jnp.arange(size), at])[:, grammar.coin_token].sum(-1)
    return {
        "pull": jnp.mean(chance),
        "after": expected[0],
        "works": expected[1],
        "off": 1 - jnp.mean(inside),
    }
