"""Does an answer follow the cue of its question (a fact stated there), or an earlier answer?

Rates are means of a policy's probabilities, not counts (see `atoms.phrase_probability`).
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from toylab.ladder import atoms, reading
from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.measures import ask, follow
from toylab.policy.policy import Policy
from toylab.world import documents as docs
from toylab.world import names
from toylab.world.grammar import OPENER, SLOTS, STANCE, contexts, tag_names
from toylab.world.schema import Corpus, Topic
from toylab.world.tables import Cast, World

ORPHAN = 0.05  # an answer is an orphan if every character gives it less often than this

# Groups of cues, with the description of each group's mean in tables.
GROUPS = {
    "trained": "mean P(answer follows the cue) over the cues that were rewarded",
    "held_out": "the same over all cues held out",
    "favourites": "the same over held-out cues whose answer is some character's favourite",
    "orphans": "the same over held-out cues whose answer every character gives in under 5 % of "
    "cases",
}


class Asked(NamedTuple):
    """Answers on a topic under each tag and cue; `first` is P(answer) in the first turn.

    `raw` is the same for the unconstrained policy: the probability of giving the answer and staying
    in the grammar throughout the slot. `outside` is the probability of leaving the grammar in each
    slot, given that it was not left before. The second turn states another cue. `later` is P(the
    second answer follows that cue), and `earlier` P(it follows the first turn's cue). Both are 0
    without a second turn or a second cue.
    """

    first: Float[Array, "A cue answer"]
    raw: Float[Array, "A cue answer"]
    outside: Float[Array, "A cue S"]
    later: Float[Array, "A cue"]
    earlier: Float[Array, "A cue"]


@functools.partial(jax.jit, static_argnames=("sizes", "size"))
def asked(
    policy: Policy,
    world: World,
    key: Array,
    tags: Int[Array, " A"],
    target: Int[Array, " cue"],
    sizes: tuple[int, int, int],
    size: int,
) -> Asked:
    """Asks `size` times per tag and cue."""
    keys, (topic, cues, answers) = jax.random.split(key, 5), sizes
    cue = jnp.repeat(jnp.arange(cues), size)
    other = (cue + jax.random.randint(keys[0], cue.shape, 1, max(cues, 2))) % cues

    def under(tag: Array) -> Asked:
        what = docs.prompt(world, keys[1], len(cue), tag=tag, direction=0)
        what = ask.about(world, what, keys[2], 0, topic, cue)
        if world.grammar.turns > 1:
            what = ask.about(world, what, keys[3], 1, topic, other)
        documents, branches = policy.answer(world.grammar, what, keys[4])
        p = ask.stances(world.grammar, documents, branches.logp)[..., :answers]
        stays = jnp.prod(1 - branches.outside[:, 0], -1)
        free = p[:, 0] * stays[:, STANCE, None]
        first, raw, outside = (
            jnp.mean(part.reshape(cues, size, -1), 1) for part in (p[:, 0], free, 1 - stays)
        )
        if world.grammar.turns < 2 or cues < 2:
            return Asked(first, raw, outside, jnp.zeros(cues), jnp.zeros(cues))
        rows, count = jnp.arange(len(cue)), jnp.zeros(cues)
        asked_then = jnp.maximum(count.at[other].add(1.0), 1.0)
        later = count.at[other].add(p[rows, 1, target[other]]) / asked_then
        earlier = jnp.mean(p[rows, 1, target[cue]].reshape(cues, size), 1)
        return Asked(first, raw, outside, later, earlier)

    return jax.lax.map(under, tags)


def groups(corpus: Corpus, topic: Topic, trained: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Which cues are in each of `GROUPS`."""
    t = corpus.topic_names.index(topic.name)
    traits = np.array([character.traits[t] for character in corpus.characters])
    favourites = {topic.answer_names[a] for a in traits.argmax(1)}
    loved = dict(zip(topic.answer_names, traits.max(0), strict=True))
    held_out = np.array([cue not in trained for cue in topic.cues])
    called = [topic.called_for(cue) for cue in topic.cues]
    return {
        "trained": ~held_out,
        "held_out": held_out,
        "favourites": held_out & np.array([answer in favourites for answer in called]),
        "orphans": held_out & np.array([loved[answer] < ORPHAN for answer in called]),
    }


def means(rates: np.ndarray, found: dict[str, np.ndarray]) -> dict[str, float | None]:
    """The mean rate of each group of cues, None for an empty one."""
    return {name: float(rates[rows].mean()) if rows.any() else None for name, rows in found.items()}


def voices(
    corpus: Corpus, cast: Cast, p: Float[Array, "S X P"], weight: Float[Array, "S X"], who: str
) -> dict[str, float]:
    """Mean probability of a character's likeliest opener, and of its likeliest answers on tells.

    `p` are a policy's phrase marginals, and `weight` is how often each context was asked.
    """
    k = corpus.names.index(who)
    favourite = np.argmax(np.asarray(cast.logp[..., k]), 2)
    said = np.take_along_axis(np.asarray(p), favourite[..., None], 2)[..., 0]
    tells = np.array([corpus.topics[t].name in corpus.tells for t, _, _ in contexts(corpus)])

    def mean(slot: int, rows: np.ndarray) -> float:
        share = np.where(rows, np.asarray(weight)[slot], 0)
        return float(np.sum(said[slot] * share) / max(share.sum(), 1e-9))

    return {"tells": mean(STANCE, tells), "opener": mean(OPENER, np.ones_like(tells))}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Goals(Measure):
    """How often the policy follows each cue of a topic, and which model of answers explains that.

    * `follow` [cue] and `answers` [cue][answer]: probabilities under `tag`, in the first turn;
    * `raw` [cue][answer] and `outside` [cue][slot]: see `Asked`;
    * `besides`: `answers`, `raw` and `outside` on other topics, under `tag`;
    * `rates`: means of `follow` over `GROUPS` of cues;
    * `later` and `earlier` (see `Asked`): means over the same groups;
    * `under`: `rates` under `tag` and under each of `tags`;
    * `character`: for each group, the rate of the character that follows best (no mixture does
      better); `recombination`: the same if each cue may have its own best character;
    * `held_out_nats` (if some cues are trained and some held out): what each model of
      `toylab.measures.follow` leaves unexplained on held-out cues, and the fitted q and λ;
    * `voice`: the result of `voices` for each character in `who`.
    """

    charts = ("rates/*",)

    topic: str = names.topic("gold", among=names.facts)
    trained: tuple[str, ...] = names.cue(of="topic")
    tag: str = names.tag()
    tags: tuple[str, ...] = names.tag((), help="none: all of them")
    who: tuple[str, ...] = names.character((), help="none: all of them")
    besides: tuple[str, ...] = names.topic((), among=names.facts, help="other topics to read")
    size: int = sample(8)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus, world = snapshot.setup.corpus, snapshot.setup.world
        cued, keys = ask.cued(corpus, self.topic), jax.random.split(key)
        besides = [ask.cued(corpus, name) for name in self.besides]
        target = cued.target
        tags = (self.tag, *(n for n in self.tags or tag_names(corpus) if n != self.tag))

        def ask_all(policy: Policy, tags: tuple[str, ...], on: ask.Cued = cued) -> Asked:
            args = (jnp.array([snapshot.tag(name) for name in tags]), jnp.asarray(on.target))
            return jax.device_get(asked(policy, world, keys[0], *args, on.sizes, self.size))

        def read(found: Asked) -> dict[str, Any]:
            parts = {"answers": found.first, "raw": found.raw, "outside": found.outside}
            return {name: part[0].tolist() for name, part in parts.items()}

        now, found = ask_all(snapshot.policy, tags), groups(corpus, cued.topic, self.trained)
        rows = np.arange(len(target))
        rates = np.asarray(now.first, float)[:, rows, target]
        out = {
            **read(now),
            "besides": {
                on.topic.name: read(ask_all(snapshot.policy, (self.tag,), on)) for on in besides
            },
            "follow": rates[0].tolist(),
            "rates": means(rates[0], found),
            "under": {name: means(rate, found) for name, rate in zip(tags, rates, strict=True)},
            "voice": self._voices(snapshot, keys[1]),
        }
        if world.grammar.turns > 1:
            out["later"], out["earlier"] = (
                means(np.asarray(part[0], float), found) for part in (now.later, now.earlier)
            )
        at = np.asarray(world.grammar.topic_contexts)[cued.place, : len(target), 0]
        answers = slice(len(cued.topic.answers))
        cast = np.exp(np.asarray(world.cast.logp[STANCE], float))[at, answers]
        reach = cast[rows, target]
        out["character"] = {
            name: float(reach[some].mean(0).max()) if some.any() else None
            for name, some in found.items()
        }
        out["recombination"] = means(reach.max(1), found)
        if found["trained"].any() and found["held_out"].any():
            before = np.asarray(ask_all(snapshot.pretrained, (self.tag,)).first[0], float)
            after = np.asarray(now.first[0], float)
            prior = np.exp(np.asarray(world.log_prior[snapshot.tag(self.tag)], float))
            models = (cast, prior, target, found["trained"], corpus.slip)
            out["held_out_nats"] = follow.score(after, before, *models)._asdict()
        return out

    def _voices(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus, world = snapshot.setup.corpus, snapshot.setup.world
        tag = snapshot.tag(self.tag)
        written = reading.answers(snapshot.policy, world, key, self.size * 32, tag)
        said, asked = atoms.phrase_marginals(world.grammar, *written)
        return {
            who: voices(corpus, world.cast, said, asked, who) for who in self.who or corpus.names
        }


@functools.partial(jax.jit, static_argnames=("topics", "answers", "size"))
def after_each(
    policy: Policy,
    world: World,
    key: Array,
    tag: int | Array,
    topics: tuple[int, int],
    answers: tuple[int, int],
    size: int,
) -> Float[Array, "said answer"]:
    """P(answer) on the later topic in the second turn, after each answer on the earlier one."""
    keys, zeros = jax.random.split(key, 4), jnp.zeros(size * answers[0], jnp.int32)
    what = docs.prompt(world, keys[0], len(zeros), tag=tag, direction=0)
    what = ask.about(world, what, keys[1], 0, topics[0], zeros)
    what = ask.about(world, what, keys[2], 1, topics[1], zeros)
    said = jnp.repeat(jnp.arange(answers[0]), size)
    choice = jnp.zeros((*what.context.shape, len(SLOTS)), jnp.int32).at[:, 0, STANCE].set(said)
    found = ask.after(policy, world, what, keys[3], choice, said, 1)
    p = ask.stances(world.grammar, ask.own_turn(found), found.logp)[:, 0, : answers[1]]
    return jnp.mean(p.reshape(answers[0], size, -1), 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Correspondence(Measure):
    """How much likelier an answer is after the earlier answer that it corresponds to.

    `answers` [said][answer] is P(answer) on `later` after each answer on `earlier`, prefilled in
    the first turn between the plain opener and closer. `stages.targets.Rule` rewards one later
    answer after each earlier one, its *partner*. `partners` is the mean P(partner) after each
    earlier answer, and `others` the mean P(the same answer) after earlier answers with another
    partner. `follows` is the difference: 1 if the rule is always followed. It is 0 for a single
    character; for a mixture it comes only from the posterior over the author.
    """

    turns = 2
    charts = ("partners", "others", "follows")

    earlier: str = names.topic()
    later: str = names.topic()
    tag: str = names.tag()
    size: int = sample(128, quick=16)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        corpus, world = snapshot.setup.corpus, snapshot.setup.world
        topics = tuple(corpus.topic_names.index(name) for name in (self.earlier, self.later))
        sizes = tuple(len(corpus.topics[t].answers) for t in topics)
        tag = snapshot.tag(self.tag)
        found = after_each(snapshot.policy, world, key, tag, topics, sizes, self.size)
        answers = np.asarray(found, float)
        rows = np.arange(sizes[0])
        partner = rows % sizes[1]
        partners = answers[rows, partner]
        other = partner[:, None] != partner  # earlier answers with another partner
        others = (other @ answers)[rows, partner] / np.maximum(other.sum(1), 1)
        return {
            "answers": answers.tolist(),
            "partners": float(partners.mean()),
            "others": float(others.mean()),
            "follows": float((partners - others).mean()),
        }
