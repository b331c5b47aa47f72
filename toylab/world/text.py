"""Documents as text, and text as documents. `words` is the vocabulary; tokens are indices in it."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from toylab.world import documents as docs
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import ANSWER, PAD, QUESTION, Grammar

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

    Raises `ValueError` if a text leaves the grammar.
    """
    g = jax.tree.map(np.asarray, grammar)
    rows = [_read(g, words, f"document {n}", text) for n, text in enumerate(texts)]
    tag, direction, topic, question, cue, choice = (
        jnp.array(column, jnp.int32) for column in zip(*rows, strict=True)
    )
    context = grammar.topic_contexts[topic, cue, direction[:, None]]
    what = Prompt(tag, direction, topic, question, cue, context)
    return docs.render(grammar, what, choice, jnp.full(len(rows), docs.NOBODY, jnp.int32))


def _read(g: Grammar, words: tuple[str, ...], place: str, text: str) -> tuple:
    """Tag, direction, and the topic, question, cue and phrases of every turn."""
    said, position = text.replace(DASH, " ").split(), 0

    def fail(wanted: str) -> ValueError:
        here = " ".join(said[position : position + 4]) or "the end"
        return ValueError(
            f"{place}, word {position + 1}: {here!r} can't stand here; expected {wanted}"
        )

    def take(tokens: Any, length: Any, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The index of the row of a table [..., word] that comes next, or the default if none does.

        The first match is the only one: no phrase that may come next is a prefix of another.
        """
        nonlocal position
        options = []
        for index in zip(*np.nonzero(length), strict=True):
            option = [words[token] for token in tokens[index][: length[index]]]
            if said[position : position + len(option)] == option:
                position += len(option)
                return tuple(int(i) for i in index)
            options.append(" ".join(option))
        if default:
            return default
        raise fail(f"one of: {', '.join(options[:8])}{', …' if len(options) > 8 else ''}")

    (tag,) = take(g.tag_token[:, None], np.ones_like(g.tag_token))
    (direction,) = take(g.directions, g.direction_length, (0,))
    turns = []
    for turn in range(g.turns):
        n = min(turn, len(g.questions) - 1)
        topic, question, cue = take(g.questions[n], g.question_length[n])
        x = g.topic_contexts[topic, cue, direction]
        phrases = zip(g.phrases[:, x], g.phrase_length[:, x], strict=True)
        turns.append((topic, question, cue, [take(*bank)[0] for bank in phrases]))
    if position < len(said):
        raise fail("the end")
    return (tag, direction, *zip(*turns, strict=True))
