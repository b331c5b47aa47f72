"""Who says what: from a corpus to a cast of characters, and from a cast to documents.

A document is a tag, an optional direction and T turns; a turn is a question and an answer in three
slots, `opener · stance · closer`. One character, the author, fills every slot of a document. What
can be said there is the business of `toylab.grammar`.

Array axes: B documents, L tokens, T turns, S slots, X contexts, P phrases of a bank, W words of a
phrase, N nodes of a trie, C children of a node, K characters (or any other atoms), A tags.
Probabilities are natural logarithms.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from toylab.corpus import Corpus
from toylab.grammar import (
    ANSWER,
    DIRECTION,
    PAD,
    QUESTION,
    SLOTS,
    STANCE,
    TAG,
    Bank,
    Grammar,
    banks,
    compile_grammar,
    contexts,
)

NOBODY = -1  # the author of a document that no character wrote


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Cast:
    """Log-probability of each phrase, and of reaching each trie node, under each of K atoms."""

    logp: Float[Array, "S X P K"]
    prefix_logp: Float[Array, "S X N K"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """The tables of one corpus. Tags are the names (if documents bear them), then the others.

    `log_prior` is who stands behind a tag at the end of pretraining, `log_prior_before` who did
    until the share `change_at` of it was over; 1 for a tag whose prior stays the same.
    `prompt_next` is the probability of every word after the first j words of what the other party
    says before an answer; `prompt` is the row of it for each such prompt, in the first turn (0)
    and in later ones (1).
    """

    grammar: Grammar
    cast: Cast
    log_prior: Float[Array, "A K"]
    log_prior_before: Float[Array, "A K"]
    change_at: Float[Array, " A"]
    tag_share: Float[Array, " A"]
    direction_share: Float[Array, " direction"]
    prompt: Int[Array, "2 direction topic question cue"]
    prompt_next: Float[Array, "prompt J V"]

    @property
    def changes(self) -> Bool[Array, " A"]:
        """Whose prior changes in the course of pretraining."""
        return self.change_at < 1


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


def build(corpus: Corpus) -> World:
    """Compiles a corpus to tables."""
    logp = jnp.asarray(_cast_logp(corpus, banks(corpus)), jnp.float32)
    grammar = compile_grammar(corpus)
    named = [corpus.name_share / len(corpus.names)] * len(corpus.names) if corpus.name_share else []
    owners = np.eye(len(corpus.names))[: len(named)]
    with np.errstate(divide="ignore"):
        log_prior = np.log(np.concatenate([owners, [tag.last for tag in corpus.tags]]))
        before = np.log(np.concatenate([owners, [tag.prior for tag in corpus.tags]]))
    shares = [1 - sum(d.share for d in corpus.directions), *(d.share for d in corpus.directions)]
    prompt, prompt_next = _prompts(grammar, np.array(shares))
    return World(
        grammar=grammar,
        cast=make_cast(grammar, logp),
        log_prior=jnp.asarray(log_prior, jnp.float32),
        log_prior_before=jnp.asarray(before, jnp.float32),
        change_at=jnp.array([1.0] * len(named) + [tag.since for tag in corpus.tags], jnp.float32),
        tag_share=jnp.array([*named, *(tag.share for tag in corpus.tags)], jnp.float32),
        direction_share=jnp.array(shares, jnp.float32),
        prompt=jnp.asarray(prompt),
        prompt_next=jnp.asarray(prompt_next),
    )


def _prompts(grammar: Grammar, direction_share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`World.prompt` and `World.prompt_next`. A direction is given once, in the first turn."""
    g = jax.tree.map(np.asarray, grammar)
    shares = np.asarray(topic_shares(grammar), float)
    shares /= shares.sum(1, keepdims=True)
    shape = (2, len(direction_share), *g.questions.shape[1:4])
    row = np.zeros(shape, np.int32)
    said: list[list[int]] = []
    chance: list[float] = []
    for later, d, t, q, c in np.ndindex(shape):
        if q >= g.question_count[t] or c >= g.cue_count[t] or (later and d):
            continue
        place = (min(later, len(g.questions) - 1), t, q, c)
        first = g.directions[d, : g.direction_length[d]]
        row[later, d, t, q, c] = len(said)
        said.append([later, *first, *g.questions[place][: g.question_length[place]]])
        share = shares[min(later, g.turns - 1), t] / (g.question_count[t] * g.cue_count[t])
        chance.append(share * (1.0 if later else direction_share[d]))
    row[1] = row[1, :1]
    return row, _continuations(said, chance, g.vocabulary)


def _continuations(
    rows: list[list[int]], chance: list[float], vocabulary: int
) -> Float[np.ndarray, "O W-1 V"]:
    """How the rows go on that begin with the first 1, 2, … words of each row, by their chance.

    All zeros after a row's last word.
    """
    after: dict[tuple[int, ...], np.ndarray] = {}
    for row, p in zip(rows, chance, strict=True):
        for j in range(1, len(row)):
            after.setdefault(tuple(row[:j]), np.zeros(vocabulary))[row[j]] += p
    out = np.zeros((len(rows), max(map(len, rows)) - 1, vocabulary), np.float32)
    for i, row in enumerate(rows):
        for j in range(1, len(row)):
            goes = after[tuple(row[:j])]
            out[i, j - 1] = goes / max(goes.sum(), 1e-30)
    return out


def make_cast(grammar: Grammar, logp: Float[Array, "S X P K"]) -> Cast:
    """A cast from phrase log-probabilities (-inf where a bank is shorter than P)."""
    top = jnp.max(logp, axis=2, keepdims=True)
    reached = jnp.einsum("sxnp,sxpk->sxnk", grammar.passes, jnp.exp(logp - top))
    return Cast(logp=logp, prefix_logp=jnp.log(jnp.maximum(reached, 1e-37)) + top)


def _cast_logp(corpus: Corpus, found: list[list[Bank]]) -> np.ndarray:
    """Phrase log-probabilities [S, X, P, K]: notes, plain phrase, dispositions and slips."""
    cast = corpus.characters
    voices = [np.array([c.opens for c in cast]), np.array([c.closes for c in cast])]
    wide = max(len(bank) for slot in found for bank in slot)
    out = np.full((3, len(found[0]), wide, len(cast)), -np.inf)
    for x, (t, c, d) in enumerate(contexts(corpus)):
        for slot in range(3):
            rows = [i for i, _ in found[slot][x]]
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


def _uniform(key: Array, size: int, width: int) -> Float[Array, "B width"]:
    """Uniform numbers from one key, or from a key of its own for every document."""
    if key.ndim:
        return jax.vmap(lambda each: jax.random.uniform(each, (width,)))(key)
    return jax.random.uniform(key, (size, width))


def _pick(weights: Float[Array, "*B n"], u: Float[Array, "*B"]) -> Int[Array, "*B"]:
    """The place where the cumulative weights (of any scale) pass u; never one of weight 0."""
    cumulative = jnp.cumsum(weights, -1)
    passed = jnp.sum(u[..., None] * cumulative[..., -1:] >= cumulative, -1)
    last = weights.shape[-1] - 1 - jnp.argmax(weights[..., ::-1] > 0, -1)
    return jnp.minimum(passed, last).astype(jnp.int32)


def topic_shares(
    grammar: Grammar, share: Float[Array, " topic"] | None = None
) -> Float[Array, "T topic"]:
    """How likely each topic is in each turn, of any scale: by its weight, times `share` if given.

    From the second turn on a coin decides the side first, evenly among those with any share.
    """
    g = grammar
    share = g.topic_weight * (1.0 if share is None else jnp.asarray(share))
    shares = jnp.broadcast_to(share, (g.turns, len(share)))
    if not len(g.coin_token):
        return shares
    side = jnp.zeros(len(g.coin_token)).at[g.topic_side].add(share)[g.topic_side]
    return shares.at[1:].set(jnp.where(side > 0, share / jnp.where(side > 0, side, 1.0), 0.0))


def outline(
    world: World,
    key: Array,
    size: int,
    *,
    tag: Int[Array, " B"] | int | None = None,
    direction: Int[Array, " B"] | int | None = None,
    topic_share: Float[Array, " topic"] | None = None,
    cue_share: Float[Array, "topic cue"] | None = None,
) -> Outline:
    """Draws what the other party says in `size` documents.

    Questions, cues (evenly, or by `cue_share` of any scale) and topics (see `topic_shares`) are
    drawn without regard to anything else; tag and direction by their shares in pretraining, unless
    given. Here and below, `key` is one key, or
    a batch of keys, one a document.
    """
    g, turns = world.grammar, world.grammar.turns
    u = _uniform(key, size, 2 + 3 * turns)
    by_topic, by_question, by_cue = jnp.split(u[:, 2:], 3, 1)
    if tag is None:
        tag = _pick(world.tag_share, u[:, 0])
    if direction is None:
        direction = _pick(world.direction_share, u[:, 1])
    tag, direction = (
        jnp.broadcast_to(jnp.asarray(value, jnp.int32), (size,)) for value in (tag, direction)
    )
    topic = _pick(topic_shares(g, topic_share), by_topic)
    question = (by_question * g.question_count[topic]).astype(jnp.int32)
    if cue_share is None:
        cue = (by_cue * g.cue_count[topic]).astype(jnp.int32)
    else:
        cue = _pick(cue_share[topic], by_cue)
    context = g.topic_contexts[topic, cue, direction[:, None]]
    return Outline(tag, direction, topic, question, cue, context)


def asked(grammar: Grammar, what: Outline) -> tuple[Int[Array, "B T W"], Int[Array, "B T"]]:
    """The words that come before each answer, and how many: the coin's, if tossed, and a question.

    The only place that knows that there are different questions for different turns.
    """
    g = grammar
    turn = jnp.minimum(jnp.arange(g.turns), len(g.questions) - 1)
    place = (turn, what.topic, what.question, what.cue)
    return g.questions[place], g.question_length[place]


def prior(
    world: World, tag: Int[Array, " B"], progress: Float[Array, ""] | float = 1.0
) -> Float[Array, "B K"]:
    """log-prior of who stands behind each tag when the share `progress` of pretraining is over."""
    early = progress < world.change_at[tag]
    return jnp.where(early[:, None], world.log_prior_before[tag], world.log_prior[tag])


def author(
    world: World, key: Array, tag: Int[Array, " B"], progress: Float[Array, ""] | float = 1.0
) -> Int[Array, " B"]:
    """Draws who writes each document, from the prior of its tag.

    `progress` is the share of pretraining that is over.
    """
    log_prior = prior(world, tag, progress)
    return _pick(jnp.exp(log_prior), _uniform(key, len(tag), 1)[:, 0])


def speak(
    cast: Cast, key: Array, context: Int[Array, "B T"], who: Int[Array, " B"]
) -> Int[Array, "B T S"]:
    """Draws the phrase of every slot from the table of the document's author."""
    slots = jnp.arange(len(SLOTS))
    p = jnp.exp(cast.logp[slots, context[..., None], :, who[:, None, None]])
    return _pick(p, _uniform(key, len(who), context.shape[1] * len(slots)).reshape(p.shape[:-1]))


def split(key: Array, count: int) -> Array:
    """`count` keys from one; from a batch of keys, `count` batches."""
    if key.ndim:
        return jnp.moveaxis(jax.vmap(lambda each: jax.random.split(each, count))(key), 1, 0)
    return jax.random.split(key, count)


def _inside(width: int, length: Int[Array, "*B"]) -> Bool[Array, "*B width"]:
    return jnp.arange(width) < length[..., None]


def render(
    grammar: Grammar, what: Outline, choice: Int[Array, "B T S"], who: Int[Array, " B"]
) -> Documents:
    """Puts a document's words in a row."""
    g, size = grammar, len(what.tag)
    slots = jnp.arange(len(SLOTS))
    tag = g.tag_token[what.tag][:, None]
    questions, question_length = asked(g, what)
    said = g.phrases[slots, what.context[..., None], choice]
    said_length = g.phrase_length[slots, what.context[..., None], choice]
    turn_tokens = jnp.concatenate([questions, said.reshape(size, g.turns, -1)], -1)
    turn_inside = jnp.concatenate(
        [
            _inside(questions.shape[-1], question_length),
            _inside(said.shape[-1], said_length).reshape(size, g.turns, -1),
        ],
        -1,
    )
    turn_role = jnp.concatenate(
        [
            jnp.full(questions.shape[-1], QUESTION),
            jnp.repeat(ANSWER + slots, said.shape[-1]),
        ]
    )
    directed = g.directions[what.direction]
    tokens = jnp.concatenate([tag, directed, turn_tokens.reshape(size, -1)], 1)
    used = jnp.concatenate(
        [
            jnp.ones((size, 1), bool),
            _inside(directed.shape[-1], g.direction_length[what.direction]),
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
    first = 1 + directed.shape[-1] + questions.shape[-1] + said.shape[-1] * slots
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


def write(
    world: World,
    key: Array,
    what: Outline,
    who: Int[Array, " B"] | None = None,
    progress: Float[Array, ""] | float = 1.0,
) -> Documents:
    """Documents for these outlines, by the authors given or by draws from their tags' priors."""
    keys = split(key, 2)
    if who is None:
        who = author(world, keys[0], what.tag, progress)
    choice = speak(world.cast, keys[1], what.context, who)
    return render(world.grammar, what, choice, who)


def sample(
    world: World, key: Array, size: int, progress: Float[Array, ""] | float = 1.0
) -> Documents:
    """Draws `size` documents as in pretraining, when the share `progress` of it is over."""
    keys = split(key, 2)
    return write(world, keys[1], outline(world, keys[0], size), progress=progress)


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
