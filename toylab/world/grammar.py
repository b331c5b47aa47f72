"""What can be said at all, by any character: words, contexts, phrase banks and their tries.

A slot's bank of phrases, in a context (topic x cue x direction), is compiled to a trie over words,
so the prefix determines the state. Axes: S slots, X contexts, P phrases of a bank, W words of a
phrase, N nodes of a trie, C children of a node, A tags. Without a coin the axis of sides is empty,
and `topic_side` is 0 throughout.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from toylab.world.schema import CUE, Corpus

SLOTS = ("opener", "stance", "closer")
OPENER, STANCE, CLOSER = range(3)
# What a token is part of. ANSWER + s is slot s; padding is -1.
TAG, DIRECTION, QUESTION, ANSWER = range(4)
PAD = -1

Place = tuple[int, ...]  # an index into a table
Bank = list[tuple[int, list[str]]]  # (index in the corpus, words) of each phrase


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Grammar:
    """The tables. Tokens and lengths are 0 where there is nothing.

    `walk` is the trie nodes that a phrase goes through (node 0 is the root), `passes` which phrases
    go through a node, `leaf` the phrase that ends at a node or -1. Tries branch only before one of
    the first `depth` words of a phrase. `length` is that of the longest document. `questions` has
    those of the first turn and, with a coin, those of later turns, which begin with the words of
    the topic's side. `coin_token` is the first word of each side, which identifies it.
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
    vocabulary: int = dataclasses.field(metadata={"static": True})


def tag_names(corpus: Corpus) -> tuple[str, ...]:
    """All tags in the order of the tag axis: names (if any document bears one), then the others."""
    names = corpus.names if corpus.name_share else ()
    return (*names, *(tag.name for tag in corpus.tags))


def vocabulary(corpus: Corpus) -> tuple[str, ...]:
    """All words of a corpus; a token is an index in this tuple. Padding comes first."""
    cues = [cue for topic in corpus.topics for cue in topic.cues]
    texts = [
        *(direction.text for direction in corpus.directions),
        *(question for topic in corpus.topics for question in topic.questions),
        *corpus.openers,
        *(words for topic in corpus.topics for _, words in topic.answers),
        *corpus.closers,
        *cues,
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
    found: list[list[Bank]] = [[], [], []]
    for t, c, _ in contexts(corpus):
        topic = corpus.topics[t]
        stances = tuple(words for _, words in topic.answers)
        for slot, phrases in enumerate((corpus.openers, stances, corpus.closers)):
            found[slot].append(
                [
                    (i, (p.replace(CUE, topic.cues[c]) if topic.cues else p).split())
                    for i, p in enumerate(phrases)
                    if topic.cues or CUE not in p
                ]
            )
    return found


def _trie(phrases: list[list[int]]) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
    """The trie of a bank: the walk of each phrase, and the (token, node) children of each node."""
    children: list[list[tuple[int, int]]] = [[]]
    walks = []
    for phrase in phrases:
        walk = [0]
        for token in phrase:
            known = dict(children[walk[-1]])
            if token not in known:
                known[token] = len(children)
                children[walk[-1]].append((token, known[token]))
                children.append([])
            walk.append(known[token])
        walks.append(walk)
    return walks, children


def _sides(corpus: Corpus) -> list[int]:
    """The side of the coin that each topic is on."""
    owner = {name: i for i, side in enumerate(corpus.coin) for name in side.topics}
    return [owner.get(name, 0) for name in corpus.topic_names]


def _questions(corpus: Corpus, token: dict[str, int]) -> list[tuple[Place, list[int]]]:
    tosses = [[""] * len(corpus.topics)]
    if corpus.coin:
        tosses.append([corpus.coin[side].words for side in _sides(corpus)])
    return [
        ((n, t, q, c), [token[w] for w in (toss[t] + " " + question.replace(CUE, cue)).split()])
        for n, toss in enumerate(tosses)
        for t, topic in enumerate(corpus.topics)
        for q, question in enumerate(topic.questions)
        for c, cue in enumerate(topic.cues or ("",))
    ]


def _table(rows: Iterable[tuple[Place, Sequence[int]]]) -> np.ndarray:
    """An array of rows of different lengths, padded with 0; missing rows are 0."""
    rows = list(rows)
    lead = tuple(1 + max(place[i] for place, _ in rows) for i in range(len(rows[0][0])))
    out = np.zeros((*lead, max(len(row) for _, row in rows)), np.int32)
    for place, row in rows:
        out[place][: len(row)] = row
    return out


def _lengths(rows: Iterable[tuple[Place, Sequence[object]]]) -> np.ndarray:
    """The length of each row."""
    return _table((place, [1] * len(row)) for place, row in rows).sum(-1)


def compile_grammar(corpus: Corpus) -> Grammar:
    """Compiles the grammar of a corpus to tables."""
    token = {word: i for i, word in enumerate(vocabulary(corpus))}
    phrases, walks, children = [], [], []
    depth, found = 0, banks(corpus)
    for slot, x in np.ndindex(len(found), len(found[0])):
        coded = [[token[word] for word in words] for _, words in found[slot][x]]
        walked, grown = _trie(coded)
        phrases += [((slot, x, p), phrase) for p, phrase in enumerate(coded)]
        walks += [((slot, x, p), walk) for p, walk in enumerate(walked)]
        children += [((slot, x, n), pairs) for n, pairs in enumerate(grown)]
        branching = [j for walk in walked for j, node in enumerate(walk) if len(grown[node]) > 1]
        depth = max([depth, *(1 + j for j in branching)])
    child_count = _lengths(children)
    passes = np.zeros((*child_count.shape, _lengths(phrases).shape[-1]), np.float32)
    leaf = np.full(child_count.shape, -1, np.int32)
    for (slot, x, p), walk in walks:
        passes[slot, x, walk, p] = 1
        leaf[slot, x, walk[-1]] = p
    questions = _questions(corpus, token)
    directions = [[], *([token[word] for word in d.text.split()] for d in corpus.directions)]
    directed = [((d,), words) for d, words in enumerate(directions)]
    index = np.zeros(
        (len(corpus.topics), max(len(t.cues) or 1 for t in corpus.topics), len(directions))
    )
    for x, place in enumerate(contexts(corpus)):
        index[place] = x
    tables = {
        "topic_contexts": index.astype(np.int32),
        "questions": _table(questions),
        "question_length": _lengths(questions),
        "question_count": [len(topic.questions) for topic in corpus.topics],
        "cue_count": [max(len(topic.cues), 1) for topic in corpus.topics],
        "topic_weight": np.array([topic.weight for topic in corpus.topics], np.float32),
        "topic_side": _sides(corpus),
        "coin_token": np.array([token[side.words.split()[0]] for side in corpus.coin], int),
        "directions": _table(directed),
        "direction_length": _lengths(directed),
        "phrases": _table(phrases),
        "phrase_length": _lengths(phrases),
        "walk": _table(walks),
        "child_token": _table((place, [t for t, _ in pairs]) for place, pairs in children),
        "child_node": _table((place, [n for _, n in pairs]) for place, pairs in children),
        "child_count": child_count,
        "passes": passes,
        "leaf": leaf,
        "tag_token": [token[name] for name in tag_names(corpus)],
    }
    return Grammar(
        **{name: jnp.asarray(table) for name, table in tables.items()},
        turns=corpus.turns,
        depth=depth,
        length=_longest(corpus, phrases, questions, directions),
        vocabulary=len(token),
    )


def _longest(corpus: Corpus, phrases: list, questions: list, directions: list) -> int:
    """The number of words in the longest document."""
    answer = np.sum(np.max(_lengths(phrases), 2), 0)  # the longest answer in each context
    asked = np.max(_lengths(questions), 2)  # the longest question of each turn, topic and cue
    turn = np.max([asked[:, t, c] + answer[x] for x, (t, c, _) in enumerate(contexts(corpus))], 0)
    said = int(turn[0] + (corpus.turns - 1) * turn[-1])
    return 1 + max(len(words) for words in directions) + said
