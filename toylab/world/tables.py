"""Who says what: a corpus compiled to tables.

A document is a tag, an optional direction and T turns. A turn is a question, then an answer in
three slots: opener, stance, closer. One character, the author, fills every slot of a document.

Array axes: B documents, L tokens, T turns, S slots, X contexts, P phrases of a bank, W words of a
phrase, N nodes of a trie, C children of a node, K characters (or other atoms of a mixture), A
tags. Logarithms are natural.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from toylab.world.grammar import Grammar, banks, compile_grammar, contexts
from toylab.world.schema import Corpus, Tag


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Cast:
    """Log-probability of each phrase, and of reaching each trie node, under each of K atoms."""

    logp: Float[Array, "S X P K"]
    prefix_logp: Float[Array, "S X N K"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """The tables of one corpus. Tags are in the order of `tag_names`.

    A tag's prior over authors is `log_prior_before` until the fraction `change_at` of pretraining
    is done (1: it does not change), and then `log_prior`. `prompt_next[row, j]` is the distribution
    of the next word after the first j words that the user says before an answer. `prompt` has the
    row of each prompt, in the first turn (index 0) and in later ones (1).
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
    grammar = compile_grammar(corpus)
    size = len(corpus.names)
    named = [
        Tag(name=name, share=corpus.name_share / size, prior=tuple(row))
        for name, row in zip(corpus.names, np.eye(size), strict=True)
        if corpus.name_share
    ]
    tags = (*named, *corpus.tags)
    with np.errstate(divide="ignore"):
        log_prior, before = np.log([tag.last for tag in tags]), np.log([tag.prior for tag in tags])
    told = [direction.share for direction in corpus.directions]
    shares = np.array([max(1 - sum(told), 0.0), *told])
    prompt, prompt_next = _prompts(grammar, shares)
    return World(
        grammar=grammar,
        cast=make_cast(grammar, jnp.asarray(_cast_logp(corpus), jnp.float32)),
        log_prior=jnp.asarray(log_prior, jnp.float32),
        log_prior_before=jnp.asarray(before, jnp.float32),
        change_at=jnp.array([tag.since for tag in tags], jnp.float32),
        tag_share=jnp.array([tag.share for tag in tags], jnp.float32),
        direction_share=jnp.array(shares, jnp.float32),
        prompt=jnp.asarray(prompt),
        prompt_next=jnp.asarray(prompt_next),
    )


def _prompts(grammar: Grammar, direction_share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`World.prompt` and `World.prompt_next`. Only the first turn begins with the direction."""
    g = jax.tree.map(np.asarray, grammar)
    shares = np.asarray(topic_shares(grammar), float)
    shares /= shares.sum(1, keepdims=True)
    row = np.zeros((2, len(direction_share), *g.questions.shape[1:4]), np.int32)
    prompts: list[list[int]] = []  # 0 (first turn) or 1 (later turn), then the words
    after: dict[tuple[int, ...], np.ndarray] = {}  # unnormalised probabilities of the next word
    for later, d, t, q, c in np.ndindex(row.shape):
        if q >= g.question_count[t] or c >= g.cue_count[t] or (later and d):
            continue
        place = (min(later, len(g.questions) - 1), t, q, c)
        first = g.directions[d, : g.direction_length[d]]
        said = [later, *first, *g.questions[place][: g.question_length[place]]]
        row[later, d, t, q, c] = len(prompts)
        prompts.append(said)
        share = shares[min(later, g.turns - 1), t] / (g.question_count[t] * g.cue_count[t])
        chance = share * (1.0 if later else direction_share[d])
        for j in range(1, len(said)):
            after.setdefault(tuple(said[:j]), np.zeros(g.vocabulary))[said[j]] += chance
    row[1] = row[1, :1]
    out = np.zeros((len(prompts), max(map(len, prompts)) - 1, g.vocabulary), np.float32)
    for i, said in enumerate(prompts):
        for j in range(1, len(said)):
            chances = after[tuple(said[:j])]
            out[i, j - 1] = chances / max(chances.sum(), 1e-30)
    return row, out


@jax.jit
def make_cast(grammar: Grammar, logp: Float[Array, "S X P K"]) -> Cast:
    """A cast from phrase log-probabilities (-inf where a bank is shorter than P)."""
    top = jnp.max(logp, axis=2, keepdims=True)
    reached = jnp.einsum("sxnp,sxpk->sxnk", grammar.passes, jnp.exp(logp - top))
    return Cast(logp=logp, prefix_logp=jnp.log(jnp.maximum(reached, 1e-37)) + top)


def _cast_logp(corpus: Corpus) -> np.ndarray:
    """Phrase log-probabilities [S, X, P, K], with plain phrases and slips."""
    found, cast = banks(corpus), corpus.characters
    opens, closes = (np.array([getattr(c, key) for c in cast]) for key in ("opens", "closes"))
    wide = max(len(bank) for slot in found for bank in slot)
    out = np.full((3, len(found[0]), wide, len(cast)), -np.inf)
    for x, (t, c, d) in enumerate(contexts(corpus)):
        for slot, voice in enumerate((opens, None, closes)):
            rows = [i for i, _ in found[slot][x]]
            if voice is None:
                p = _stances(corpus, t, c, d)
            else:
                p = voice[:, rows] / voice[:, rows].sum(1, keepdims=True) * (1 - corpus.plain_share)
                p[:, 0] = corpus.plain_share
            out[slot, x, : len(rows)] = np.log((1 - corpus.slip) * p + corpus.slip / len(rows)).T
    return out


def _stances(corpus: Corpus, t: int, c: int, d: int) -> np.ndarray:
    """Every character's distribution over the answers in a context, [K, P], without slips."""
    topic, cast = corpus.topics[t], corpus.characters
    p = np.array([character.traits[t] for character in cast])
    wanted = []  # the answers that cue and direction ask for, and how often characters give them
    if topic.cues:
        wanted.append(
            (topic.called_for(topic.cues[c]), [character.follows[t] for character in cast])
        )
    if d:
        asks = dict(corpus.directions[d - 1].asks)
        wanted.append((asks.get(topic.name, ""), [character.obeys[d - 1] for character in cast]))
    for answer, degrees in wanted:
        if answer in topic.answer_names:
            degree = np.array(degrees)[:, None]
            p = (1 - degree) * p + degree * (np.array(topic.answer_names) == answer)
    return p


def topic_shares(
    grammar: Grammar, share: Float[Array, " topic"] | None = None
) -> Float[Array, "T topic"]:
    """Relative probability of each topic in each turn: its weight, times `share` if given.

    With a coin, sides are equally likely from the second turn on, except those without any share.
    """
    g = grammar
    share = g.topic_weight * (1.0 if share is None else jnp.asarray(share))
    shares = jnp.broadcast_to(share, (g.turns, len(share)))
    if not len(g.coin_token):
        return shares
    side = jnp.zeros(len(g.coin_token)).at[g.topic_side].add(share)[g.topic_side]
    return shares.at[1:].set(jnp.where(side > 0, share / jnp.where(side > 0, side, 1.0), 0.0))
