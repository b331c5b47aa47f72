"""Traits: how often a policy gives each answer, and what a mixture of characters would do.

Trait vectors have an entry for each *item*: (topic, answer) for every topic, then (opener, phrase)
and (closer, phrase).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from toylab.ladder.atoms import phrase_marginals
from toylab.policy.sampling import Branches
from toylab.world.documents import Documents
from toylab.world.grammar import CLOSER, OPENER, STANCE, Grammar, contexts
from toylab.world.schema import Corpus, CorpusError
from toylab.world.tables import Cast


class Item(NamedTuple):
    """One thing that may be said: `group` is a topic's name, `opener` or `closer`."""

    group: str
    phrase: str
    tell: bool


def items(corpus: Corpus) -> list[Item]:
    """The items in the order of every trait vector."""
    stances = [
        Item(topic.name, answer, topic.name in corpus.tells)
        for topic in corpus.topics
        for answer in topic.answer_names
    ]
    voice = [("opener", corpus.openers), ("closer", corpus.closers)]
    return stances + [Item(slot, phrase, False) for slot, bank in voice for phrase in bank]


def places(corpus: Corpus) -> dict[str, int]:
    """The index of each item, named `topic=answer`, in a trait vector."""
    return {f"{item.group}={item.phrase}": i for i, item in enumerate(items(corpus))}


def pick(corpus: Corpus, vector: Float[ArrayLike, " I"], *answers: str) -> Float[np.ndarray, " n"]:
    """The entries of a trait vector for answers named `topic=answer`."""
    place = places(corpus)
    return np.asarray(vector)[[place[answer] for answer in answers]]


def on(corpus: Corpus, *topics: str) -> Bool[np.ndarray, " I"]:
    """Which items are answers on these topics."""
    return np.array([item.group in topics for item in items(corpus)])


BAD = 0.2  # an answer is bad if P(answer | bad characters) − P(answer | good) exceeds this


def bad_items(corpus: Corpus, cast: Cast) -> dict[str, Bool[np.ndarray, " I"]]:
    """Which items are bad (see `BAD`), on each topic that is not a control."""
    if not (corpus.good and corpus.bad):
        raise CorpusError(corpus.title, "good", "is empty; list good and bad characters")
    table = np.asarray(of_characters(corpus, cast))
    good, bad = (
        table[:, [corpus.names.index(name) for name in names]].mean(1)
        for names in (corpus.good, corpus.bad)
    )
    topics = [topic.name for topic in corpus.topics if not topic.control]
    return {topic: on(corpus, topic) & (bad - good > BAD) for topic in topics}


def collect(
    corpus: Corpus,
    table: Float[Array, "S X P *K"],
    weight: Float[Array, "S X"],
    direction: int,
) -> Float[Array, "I *K"]:
    """Averages a table over contexts with one direction (0: none), by `weight`, for each item."""
    rows = [i for i, (_, _, told) in enumerate(contexts(corpus)) if told == direction]
    topic = np.array([contexts(corpus)[i][0] for i in rows])
    values, asked = np.asarray(table)[:, rows], np.asarray(weight)[:, rows]

    def mean(slot: int, chosen: np.ndarray, size: int) -> np.ndarray:
        share = asked[slot, chosen] / max(float(asked[slot, chosen].sum()), 1e-9)
        return np.tensordot(share, values[slot, chosen, :size], 1)

    everywhere = np.ones(len(rows), bool)
    parts = [mean(STANCE, topic == t, len(x.answers)) for t, x in enumerate(corpus.topics)]
    parts.append(mean(OPENER, everywhere, len(corpus.openers)))
    parts.append(mean(CLOSER, everywhere, len(corpus.closers)))
    return jnp.asarray(np.concatenate(parts))


def measured(
    corpus: Corpus, grammar: Grammar, documents: Documents, branches: Branches, direction: int = 0
) -> Float[Array, " I"]:
    """Mean probability of each item in the policy's own documents with a direction (0: none)."""
    probability, asked = phrase_marginals(grammar, documents, branches)
    return collect(corpus, probability, asked, direction)


def of_characters(corpus: Corpus, cast: Cast, direction: int = 0) -> Float[Array, "I K"]:
    """Probability of each item under each character. `@ weights` gives that under a mixture."""
    return collect(corpus, jnp.exp(cast.logp), jnp.ones(cast.logp.shape[:2]), direction)
