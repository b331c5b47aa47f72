"""Questions for a model, and who is probably speaking when it answers.

There are two beliefs about the author. Both start from the weights of the mixture of characters
that is nearest to the model. *Bayes* takes the likelihood of words from the exact cast. *The model*
takes the probability that it gives to the same words under each character's name.
"""

import difflib
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from toylab.ladder import families, mixtures, reading
from toylab.policy.policy import ModelPolicy
from toylab.policy.sampling import Given
from toylab.stages import Setup
from toylab.world import bayes
from toylab.world import documents as docs
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import CUE, SLOTS, tag_names, vocabulary
from toylab.world.schema import Corpus
from toylab.world.tables import World
from toylab.world.text import DASH, decode

FIT = 256  # documents that weights are fitted to
Turn = tuple[int, int, int]  # topic, wording, cue


class Word(NamedTuple):
    """A word of an answer, and both beliefs after it, by character."""

    word: str
    model: np.ndarray
    bayes: np.ndarray


def questions(corpus: Corpus) -> dict[str, Turn]:
    """The topic, wording and cue of every question of a corpus, by the question's words."""
    return {
        words.replace(CUE, cue): (t, q, c)
        for t, topic in enumerate(corpus.topics)
        for q, words in enumerate(topic.questions)
        for c, cue in enumerate(topic.cues or ("",))
    }


def nearest(corpus: Corpus, text: str) -> str:
    """The question that is nearest to a text. Raises `ValueError` if none is near."""
    known = questions(corpus)
    found = difflib.get_close_matches(text, known, n=1, cutoff=0.5)
    if not found:
        raise ValueError(f"{text!r}: not a question of {corpus.title}; try {next(iter(known))!r}")
    return found[0]


def weights(setup: Setup, policy: ModelPolicy, tag: str, key: Array) -> Float[Array, " K"]:
    """Log weights of the mixture of characters that is nearest to a model under a tag."""
    place = tag_names(setup.corpus).index(tag)
    written, _ = reading.answers(policy, setup.world, key, FIT, place)
    likelihood = bayes.document_log_likelihood(setup.world.cast, written)
    return mixtures.fit_weights(likelihood).log_weights


class Speaker:
    """A model under a tag, in a document of `turns` turns, of which it has answered `said`."""

    def __init__(self, setup: Setup, policy: ModelPolicy, tag: str, key: Array) -> None:
        self.setup, self.policy, self.key = setup, policy, key
        self.tag, self.turns = tag_names(setup.corpus).index(tag), setup.world.grammar.turns
        self.words = vocabulary(setup.corpus)
        self.names = jnp.array([tag_names(setup.corpus).index(n) for n in setup.corpus.names])
        self.log_weights = weights(setup, policy, tag, key)
        self.begin()

    def begin(self) -> None:
        self.key = jax.random.fold_in(self.key, 1)
        self.what = docs.prompt(self.setup.world, self.key, 1, tag=self.tag, direction=0)
        self.choice = jnp.zeros((1, self.turns, len(SLOTS)), jnp.int32)
        self.said = 0

    def answer(self, asked: Turn) -> Iterator[Word]:
        """The words of the answer to a question, in a new document if this one is full."""
        if self.said == self.turns:
            self.begin()
        turn, world = self.said, self.setup.world
        self.what = _ask(world, self.what, turn, *asked)
        given = Given(self.choice, jnp.array([turn]))
        documents, beliefs = _said(
            self.policy, world, self.what, self.key, given, self.log_weights, self.names
        )
        self.choice, self.said = documents.choice, turn + 1
        for slot in range(len(SLOTS)):
            x, phrase = int(self.what.context[0, turn]), int(documents.choice[0, turn, slot])
            length = int(world.grammar.phrase_length[slot, x, phrase])
            for n, token in enumerate(np.asarray(world.grammar.phrases[slot, x, phrase])[:length]):
                after = [np.asarray(b[turn, slot, min(n, b.shape[2] - 1)]) for b in beliefs]
                yield Word(self.words[token], *after)


class Pair(NamedTuple):
    """A document of a model and one of a mixture of characters, about the same questions.

    A turn is (question, the model's answer, the mixture's). `author` is the likeliest author of the
    model's document, and `share` its probability, by Bayes' rule.
    """

    turns: tuple[tuple[str, str, str], ...]
    author: str
    share: float


def beside(
    setup: Setup, policy: ModelPolicy, tag: str, log_weights: Array, key: Array, n: int
) -> list[Pair]:
    """`n` documents that a model writes under a tag, each paired with one from a mixture."""
    world, words = setup.world, vocabulary(setup.corpus)
    written, _ = reading.answers(policy, world, key, n, tag_names(setup.corpus).index(tag))
    other, belief = _mixed(world, log_weights, written, jax.random.fold_in(key, 1))
    pairs = []
    for i in range(n):
        lines = (decode(words, each, i).splitlines()[1:] for each in (written, other))
        turns = [
            (*own.split(f" {DASH} "), its.split(f" {DASH} ")[1])
            for own, its in zip(*lines, strict=True)
        ]
        who = int(belief[i].argmax())
        pairs.append(Pair(tuple(turns), setup.corpus.names[who], float(belief[i, who])))
    return pairs


def example(setup: Setup, policy: ModelPolicy, tag: str, log_weights: Array) -> Iterator[str]:
    """Lines with an example of what a model says, and what a mixture says."""
    (pair,) = beside(setup, policy, tag, log_weights, jax.random.key(0), 1)
    yield f"for example, under {tag} (in brackets: the mixture of characters nearest to it)"
    for asked, own, its in pair.turns[:2]:
        yield f"  {asked}? {DASH} {own}  ({its})"


@jax.jit
def _mixed(
    world: World, log_weights: Float[Array, " K"], written: Documents, key: Array
) -> tuple[Documents, Float[Array, "B K"]]:
    """A mixture's answers to the prompts of `written`, and its belief about who wrote `written`."""
    mixture = families.CastPolicy(world.cast, families.Mixture(log_weights))
    other, _ = mixture.answer(world.grammar, written.prompt, key)
    likelihood = bayes.document_log_likelihood(world.cast, written)
    return other, jax.nn.softmax(log_weights + likelihood, -1)


def _ask(world: World, what: Prompt, turn: int, topic: int, wording: int, cue: int) -> Prompt:
    context = int(world.grammar.topic_contexts[topic, cue, 0])
    at = {"topic": topic, "question": wording, "cue": cue, "context": context}
    return what._replace(**{k: getattr(what, k).at[:, turn].set(v) for k, v in at.items()})


@jax.jit
def _said(
    policy: ModelPolicy,
    world: World,
    what: Prompt,
    key: Array,
    given: Given,
    log_weights: Float[Array, " K"],
    names: Int[Array, " K"],
) -> tuple[Documents, tuple[Float[Array, "T S J K"], Float[Array, "T S J K"]]]:
    """The document, and both beliefs after every decision."""
    g = world.grammar
    documents, _ = policy.answer(g, what, key, given)
    at = bayes.decisions(g, documents)
    exists = jnp.any(at.taken, -1)[0, ..., None]
    slot, context = jnp.arange(len(SLOTS))[:, None], what.context[..., None, None]
    child = jnp.sum(jnp.where(at.taken, at.child, 0), -1)
    prefix = world.cast.prefix_logp
    exact = prefix[slot, context, child] - prefix[slot, context, at.node]
    # The same document under every name.
    many = jax.tree.map(lambda leaf: jnp.repeat(leaf, len(names), 0), (what, documents.choice))
    nobody = jnp.full(len(names), docs.NOBODY)
    named = docs.render(g, many[0]._replace(tag=names), many[1], nobody)
    logp = policy.branches(g, named).logp
    played = jnp.moveaxis(jnp.sum(jnp.where(at.taken, logp, 0.0), -1), 0, -1)

    def belief(each: Float[Array, "T S J K"]) -> Float[Array, "T S J K"]:
        steps = jnp.where(exists, each, 0.0)
        total = jnp.cumsum(steps.reshape(-1, steps.shape[-1]), 0).reshape(steps.shape)
        return jax.nn.softmax(log_weights + total, -1)

    return documents, (belief(played), belief(exact[0]))
