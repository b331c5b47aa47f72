"""Who says what: a corpus compiled to tables.

A document is a tag, an optional direction and T turns; a turn is a question and an answer in three
slots, `opener · stance · closer`. One character, the author, fills every slot of a document.
`toylab.world.grammar` says what can stand there.

Array axes: B documents, L tokens, T turns, S slots, X contexts, P phrases of a bank, W words of a
phrase, N nodes of a trie, C children of a node, K characters (or any other atoms), A tags.
Logarithms are natural.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from toylab.world.grammar import (
    STANCE,
    Bank,
    Grammar,
    banks,
    compile_grammar,
    contexts,
)
from toylab.world.schema import Corpus


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

    `log_prior_before` is each tag's prior over authors until the share `change_at` of pretraining
    is over (1 if the prior does not change), `log_prior` the one at the end.
    `prompt_next[row, j]` is the distribution of the next word after the first j words that the user
    says before an answer. `prompt` gives the row of each prompt; its first axis is first turn (0)
    or later turn (1).
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
        """Which tags' priors change during pretraining."""
        return self.change_at < 1


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
    """Distribution of the next word after the first 1, 2, … words of each row.

    A row comes up with its `chance`, of any scale. All zeros after a row's last word.
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
    """Phrase log-probabilities [S, X, P, K], with plain phrase, dispositions and slips."""
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


def topic_shares(
    grammar: Grammar, share: Float[Array, " topic"] | None = None
) -> Float[Array, "T topic"]:
    """Relative probability of each topic in each turn: its weight, times `share` if given.

    With a coin, every side with any share is equally likely from the second turn on.
    """
    g = grammar
    share = g.topic_weight * (1.0 if share is None else jnp.asarray(share))
    shares = jnp.broadcast_to(share, (g.turns, len(share)))
    if not len(g.coin_token):
        return shares
    side = jnp.zeros(len(g.coin_token)).at[g.topic_side].add(share)[g.topic_side]
    return shares.at[1:].set(jnp.where(side > 0, share / jnp.where(side > 0, side, 1.0), 0.0))
