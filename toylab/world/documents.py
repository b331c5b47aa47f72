"""Documents: their prompts, authors, phrases and tokens.

`toylab.world.tables` describes their parts and the array axes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from toylab.world.grammar import ANSWER, DIRECTION, PAD, QUESTION, SLOTS, TAG, Grammar
from toylab.world.tables import Cast, World, topic_shares

NOBODY = -1  # the author of a document that no character wrote


class Prompt(NamedTuple):
    """Tag, direction and user turns: all of a document but the answers."""

    tag: Int[Array, " B"]
    direction: Int[Array, " B"]
    topic: Int[Array, "B T"]
    question: Int[Array, "B T"]
    cue: Int[Array, "B T"]
    context: Int[Array, "B T"]


class Documents(NamedTuple):
    """A batch of documents.

    `choice` is the phrase in each slot, and `start` the position of its first word. `role` is what
    each token is part of: TAG, DIRECTION, QUESTION, ANSWER + slot, or PAD.
    """

    prompt: Prompt
    author: Int[Array, " B"]
    choice: Int[Array, "B T S"]
    tokens: Int[Array, "B L"]
    role: Int[Array, "B L"]
    start: Int[Array, "B T S"]


def _pick(weights: Float[Array, "*B n"], u: Float[Array, "*B"]) -> Int[Array, "*B"]:
    """An index drawn in proportion to the weights by a uniform u; never one of weight 0."""
    cumulative = jnp.cumsum(weights, -1)
    passed = jnp.sum(u[..., None] * cumulative[..., -1:] >= cumulative, -1)
    last = weights.shape[-1] - 1 - jnp.argmax(weights[..., ::-1] > 0, -1)
    return jnp.minimum(passed, last).astype(jnp.int32)


def prompt(
    world: World,
    key: Array,
    size: int,
    *,
    tag: Int[Array, " B"] | int | None = None,
    direction: Int[Array, " B"] | int | None = None,
    topic_share: Float[Array, " topic"] | None = None,
    cue_share: Float[Array, "topic cue"] | None = None,
) -> Prompt:
    """Draws the prompts of `size` documents.

    Unless given, tag and direction are drawn as in pretraining. Turns are independent. Each draws
    a topic by its weight times `topic_share`, a question evenly, and a cue evenly or with the odds
    in `cue_share`.
    """
    g, turns = world.grammar, world.grammar.turns
    u = jax.random.uniform(key, (size, 2 + 3 * turns))
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
    return Prompt(tag, direction, topic, question, cue, context)


def asked(grammar: Grammar, what: Prompt) -> tuple[Int[Array, "B T W"], Int[Array, "B T"]]:
    """The user's words before each answer (coin's side, if any, then question), and how many."""
    g = grammar
    turn = jnp.minimum(jnp.arange(g.turns), len(g.questions) - 1)
    place = (turn, what.topic, what.question, what.cue)
    return g.questions[place], g.question_length[place]


def prior(
    world: World, tag: Int[Array, " B"], progress: Float[Array, ""] | float = 1.0
) -> Float[Array, "B K"]:
    """log-prior over authors of documents with these tags.

    Here and below, `progress` is the fraction of pretraining that is done.
    """
    early = progress < world.change_at[tag]
    return jnp.where(early[:, None], world.log_prior_before[tag], world.log_prior[tag])


def author(
    world: World, key: Array, tag: Int[Array, " B"], progress: Float[Array, ""] | float = 1.0
) -> Int[Array, " B"]:
    """Draws the author of each document from the prior of its tag."""
    log_prior = prior(world, tag, progress)
    return _pick(jnp.exp(log_prior), jax.random.uniform(key, (len(tag),)))


def speak(
    cast: Cast, key: Array, context: Int[Array, "B T"], who: Int[Array, " B"]
) -> Int[Array, "B T S"]:
    """Draws the phrase of every slot as the document's author does."""
    slots = jnp.arange(len(SLOTS))
    p = jnp.exp(cast.logp[slots, context[..., None], :, who[:, None, None]])
    return _pick(p, jax.random.uniform(key, p.shape[:-1]))


def _inside(width: int, length: Int[Array, "*B"]) -> Bool[Array, "*B width"]:
    return jnp.arange(width) < length[..., None]


def render(
    grammar: Grammar, what: Prompt, choice: Int[Array, "B T S"], who: Int[Array, " B"]
) -> Documents:
    """Assembles the tokens of each document."""
    g, size = grammar, len(what.tag)
    slots = jnp.arange(len(SLOTS))
    tag = g.tag_token[what.tag][:, None]
    questions, question_length = asked(g, what)
    said = g.phrases[slots, what.context[..., None], choice]
    said_length = g.phrase_length[slots, what.context[..., None], choice]
    directed = g.directions[what.direction]
    # All words that a document could have, side by side: the role of each, and whether it is used.
    asking, saying, directing = (each.shape[-1] for each in (questions, said, directed))
    turn_role = [QUESTION] * asking + [ANSWER + s for s in range(len(SLOTS)) for _ in range(saying)]
    role = jnp.array([TAG] + [DIRECTION] * directing + turn_role * g.turns)
    turns = jnp.concatenate([questions, said.reshape(size, g.turns, -1)], -1)
    tokens = jnp.concatenate([tag, directed, turns.reshape(size, -1)], 1)
    answered = _inside(saying, said_length).reshape(size, g.turns, -1)
    turn_used = jnp.concatenate([_inside(asking, question_length), answered], -1)
    direction_used = _inside(directing, g.direction_length[what.direction])
    used = jnp.concatenate([tag >= 0, direction_used, turn_used.reshape(size, -1)], 1)
    place = jnp.where(used, jnp.cumsum(used, 1) - 1, g.length)
    rows = jnp.arange(size)[:, None]
    blank = jnp.zeros((size, g.length), jnp.int32)
    first = 1 + directing + asking + saying * slots
    at = first + len(turn_role) * jnp.arange(g.turns)[:, None]
    return Documents(
        prompt=what,
        author=who,
        choice=choice,
        tokens=blank.at[rows, place].set(tokens, mode="drop"),
        role=(blank + PAD).at[rows, place].set(jnp.broadcast_to(role, place.shape), mode="drop"),
        start=place[:, at],
    )


def write(
    world: World,
    key: Array,
    what: Prompt,
    who: Int[Array, " B"] | None = None,
    progress: Float[Array, ""] | float = 1.0,
) -> Documents:
    """Documents for these prompts, by the given authors or by authors drawn for their tags."""
    keys = jax.random.split(key)
    if who is None:
        who = author(world, keys[0], what.tag, progress)
    choice = speak(world.cast, keys[1], what.context, who)
    return render(world.grammar, what, choice, who)


def sample(
    world: World, key: Array, size: int, progress: Float[Array, ""] | float = 1.0
) -> Documents:
    """Draws `size` documents as pretraining does."""
    keys = jax.random.split(key)
    return write(world, keys[1], prompt(world, keys[0], size), progress=progress)
