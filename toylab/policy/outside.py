"""Policies from outside: any model that gives next-word probabilities can be put on the ladder.

Models are called from plain Python, and never traced by JAX. B documents, L tokens, V words.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

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
# From tokens and a mask [B, L] to logits; only those after words in the mask are used.
Scores = Callable[[Tokens, Bool[np.ndarray, "B L"]], Float[ArrayLike, "B L V"]]


class NextWord(Protocol):
    """A model that predicts the next word."""

    def next_word(self, words: Sequence[str]) -> Mapping[str, float] | Float[ArrayLike, " V"]:
        """Probabilities of the next word after these words of a document.

        In a mapping, words that are missing have 0. An array is over `vocabulary(corpus)`.
        """


@dataclasses.dataclass(frozen=True)
class Outside:
    """A `Policy` that is not a pytree. It uses the same random numbers as a `ModelPolicy`."""

    scores: Scores

    def answer(
        self, grammar: Grammar, what: Prompt, key: Array, given: Given | None = None
    ) -> tuple[Documents, Branches]:
        size, asked, said = len(what.tag), sampling.turns(grammar, what, key, given), []
        start = np.zeros((size, grammar.length), np.int32), np.zeros(size, int)
        carry: Any = start, sampling.opening(grammar, what)
        for turn in range(grammar.turns):
            now = jax.tree.map(lambda leaf, turn=turn: leaf[:, turn], asked)
            carry, found = sampling.say(grammar, self._hear, carry, now)
            said.append(found)
        choice, branches = jax.tree.map(lambda *leaf: jnp.stack(leaf, 1), *said)
        return docs.render(grammar, what, choice, jnp.full(size, docs.NOBODY)), branches

    def branches(self, grammar: Grammar, documents: Documents) -> Branches:
        answers = np.asarray(documents.role)[:, 1:] >= ANSWER
        asked = np.pad(answers, ((0, 0), (0, 1)))
        logits = self.scores(np.asarray(documents.tokens), asked)
        return sampling.read(grammar, documents, jnp.asarray(logits))

    def _hear(self, so_far: tuple[Tokens, Any], words: Array, deciding: Array) -> tuple[Any, Array]:
        """A `sampling.Hear`; its state is the tokens and the length of each document."""
        tokens, length = (each.copy() for each in so_far)
        for row, position in np.argwhere(np.asarray(words) >= 0):
            tokens[row, length[row]] = words[row, position]
            length[row] += 1
        asked = np.zeros(tokens.shape, bool)
        rows = np.arange(len(tokens))
        asked[rows, length - 1] = deciding
        return (tokens, length), jnp.asarray(self.scores(tokens, asked))[rows, length - 1]


def of_logits(logits: Callable[[Tokens], Float[ArrayLike, "B L V"]]) -> Outside:
    """The policy of a causal model, from next-token logits for arrays of tokens (0: no token).

    The words are those of `vocabulary(corpus)`, in that order.
    """
    return Outside(lambda tokens, asked: logits(tokens))


def of_words(corpus: Corpus, model: NextWord) -> Outside:
    """The policy of a model that predicts the next word.

    To write a document, the model is called once per decision; to score one, once per word of its
    answers. If its probabilities sum to less than 1, the rest counts as outside the grammar. Raises
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
