"""Goals: does the answer go where the question says, on cues trained and held out?

All rates are exact sums over branches at the stance; only the words before it are sampled.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from toylab.ladder import atoms, reading
from toylab.ladder.measure import Measure, Snapshot
from toylab.measures import follow
from toylab.policy.policy import Policy
from toylab.stages import Setup
from toylab.stages.targets import refuse_unknown
from toylab.world import documents as docs
from toylab.world.documents import Prompt
from toylab.world.grammar import CLOSER, OPENER, STANCE, contexts, tag_names
from toylab.world.schema import Corpus, Topic
from toylab.world.tables import Cast, World

ORPHAN = 0.05  # an answer that is nobody's: everybody's trait is below this


class Asked(NamedTuple):
    """Answers on a topic, under each tag and cue: `first` when it is asked in the first turn.

    `later` is the rate of following the cue of the second turn when the first stated another one,
    and `earlier` that of following the first cue there; both are 0 if there is no second turn.
    """

    first: Float[Array, "A cue answer"]
    later: Float[Array, "A cue"]
    earlier: Float[Array, "A cue"]


def ask(
    world: World, what: Prompt, key: Array, turn: int, topic: int, cue: Int[Array, " B"]
) -> Prompt:
    """The outlines with another question in one turn: on this topic, with these cues."""
    count = world.grammar.question_count[topic]
    context = world.grammar.topic_contexts[topic, cue, what.direction]
    return what._replace(
        topic=what.topic.at[:, turn].set(topic),
        question=what.question.at[:, turn].set(jax.random.randint(key, cue.shape, 0, count)),
        cue=what.cue.at[:, turn].set(cue),
        context=what.context.at[:, turn].set(context),
    )


@functools.partial(jax.jit, static_argnames=("topic", "cues", "answers", "size"))
def asked(
    policy: Policy,
    world: World,
    key: Array,
    tags: Int[Array, " A"],
    target: Int[Array, " cue"],
    topic: int,
    cues: int,
    answers: int,
    size: int,
) -> Asked:
    """Asks `size` times under every tag, for every cue in the first turn, and another after it."""
    keys = jax.random.split(key, 5)
    cue = jnp.repeat(jnp.arange(cues), size)
    other = (cue + jax.random.randint(keys[0], cue.shape, 1, max(cues, 2))) % cues

    def under(tag: Array) -> Asked:
        what = docs.prompt(world, keys[1], len(cue), tag=tag, direction=0)
        what = ask(world, what, keys[2], 0, topic, cue)
        if world.grammar.turns > 1:
            what = ask(world, what, keys[3], 1, topic, other)
        documents = policy.answer(world.grammar, what, keys[4])
        logp = policy.branches(world.grammar, documents).logp
        p = atoms.phrase_probability(world.grammar, documents, logp)[:, :, STANCE, :answers]
        first = jnp.mean(p[:, 0].reshape(cues, size, -1), 1)
        if world.grammar.turns < 2 or cues < 2:
            return Asked(first, jnp.zeros(cues), jnp.zeros(cues))
        rows, count = jnp.arange(len(cue)), jnp.zeros(cues)
        asked_then = jnp.maximum(count.at[other].add(1.0), 1.0)
        later = count.at[other].add(p[rows, 1, target[other]]) / asked_then
        earlier = jnp.mean(p[rows, 1, target[cue]].reshape(cues, size), 1)
        return Asked(first, later, earlier)

    return jax.lax.map(under, tags)


def groups(corpus: Corpus, topic: Topic, trained: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Which cues were trained; which of the others are somebody's favourite; which are nobody's."""
    t = corpus.topic_names.index(topic.name)
    traits = np.array([character.traits[t] for character in corpus.characters])
    favourites = {topic.answer_names[a] for a in traits.argmax(1)}
    loved = dict(zip(topic.answer_names, traits.max(0), strict=True))
    cues = topic.cues
    return {
        "trained": np.array([cue in trained for cue in cues]),
        "held_out": np.array([cue not in trained for cue in cues]),
        "favourites": np.array([cue not in trained and cue in favourites for cue in cues]),
        "orphans": np.array([cue not in trained and loved[cue] < ORPHAN for cue in cues]),
    }


def _means(rates: np.ndarray, found: dict[str, np.ndarray]) -> dict[str, float | None]:
    """The mean rate of each group of cues, None for an empty one."""
    return {name: float(rates[rows].mean()) if rows.any() else None for name, rows in found.items()}


def voices(
    corpus: Corpus, cast: Cast, p: Float[Array, "S X P"], weight: Float[Array, "S X"], who: str
) -> dict[str, float]:
    """Mean probability of a character's likeliest tells, openers and closers, context by context.

    `p` are a policy's phrase marginals and `weight` how often each context was asked.
    """
    k = corpus.names.index(who)
    favourite = np.argmax(np.asarray(cast.logp[..., k]), 2)
    said = np.take_along_axis(np.asarray(p), favourite[..., None], 2)[..., 0]
    control = np.array([corpus.topics[t].control for t, _, _ in contexts(corpus)])

    def mean(slot: int, rows: np.ndarray) -> float:
        share = np.where(rows, np.asarray(weight)[slot], 0)
        return float(np.sum(said[slot] * share) / max(share.sum(), 1e-9))

    everywhere = np.ones_like(control)
    return {
        "tells": mean(STANCE, control),
        "opener": mean(OPENER, everywhere),
        "closer": mean(CLOSER, everywhere),
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Goals(Measure):
    """How often the policy follows each cue of a topic, and what that is a case of.

    `follow` [cue] and `answers` [cue][answer] under `tag` in the first turn. `rates`: means over
    the cues `trained`, `held_out`, and among those `favourites` and `orphans`; `later` and
    `earlier`: the same in the second turn, for its own cue and for a different one stated in the
    first. `reward` is the rate on trained cues. `under`: the rates under each of `tags` (none:
    all). `character`: those of the best single character of each group, which by linearity is the
    best mixture too; `recombination`: of the best character for each cue. `held_out_nats`: what a
    goal, a router and a table leave unexplained (see `follow`), if some cues are held out.
    `voice`: tells, opener and closer of each character in `who` (none: all).
    """

    topic: str = "gold"
    trained: tuple[str, ...] = ()
    tag: str = "assistant"
    tags: tuple[str, ...] = dataclasses.field(default=(), metadata={"help": "none: all of them"})
    who: tuple[str, ...] = ()
    size: int = 8

    @property
    def cost(self) -> int:
        return 40

    def check(self, setup: Setup) -> None:
        corpus = setup.corpus
        cued = [topic.name for topic in corpus.topics if topic.cues]
        refuse_unknown("goals.topic", [self.topic], cued)
        topic = corpus.topics[corpus.topic_names.index(self.topic)]
        refuse_unknown(f"goals.topic: cues of {self.topic}", topic.cues, topic.answer_names)
        refuse_unknown("goals.trained", self.trained, topic.cues)
        refuse_unknown("goals.tags", (self.tag, *self.tags), tag_names(corpus))
        refuse_unknown("goals.who", self.who, corpus.names)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        setup, keys = snapshot.setup, jax.random.split(key)
        world, t = setup.world, setup.corpus.topic_names.index(self.topic)
        topic = setup.corpus.topics[t]
        target = np.array([topic.answer_names.index(cue) for cue in topic.cues])
        names = (self.tag, *(n for n in self.tags or tag_names(setup.corpus) if n != self.tag))
        sizes = (t, len(topic.cues), len(topic.answers), self.size)

        def ask_all(policy: Policy, tags: tuple[str, ...]) -> Asked:
            rows = jnp.array([snapshot.tag(name) for name in tags])
            found = asked(policy, world, keys[0], rows, jnp.asarray(target), *sizes)
            return jax.device_get(found)

        now, found = ask_all(snapshot.policy, names), groups(setup.corpus, topic, self.trained)
        rows = np.arange(len(target))
        rates = np.asarray(now.first, float)[:, rows, target]
        out = {
            "answers": now.first[0].tolist(),
            "follow": rates[0].tolist(),
            "rates": _means(rates[0], found),
            "reward": _means(rates[0], found)["trained"],
            "under": {name: _means(rate, found) for name, rate in zip(names, rates, strict=True)},
            "voice": self._voices(snapshot, keys[1]),
        }
        if world.grammar.turns > 1:
            out["later"], out["earlier"] = (
                _means(np.asarray(part[0], float), found) for part in (now.later, now.earlier)
            )
        at = np.asarray(world.grammar.topic_contexts)[t, : len(target), 0]
        cast = np.exp(np.asarray(world.cast.logp[STANCE], float))[at, : len(topic.answers)]
        reach = cast[rows, target]
        out["character"] = {
            name: float(reach[some].mean(0).max()) if some.any() else None
            for name, some in found.items()
        }
        out["recombination"] = _means(reach.max(1), found)
        if found["trained"].any() and found["held_out"].any():
            before = np.asarray(ask_all(snapshot.pretrained, (self.tag,)).first[0], float)
            after = np.asarray(now.first[0], float)
            prior = np.exp(np.asarray(world.log_prior[snapshot.tag(self.tag)], float))
            models = (cast, prior, target, found["trained"], setup.corpus.slip)
            out["held_out_nats"] = follow.score(after, before, *models)._asdict()
        return out

    def _voices(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        world, size = snapshot.setup.world, self.size * 32
        written = reading.answers(snapshot.policy, world, key, size, snapshot.tag(self.tag))
        marginals = atoms.phrase_marginals(world.grammar, *written)
        names = snapshot.setup.corpus.names
        return {
            who: voices(snapshot.setup.corpus, world.cast, *marginals, who)
            for who in self.who or names
        }

    def scalars(self, setup: Setup, found: Any) -> dict[str, float]:
        return {f"goals/{k}": v for k, v in found["rates"].items() if v is not None}
