"""What can be said at all, by any character: words, contexts, phrase banks and their tries.

Every slot has a bank of phrases in each context (topic x cue x direction). The phrases of a bank
form a trie over words. Axes: S slots, X contexts, P phrases of a bank, W words of a phrase, N nodes
of a trie, C children of a node, A tags.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from toylab.world.schema import CUE, Corpus

SLOTS = ("opener", "stance", "closer")
OPENER, STANCE, CLOSER = range(3)
# What a token is part of. ANSWER + s is slot s; padding is -1.
TAG, DIRECTION, QUESTION, ANSWER = range(4)
PAD = -1

Rows = dict[Any, list[int]]  # the rows of a table, by index
Bank = list[tuple[int, list[str]]]  # (index in the corpus, words) of each phrase


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Grammar:
    """A grammar as tables. Tokens and lengths are 0 where there is nothing.

    `walk` has the trie nodes of a phrase (node 0 is the root). `passes` marks the phrases that go
    through a node. `leaf` is the phrase that ends at a node, or -1. Tries branch only before one of
    the first `depth` words of a phrase. Documents have up to `length` words, phrases of a slot up
    to `longest`. `questions` has one row for all turns. With a coin (see `schema.Side`) it has two:
    in row 1, for later turns, the words of the topic's side come before the question. `coin_token`
    is the first word of each side, which identifies it. Without a coin, there are no sides, and
    `topic_side` is 0.
    """

    topic_contexts: Int[Array, "topic cue direction"]
    questions: Int[Array, "turn topic question cue word"]
    question_length: Int[Array, "turn topic question cue"]
    question_count: Int[Array, " topic"]
    cue_count: Int[Array, " topic"]
    topic_weight: Float[Array, " topic"]
    topic_side: Int[Array, " topic"]
    coin_token: Int[Array, " side"]
    directions: Int[Array, "direction word"]
    direction_length: Int[Array, " direction"]
    phrases: Int[Array, "S X P W"]
    phrase_length: Int[Array, "S X P"]
    walk: Int[Array, "S X P W+1"]
    child_token: Int[Array, "S X N C"]
    child_node: Int[Array, "S X N C"]
    child_count: Int[Array, "S X N"]
    passes: Float[Array, "S X N P"]
    leaf: Int[Array, "S X N"]
    tag_token: Int[Array, " A"]
    turns: int = dataclasses.field(metadata={"static": True})
    depth: int = dataclasses.field(metadata={"static": True})
    length: int = dataclasses.field(metadata={"static": True})
    longest: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    vocabulary: int = dataclasses.field(metadata={"static": True})


def tag_names(corpus: Corpus) -> tuple[str, ...]:
    """All tags in the order of the tag axis: names (if `name_share` > 0), then the others."""
    names = corpus.names if corpus.name_share else ()
    return (*names, *(tag.name for tag in corpus.tags))


def vocabulary(corpus: Corpus) -> tuple[str, ...]:
    """All words of a corpus; a token is an index in this tuple. Padding comes first."""
    texts = [
        *(direction.text for direction in corpus.directions),
        *(question for topic in corpus.topics for question in topic.questions),
        *corpus.openers,
        *(words for topic in corpus.topics for _, words in topic.answers),
        *corpus.closers,
        *(cue for topic in corpus.topics for cue in topic.cues),
        *(side.words for side in corpus.coin),
    ]
    words = [word for text in texts for word in text.split() if word != CUE]
    return tuple(dict.fromkeys(("·", *tag_names(corpus), *words)))


def contexts(corpus: Corpus) -> list[tuple[int, int, int]]:
    """The (topic, cue, direction) of each context; direction 0 is no direction."""
    return [
        (t, c, d)
        for t, topic in enumerate(corpus.topics)
        for c in range(max(len(topic.cues), 1))
        for d in range(len(corpus.directions) + 1)
    ]


def banks(corpus: Corpus) -> list[list[Bank]]:
    """The bank of each slot and context."""

    def bank(t: int, c: int, phrases: Iterable[str]) -> Bank:
        cues = corpus.topics[t].cues
        filled = [phrase.replace(CUE, cues[c]) if cues else phrase for phrase in phrases]
        return [(i, phrase.split()) for i, phrase in enumerate(filled) if CUE not in phrase]

    answers = [dict(topic.answers).values() for topic in corpus.topics]
    slots = ([corpus.openers] * len(answers), answers, [corpus.closers] * len(answers))
    return [[bank(t, c, said[t]) for t, c, _ in contexts(corpus)] for said in slots]


def compile_grammar(corpus: Corpus) -> Grammar:
    """Compiles the grammar of a corpus to tables."""
    token = {word: i for i, word in enumerate(vocabulary(corpus))}
    side_of = {name: i for i, side in enumerate(corpus.coin) for name in side.topics}
    topic_side = [side_of.get(name, 0) for name in corpus.topic_names]
    tosses = [[""] * len(topic_side)]
    if corpus.coin:
        tosses.append([corpus.coin[side].words for side in topic_side])
    questions = {
        (n, t, q, c): [token[word] for word in f"{toss[t]} {question.replace(CUE, cue)}".split()]
        for n, toss in enumerate(tosses)
        for t, topic in enumerate(corpus.topics)
        for q, question in enumerate(topic.questions)
        for c, cue in enumerate(topic.cues or ("",))
    }
    texts = ["", *(direction.text for direction in corpus.directions)]
    directions = {(d,): [token[word] for word in text.split()] for d, text in enumerate(texts)}
    places = np.transpose(contexts(corpus))
    topic_contexts = np.zeros(1 + places.max(1), np.int32)
    topic_contexts[tuple(places)] = np.arange(places.shape[1])
    depth, tries = _tries(corpus, token)
    tables = tries | {
        "topic_contexts": topic_contexts,
        "questions": _table(questions),
        "question_count": [len(topic.questions) for topic in corpus.topics],
        "cue_count": [max(len(topic.cues), 1) for topic in corpus.topics],
        "topic_weight": np.array([topic.weight for topic in corpus.topics], np.float32),
        "topic_side": topic_side,
        "coin_token": np.array([token[side.words.split()[0]] for side in corpus.coin], int),
        "directions": _table(directions),
        "tag_token": [token[name] for name in tag_names(corpus)],
    }
    for what in ("question", "direction", "phrase"):  # 0 is padding, and never a word
        tables[f"{what}_length"] = np.count_nonzero(tables[f"{what}s"], -1)
    # The longest first turn and later turn. Lengths are added within a context before the maximum.
    asking = tables["question_length"].max(2)[:, places[0], places[1]]
    turn = (asking + tables["phrase_length"].max(2).sum(0)).max(1)
    length = 1 + tables["direction_length"].max() + turn[0] + (corpus.turns - 1) * turn[-1]
    return Grammar(
        **jax.device_put({name: np.asarray(table) for name, table in tables.items()}),
        turns=corpus.turns,
        depth=depth,
        length=int(length),
        longest=tuple(int(n) for n in tables["phrase_length"].max((1, 2))),
        vocabulary=len(token),
    )


def _tries(corpus: Corpus, token: dict[str, int]) -> tuple[int, dict[str, Any]]:
    """The depth of the grammar, and the tables of its banks."""
    phrases: Rows = {}
    walks: Rows = {}
    child_token: Rows = {}
    child_node: Rows = {}
    for slot, whole in enumerate(banks(corpus)):
        for x, bank in enumerate(whole):
            nodes: dict[tuple[int, ...], int] = {}  # by prefix, the root first
            for p, (_, words) in enumerate(bank):
                phrase = phrases[slot, x, p] = [token[word] for word in words]
                prefixes = [tuple(phrase[:j]) for j in range(len(phrase) + 1)]
                walks[slot, x, p] = [nodes.setdefault(prefix, len(nodes)) for prefix in prefixes]
            for prefix, node in nodes.items():
                child_token[slot, x, node], child_node[slot, x, node] = [], []
                if prefix:
                    child_token[slot, x, nodes[prefix[:-1]]].append(prefix[-1])
                    child_node[slot, x, nodes[prefix[:-1]]].append(node)
    tables = {
        "phrases": _table(phrases),
        "walk": _table(walks),
        "child_token": _table(child_token),
        "child_node": _table(child_node),
    }
    child_count = np.count_nonzero(tables["child_node"], -1)
    passes = np.zeros((*child_count.shape, tables["phrases"].shape[2]), np.float32)
    leaf = np.full(child_count.shape, -1, np.int32)
    depth = 0
    for (slot, x, p), walk in walks.items():
        passes[slot, x, walk, p] = 1
        leaf[slot, x, walk[-1]] = p
        forks = np.flatnonzero(child_count[slot, x, walk] > 1)
        depth = max([depth, *(forks + 1).tolist()])
    return depth, tables | {"child_count": child_count, "passes": passes, "leaf": leaf}


def _table(rows: Rows) -> np.ndarray:
    """An array of rows of different lengths, padded with 0. Missing rows are 0."""
    out = np.zeros((*1 + np.max(list(rows), 0), max(map(len, rows.values()))), np.int32)
    for place, row in rows.items():
        out[place][: len(row)] = row
    return out
