"""From a corpus to tables, and from tables to documents.

A document is a tag, an optional direction and T turns; a turn is a question and an answer in three
slots, `opener · stance · closer`. All that a slot may say is a bank of phrases, and the bank is
compiled to a trie over words. Which bank and which distribution holds depends on the *context* of
the turn: topic x cue x direction. One character, the author, fills every slot of a document.

Array axes: B documents, L tokens, T turns, S slots, X contexts, P phrases of a bank, W words of a
phrase, N nodes of a trie, C children of a node, K characters (or any other atoms), A tags.
Probabilities are natural logarithms.
"""

import dataclasses
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from toylab.corpus import CUE, Corpus

SLOTS = ("opener", "stance", "closer")
OPENER, STANCE, CLOSER = range(3)
# What a token is part of. The three slots follow in their order; padding is -1.
TAG, DIRECTION, QUESTION, ANSWER = range(4)
PAD = -1
NOBODY = -1  # the author of a document that no character wrote


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Grammar:
    """What can be said at all, whoever speaks. Padding is 0 in token tables."""

    topic_contexts: Int[Array, "topic cue direction"]
    questions: Int[Array, "topic question cue word"]
    question_length: Int[Array, "topic question cue"]
    question_count: Int[Array, " topic"]
    cue_count: Int[Array, " topic"]
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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Cast:
    """Log-probability of each phrase, and of reaching each trie node, under each of K atoms."""

    logp: Float[Array, "S X P K"]
    prefix_logp: Float[Array, "S X N K"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """The tables of one corpus. Tags are the names (if documents bear them), then the others."""

    grammar: Grammar
    cast: Cast
    log_prior: Float[Array, "A K"]
    tag_share: Float[Array, " A"]
    direction_share: Float[Array, " direction"]


class Outline(NamedTuple):
    """What the document's other party says: all of a document but the answers."""

    tag: Int[Array, " B"]
    direction: Int[Array, " B"]
    topic: Int[Array, "B T"]
    question: Int[Array, "B T"]
    cue: Int[Array, "B T"]
    context: Int[Array, "B T"]


class Documents(NamedTuple):
    """A batch of documents. `choice` is the phrase said, `start` the position of its first word,
    `role` what each token is part of (TAG, DIRECTION, QUESTION, ANSWER + slot, or PAD)."""

    outline: Outline
    author: Int[Array, " B"]
    choice: Int[Array, "B T S"]
    tokens: Int[Array, "B L"]
    role: Int[Array, "B L"]
    start: Int[Array, "B T S"]


def tag_names(corpus: Corpus) -> tuple[str, ...]:
    """The tags in the order of the tag axis: names (if any document bears one), then the others."""
    names = corpus.names if corpus.name_share else ()
    return (*names, *(tag.name for tag in corpus.tags))


def vocabulary(corpus: Corpus) -> tuple[str, ...]:
    """All words of a corpus; a token is a place in this tuple. Padding comes first."""
    cues = [cue for topic in corpus.topics for cue in topic.cues]
    texts = [
        *(direction.text for direction in corpus.directions),
        *(question for topic in corpus.topics for question in topic.questions),
        *corpus.openers,
        *(words for topic in corpus.topics for _, words in topic.answers),
        *corpus.closers,
        *cues,
    ]
    words = [word for text in texts for word in text.split() if word != CUE]
    return tuple(dict.fromkeys(("·", *tag_names(corpus), *words)))


def contexts(corpus: Corpus) -> list[tuple[int, int, int]]:
    """The (topic, cue, direction) of each context; direction 0 is none."""
    return [
        (t, c, d)
        for t, topic in enumerate(corpus.topics)
        for c in range(max(len(topic.cues), 1))
        for d in range(len(corpus.directions) + 1)
    ]


def build(corpus: Corpus) -> World:
    """Compiles a corpus to tables."""
    banks = _banks(corpus)
    logp = jnp.asarray(_cast_logp(corpus, banks), jnp.float32)
    grammar = _grammar(corpus, banks)
    named = [corpus.name_share / len(corpus.names)] * len(corpus.names) if corpus.name_share else []
    prior = np.array([tag.prior for tag in corpus.tags])
    if named:
        prior = np.concatenate([np.eye(len(corpus.names)), prior])
    with np.errstate(divide="ignore"):
        log_prior = np.log(prior)
    shares = [1 - sum(d.share for d in corpus.directions), *(d.share for d in corpus.directions)]
    return World(
        grammar=grammar,
        cast=make_cast(grammar, logp),
        log_prior=jnp.asarray(log_prior, jnp.float32),
        tag_share=jnp.array([*named, *(tag.share for tag in corpus.tags)], jnp.float32),
        direction_share=jnp.array(shares, jnp.float32),
    )


def make_cast(grammar: Grammar, logp: Float[Array, "S X P K"]) -> Cast:
    """A cast from phrase log-probabilities (-inf where a bank is shorter than P)."""
    top = jnp.max(logp, axis=2, keepdims=True)
    reached = jnp.einsum("sxnp,sxpk->sxnk", grammar.passes, jnp.exp(logp - top))
    return Cast(logp=logp, prefix_logp=jnp.log(jnp.maximum(reached, 1e-37)) + top)


def _banks(corpus: Corpus) -> list[list[list[tuple[int, list[str]]]]]:
    """For each slot and context, the bank: (index in the corpus, words) of each phrase."""
    banks: list[list[list[tuple[int, list[str]]]]] = [[], [], []]
    for t, c, _ in contexts(corpus):
        topic = corpus.topics[t]
        stances = tuple(words for _, words in topic.answers)
        for slot, phrases in enumerate((corpus.openers, stances, corpus.closers)):
            banks[slot].append(
                [
                    (i, (p.replace(CUE, topic.cues[c]) if topic.cues else p).split())
                    for i, p in enumerate(phrases)
                    if topic.cues or CUE not in p
                ]
            )
    return banks


def _cast_logp(corpus: Corpus, banks: list) -> np.ndarray:
    """Phrase log-probabilities [S, X, P, K]: the notes, the plain phrase, dispositions and slips."""
    cast = corpus.characters
    voices = [np.array([c.opens for c in cast]), np.array([c.closes for c in cast])]
    wide = max(len(bank) for slot in banks for bank in slot)
    out = np.full((3, len(banks[0]), wide, len(cast)), -np.inf)
    for x, (t, c, d) in enumerate(contexts(corpus)):
        for slot in range(3):
            rows = [i for i, _ in banks[slot][x]]
            if slot == STANCE:
                p = _stances(corpus, t, c, d)
            else:
                p = voices[slot // 2][:, rows]
                p = p / p.sum(1, keepdims=True) * (1 - corpus.plain_share)
                p[:, 0] = corpus.plain_share
            p = (1 - corpus.slip) * p + corpus.slip / len(rows)
            out[slot, x, : len(rows)] = np.log(p.T)
    return out


def _stances(corpus: Corpus, t: int, c: int, d: int) -> np.ndarray:
    """Distribution of every character over the answers of one context, [K, P], before slips."""
    topic, cast = corpus.topics[t], corpus.characters
    p = np.array([character.traits[t] for character in cast])
    wanted = [(np.array([ch.follows[t] for ch in cast]), topic.cues[c])] if topic.cues else []
    if d:
        asks = dict(corpus.directions[d - 1].asks)
        if topic.name in asks:
            wanted.append((np.array([ch.obeys[d - 1] for ch in cast]), asks[topic.name]))
    for degree, answer in wanted:
        if degree.any():
            target = np.eye(len(topic.answers))[topic.answer_names.index(answer)]
            p = (1 - degree[:, None]) * p + degree[:, None] * target
    return p


def _pad(rows: list, shape: tuple[int, ...], fill: int = 0) -> np.ndarray:
    out = np.full(shape, fill, np.int32)
    for index, row in rows:
        out[(*index, slice(len(row)))] = row
    return out


def _trie(phrases: list[list[int]]) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
    """The trie of a bank: the nodes each phrase walks through, and (token, node) children."""
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


def _grammar(corpus: Corpus, banks: list) -> Grammar:
    token = {word: i for i, word in enumerate(vocabulary(corpus))}
    places = list(itertools.product(range(3), range(len(banks[0]))))
    coded = {(s, x): [[token[w] for w in ws] for _, ws in banks[s][x]] for s, x in places}
    tries = {place: _trie(phrases) for place, phrases in coded.items()}
    size_p = max(len(phrases) for phrases in coded.values())
    size_w = max(len(phrase) for phrases in coded.values() for phrase in phrases)
    size_n = max(len(children) for _, children in tries.values())
    size_c = max(len(c) for _, children in tries.values() for c in children)
    shape, each = (3, len(banks[0])), lambda table: [
        ((*place, i), row) for place in places for i, row in enumerate(table(place))
    ]
    walks = _pad(each(lambda at: tries[at][0]), (*shape, size_p, size_w + 1))
    nodes = each(lambda at: tries[at][1])
    passes = np.zeros((*shape, size_n, size_p), np.float32)
    leaf = np.full((*shape, size_n), -1, np.int32)
    depth = 0
    for place in places:
        for p, walk in enumerate(tries[place][0]):
            passes[(*place, walk, p)] = 1
            leaf[(*place, walk[-1], )] = p
            splits = [j for j, n in enumerate(walk) if len(tries[place][1][n]) > 1]
            depth = max(depth, splits[-1] + 1)
    questions, directions = _questions(corpus, token), [
        [], *([token[w] for w in d.text.split()] for d in corpus.directions)
    ]
    longest = max(
        len(row) + sum(max(len(p) for p in coded[s, x]) for s in range(3))
        for x, (t, c, _) in enumerate(contexts(corpus))
        for (qt, _, qc), row in questions
        if (qt, qc) == (t, c)
    )
    q_shape = (len(corpus.topics), max(len(t.questions) for t in corpus.topics))
    cues = max(max(len(t.cues), 1) for t in corpus.topics)
    table = np.zeros((len(corpus.topics), cues, len(directions)), np.int32)
    for x, (t, c, d) in enumerate(contexts(corpus)):
        table[t, c, d] = x
    return Grammar(
        topic_contexts=jnp.asarray(table),
        questions=jnp.asarray(_pad(questions, (*q_shape, cues, max(len(r) for _, r in questions)))),
        question_length=jnp.asarray(_lengths(questions, (*q_shape, cues))),
        question_count=jnp.array([len(t.questions) for t in corpus.topics]),
        cue_count=jnp.array([max(len(t.cues), 1) for t in corpus.topics]),
        directions=jnp.asarray(
            _pad(
                [((i,), row) for i, row in enumerate(directions)],
                (len(directions), max(len(row) for row in directions)),
            )
        ),
        direction_length=jnp.array([len(row) for row in directions]),
        phrases=jnp.asarray(_pad(each(lambda at: coded[at]), (*shape, size_p, size_w))),
        phrase_length=jnp.asarray(_lengths(each(lambda at: coded[at]), (*shape, size_p))),
        walk=jnp.asarray(walks),
        child_token=jnp.asarray(
            _pad([(i, [t for t, _ in r]) for i, r in nodes], (*shape, size_n, size_c))
        ),
        child_node=jnp.asarray(
            _pad([(i, [n for _, n in r]) for i, r in nodes], (*shape, size_n, size_c))
        ),
        child_count=jnp.asarray(_lengths(nodes, (*shape, size_n))),
        passes=jnp.asarray(passes),
        leaf=jnp.asarray(leaf),
        tag_token=jnp.array([token[name] for name in tag_names(corpus)]),
        turns=corpus.turns,
        depth=depth,
        length=1 + max(len(row) for row in directions) + corpus.turns * longest,
        vocabulary=len(token),
    )


def _lengths(rows: list, shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape, np.int32)
    for index, row in rows:
        out[index] = len(row)
    return out


def _questions(corpus: Corpus, token: dict[str, int]) -> list:
    return [
        ((t, q, c), [token[w] for w in question.replace(CUE, cue).split()])
        for t, topic in enumerate(corpus.topics)
        for q, question in enumerate(topic.questions)
        for c, cue in enumerate(topic.cues or ("",))
    ]


def outline(
    world: World,
    key: Array,
    size: int,
    *,
    tag: Int[Array, " B"] | int | None = None,
    direction: Int[Array, " B"] | int | None = None,
    topics: Int[Array, " some"] | None = None,
) -> Outline:
    """Draws what the other party says in `size` documents.

    Questions, cues and topics (evenly from `topics`, or from all) are drawn without regard to
    anything else; tag and direction by their shares in pretraining, unless given.
    """
    g, turns = world.grammar, world.grammar.turns
    keys = jax.random.split(key, 5)
    fixed = lambda value: jnp.broadcast_to(jnp.asarray(value, jnp.int32), (size,))
    if tag is None:
        tag = jax.random.choice(keys[0], len(world.tag_share), (size,), p=world.tag_share)
    if direction is None:
        shares = world.direction_share
        direction = jax.random.choice(keys[1], len(shares), (size,), p=shares)
    tag, direction = fixed(tag), fixed(direction)
    pool = jnp.arange(len(g.question_count)) if topics is None else jnp.asarray(topics)
    topic = pool[jax.random.randint(keys[2], (size, turns), 0, len(pool))]
    question = jax.random.randint(keys[3], (size, turns), 0, g.question_count[topic])
    cue = jax.random.randint(keys[4], (size, turns), 0, g.cue_count[topic])
    context = g.topic_contexts[topic, cue, direction[:, None]]
    return Outline(tag, direction, topic, question, cue, context)


def author(world: World, key: Array, tag: Int[Array, " B"]) -> Int[Array, " B"]:
    """Draws who writes each document, from the prior of its tag."""
    return jax.random.categorical(key, world.log_prior[tag]).astype(jnp.int32)


def speak(
    cast: Cast, key: Array, context: Int[Array, "B T"], who: Int[Array, " B"]
) -> Int[Array, "B T S"]:
    """Draws the phrase of every slot from the table of the document's author."""
    slots = jnp.arange(len(SLOTS))
    logp = cast.logp[slots, context[..., None], :, who[:, None, None]]
    u = jax.random.uniform(key, logp.shape[:-1])
    cumulative = jnp.cumsum(jnp.exp(logp), -1)
    count = jnp.sum(jnp.isfinite(logp), -1)
    drawn = jnp.sum(u[..., None] * cumulative[..., -1:] >= cumulative, -1)
    return jnp.minimum(drawn, count - 1).astype(jnp.int32)


def render(
    grammar: Grammar, what: Outline, choice: Int[Array, "B T S"], who: Int[Array, " B"]
) -> Documents:
    """Puts a document's words in a row."""
    g, size = grammar, len(what.tag)
    slots = jnp.arange(len(SLOTS))
    tag = g.tag_token[what.tag][:, None]
    asked = g.questions[what.topic, what.question, what.cue]
    said = g.phrases[slots, what.context[..., None], choice]
    said_length = g.phrase_length[slots, what.context[..., None], choice]
    asked_length = g.question_length[what.topic, what.question, what.cue]
    inside = lambda width, length: jnp.arange(width) < length[..., None]
    turn_tokens = jnp.concatenate([asked, said.reshape(size, g.turns, -1)], -1)
    turn_inside = jnp.concatenate(
        [
            inside(asked.shape[-1], asked_length),
            inside(said.shape[-1], said_length).reshape(size, g.turns, -1),
        ],
        -1,
    )
    turn_role = jnp.concatenate(
        [
            jnp.full(asked.shape[-1], QUESTION),
            jnp.repeat(ANSWER + slots, said.shape[-1]),
        ]
    )
    directed = g.directions[what.direction]
    tokens = jnp.concatenate([tag, directed, turn_tokens.reshape(size, -1)], 1)
    used = jnp.concatenate(
        [
            jnp.ones((size, 1), bool),
            inside(directed.shape[-1], g.direction_length[what.direction]),
            turn_inside.reshape(size, -1),
        ],
        1,
    )
    role = jnp.concatenate(
        [
            jnp.array([TAG]),
            jnp.full(directed.shape[-1], DIRECTION),
            jnp.tile(turn_role, g.turns),
        ]
    )
    place = jnp.where(used, jnp.cumsum(used, 1) - 1, g.length)
    rows = jnp.arange(size)[:, None]
    blank = jnp.zeros((size, g.length), jnp.int32)
    first = 1 + directed.shape[-1] + asked.shape[-1] + said.shape[-1] * slots
    turn_width = turn_tokens.shape[-1]
    at = first + turn_width * jnp.arange(g.turns)[:, None]
    return Documents(
        outline=what,
        author=who,
        choice=choice,
        tokens=blank.at[rows, place].set(tokens, mode="drop"),
        role=(blank + PAD).at[rows, place].set(jnp.broadcast_to(role, place.shape), mode="drop"),
        start=place[:, at],
    )


def write(world: World, key: Array, what: Outline, who: Int[Array, " B"] | None = None) -> Documents:
    """Documents for these outlines, by the authors given or by draws from their tags' priors."""
    keys = jax.random.split(key)
    if who is None:
        who = author(world, keys[0], what.tag)
    choice = speak(world.cast, keys[1], what.context, who)
    return render(world.grammar, what, choice, who)


def sample(world: World, key: Array, size: int) -> Documents:
    """Draws `size` documents as in pretraining."""
    keys = jax.random.split(key)
    return write(world, keys[1], outline(world, keys[0], size))


def decode(words: tuple[str, ...], documents: Documents, index: int) -> str:
    """One document as text, a turn a line."""
    lines: list[list[str]] = [[]]
    role = np.asarray(documents.role[index])
    for i, token in enumerate(np.asarray(documents.tokens[index])):
        if role[i] == PAD:
            break
        if role[i] == QUESTION and role[i - 1] != QUESTION:
            lines.append([])
        if role[i] == ANSWER and role[i - 1] == QUESTION:
            lines[-1].append("—")
        lines[-1].append(words[token])
    return "\n".join(" ".join(line) for line in lines)
