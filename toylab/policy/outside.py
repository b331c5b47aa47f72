"""Policies from outside: any model that gives next-word probabilities can be put on the ladder.

`of_words` takes an object with a method `next_word(words)`. It is given the words of a document so
far, and returns a probability for each word that may come next, as a mapping or an array over the
corpus's `vocabulary`. `of_logits` takes a function from tokens [B, L] (0 past the end) to
next-token logits [B, L, V]. Both are called from plain Python and never traced by JAX.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from toylab.policy import sampling
from toylab.policy.sampling import Branches, Given
from toylab.world import documents as docs
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import ANSWER, Grammar, vocabulary
from toylab.world.schema import Corpus

Tokens = Int[np.ndarray, "B L"]
# Logits after the words that a mask [B, L] selects; the others are ignored.
Scores = Callable[[Tokens, Bool[np.ndarray, "B L"]], Float[ArrayLike, "B L V"]]


class NextWord(Protocol):
    """A model of words."""

    def next_word(self, words: Sequence[str]) -> Mapping[str, float] | Float[ArrayLike, " V"]:
        """Probabilities of the next word after these. Words that a mapping lacks have 0."""
        ...


@dataclasses.dataclass(frozen=True)
class Outside:
    """A `Policy` that is not a pytree: it answers and scores a batch of documents in plain Python.

    Like a transformer, it is constrained to the grammar, and it samples with the same noise.
    """

    scores: Scores

    def answer(
        self, grammar: Grammar, what: Prompt, key: Array, given: Given | None = None
    ) -> Documents:
        g, size = grammar, len(what.tag)
        tokens = np.zeros((size, g.length), np.int32)
        tokens[:, 0] = g.tag_token[what.tag]
        say, place = jax.jit(sampling.speaker(g, what, key, given)), sampling.start(g, size)
        for position in range(g.length - 1):
            asked = np.zeros(tokens.shape, bool)
            asked[:, position] = _has_choice(g, what, place)
            logits = np.zeros((size, g.vocabulary), np.float32)
            if asked.any():
                logits = np.asarray(self.scores(tokens, asked))[:, position]
            place, token = say(place, jnp.asarray(logits), jnp.asarray(position))
            tokens[:, position + 1] = token
        return docs.render(g, what, place.choice, jnp.full(size, docs.NOBODY, jnp.int32))

    def branches(self, grammar: Grammar, documents: Documents) -> Branches:
        answers = np.asarray(documents.role)[:, 1:] >= ANSWER
        asked = np.pad(answers, ((0, 0), (0, 1)))
        logits = self.scores(np.asarray(documents.tokens), asked)
        return sampling.read(grammar, documents, jnp.asarray(logits))


def _has_choice(grammar: Grammar, what: Prompt, place: sampling.Place) -> Bool[Array, " B"]:
    """Which documents are in an answer at a word where the grammar leaves a choice."""
    g, turn = grammar, jnp.minimum(place.turn, grammar.turns - 1)
    x = jnp.take_along_axis(what.context, turn[:, None], 1)[:, 0]
    options = g.child_count[jnp.maximum(place.segment - 1, 0), x, place.node]
    return (place.turn < g.turns) & (place.segment > 0) & (options > 1)


def of_logits(logits: Callable[[Tokens], Float[ArrayLike, "B L V"]]) -> Outside:
    """The policy of a causal model that gives logits for arrays of tokens.

    V is `len(vocabulary(corpus))`; map a model with another vocabulary to these words.
    """
    return Outside(lambda tokens, asked: logits(tokens))


def of_words(corpus: Corpus, model: NextWord) -> Outside:
    """The policy of a model of words.

    It is called once per word of an answer; when sampling, only where the grammar leaves a choice.
    Probability that it does not give to words of the corpus counts as outside the grammar. Raises
    `ValueError` for a wrong number of probabilities, a negative one, or a sum above 1.
    """
    words = vocabulary(corpus)
    index = {word: token for token, word in enumerate(words)}

    def chances(said: list[str]) -> Float[np.ndarray, " V"]:
        found = model.next_word(said)
        p = np.zeros(len(words))
        if isinstance(found, Mapping):
            for word in found.keys() & index.keys():
                p[index[word]] = found[word]
        elif np.shape(found) == p.shape:
            p[:] = found
        else:
            raise ValueError(f"next_word: gave {np.shape(found)} numbers; {p.shape} are needed")
        if not (p.min() >= 0 and p.sum() < 1 + 1e-3):
            raise ValueError(f"next_word: not a distribution after {' '.join(said)!r}")
        p[0] += max(0.0, 1 - p.sum())  # the padding, which the grammar never allows
        return p

    def scores(tokens: Tokens, asked: Bool[np.ndarray, "B L"]) -> Float[np.ndarray, "B L V"]:
        out = np.zeros((*tokens.shape, len(words)), np.float32)
        for row, last in np.argwhere(asked):
            p = chances([words[token] for token in tokens[row, : last + 1]])
            out[row, last] = np.log(np.maximum(p, 1e-30))
        return out

    return Outside(scores)
