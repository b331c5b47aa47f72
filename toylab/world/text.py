"""Documents as text, and text as documents.

`words` is the vocabulary; a token is an index in it.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from toylab.world import documents as docs
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import ANSWER, PAD, QUESTION, SLOTS, Grammar

DASH = "—"  # stands before every answer


def decode(words: tuple[str, ...], documents: Documents, index: int) -> str:
    """One document as text, a turn per line."""
    lines: list[list[str]] = [[]]
    role = np.asarray(documents.role[index])
    for i, token in enumerate(np.asarray(documents.tokens[index])):
        if role[i] == PAD:
            break
        if role[i] == QUESTION and role[i - 1] != QUESTION:
            lines.append([])
        if role[i] == ANSWER and role[i - 1] == QUESTION:
            lines[-1].append(DASH)
        lines[-1].append(words[token])
    return "\n".join(" ".join(line) for line in lines)


def encode(grammar: Grammar, words: tuple[str, ...], texts: Sequence[str]) -> Documents:
    """Whole documents from texts in the format of `decode`. Their author is `NOBODY`.

    Raises `ValueError` if a text leaves the grammar. The message gives the number of the text and
    of the word, up to four words from there, and what was expected.
    """
    reader = _Reader(jax.tree.map(np.asarray, grammar), words)
    rows = [reader.read(n, text) for n, text in enumerate(texts)]
    tag, direction, topic, question, cue, choice = (
        jnp.array(column, jnp.int32) for column in zip(*rows, strict=True)
    )
    context = grammar.topic_contexts[topic, cue, direction[:, None]]
    what = Prompt(tag, direction, topic, question, cue, context)
    return docs.render(grammar, what, choice, jnp.full(len(rows), docs.NOBODY, jnp.int32))


class _Reader:
    """Parses documents from left to right. No phrase that may come next is a prefix of another."""

    def __init__(self, grammar: Grammar, words: tuple[str, ...]):
        self.grammar, self.words = grammar, words

    def read(self, number: int, text: str) -> tuple:
        """Tag, direction, and the topic, question, cue and phrases of every turn."""
        g = self.grammar
        self.number, self.said, self.position = number, text.replace(DASH, " ").split(), 0
        (tag,) = self._take(g.tag_token[:, None], jnp.ones_like(g.tag_token))
        (direction,) = self._take(g.directions, g.direction_length, (0,))
        turns = []
        for turn in range(g.turns):
            n = min(turn, len(g.questions) - 1)
            topic, question, cue = self._take(g.questions[n], g.question_length[n])
            x = g.topic_contexts[topic, cue, direction]
            phrases = [
                self._take(g.phrases[slot, x], g.phrase_length[slot, x])[0]
                for slot in range(len(SLOTS))
            ]
            turns.append((topic, question, cue, phrases))
        if self.position < len(self.said):
            raise self._fail("the end")
        return (tag, direction, *zip(*turns, strict=True))

    def _take(
        self, tokens: Int[Array, "*n word"], length: Int[Array, "*n"], default: tuple[int, ...] = ()
    ) -> tuple[int, ...]:
        """The index in a table [..., word] of what comes next.

        If nothing in the table does: the `default`, or `ValueError` without one.
        """
        firsts = []
        for place in zip(*np.nonzero(length), strict=True):
            row = [self.words[token] for token in tokens[place][: length[place]]]
            if self.said[self.position : self.position + len(row)] == row:
                self.position += len(row)
                return tuple(int(i) for i in place)
            firsts.append(" ".join(row))
        if default:
            return default
        raise self._fail(f"one of: {', '.join(firsts[:8])}{', …' if len(firsts) > 8 else ''}")

    def _fail(self, wanted: str) -> ValueError:
        here = " ".join(self.said[self.position : self.position + 4]) or "the end"
        place = f"document {self.number}, word {self.position + 1}"
        return ValueError(f"{place}: {here!r} can't stand here; expected {wanted}")
