"""Targets: which answers are rewarded, and how much.

A target rewards the stance of each turn. The reward may depend on topic and cue, and on the last
answer on one topic, which the target `watches`. `Rl` and `Grpo` maximise the sum over a document.
In `Dpo` this sum is the Bradley-Terry score; in `Kto`, minus `level`, it is the log-odds of being
desirable.
"""

import abc
import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from toylab.policy import sampling
from toylab.stages.base import Context, Params, Stage, topic_shares
from toylab.stages.traced import choice, number
from toylab.world import documents as docs
from toylab.world import names
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import STANCE, contexts
from toylab.world.schema import Corpus, Topic

NONE = -1  # no watched answer yet


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target(abc.ABC):
    """A reward for every answer. `one + other` adds the rewards of the two."""

    def __add__(self, other: "Target") -> "Sum":
        return Sum(first=self, second=other)

    @property
    def kind(self) -> str:
        return type(self).__name__.lower()

    @property
    def label(self) -> str:
        """A readable name, part of the name of a run's folder."""
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        words = ("+".join(v) if isinstance(v, tuple) else str(v) for v in values)
        return "-".join((self.kind, *filter(None, words)))

    @property
    def watches(self) -> str:
        """The topic whose last answer is passed to `reward_of`; empty: none."""
        return ""

    def check(self, corpus: Corpus, place: str) -> None:
        """Raises `ValueError`, beginning with `place`, if a corpus lacks what the target needs."""
        names.check(self, corpus, place)

    @abc.abstractmethod
    def reward_of(self, corpus: Corpus, topic: Topic, cue: str, before: int) -> Sequence[float]:
        """The reward of every answer on a topic; `before` is the watched answer, or NONE."""

    def asks(self, topic: Topic) -> Sequence[str]:
        """The cues of a topic that questions may state."""
        return topic.cues

    def arrays(self, corpus: Corpus) -> dict[str, Array]:
        """The target as tables.

        `reward` [1 + P, X, P] has row 0 for no watched answer yet. `watched` [X] marks the contexts
        of the watched topic, and `cues` [topic, cue] the cues that questions may state.
        """
        places = contexts(corpus)
        wide = max(len(topic.answers) for topic in corpus.topics)
        table = np.zeros((1 + wide, len(places), wide), np.float32)
        for h, (x, (t, c, _)) in itertools.product(range(1 + wide), enumerate(places)):
            topic = corpus.topics[t]
            cue = topic.cues[c] if topic.cues else ""
            table[h, x, : len(topic.answers)] = self.reward_of(corpus, topic, cue, h + NONE)
        watched = [corpus.topics[t].name == self.watches for t, _, _ in places]
        most = max(len(topic.cues) or 1 for topic in corpus.topics)
        cues = np.zeros((len(corpus.topics), most), np.float32)
        for t, topic in enumerate(corpus.topics):
            cues[t, : len(topic.cues) or 1] = [c in self.asks(topic) for c in topic.cues] or [True]
        return {
            "reward": jnp.asarray(table),
            "watched": jnp.array(watched),
            "cues": jnp.asarray(cues),
        }


def rewards(named: Mapping[str, Array], documents: Documents) -> Float[Array, "B T"]:
    """The reward of each turn's answer; `named` has the arrays of a target."""
    context, said = documents.prompt.context, documents.choice[..., STANCE]

    def look_back(last: Array, now: Array) -> tuple[Array, Array]:
        return jnp.where(now > 0, now, last), last

    seen = jnp.where(named["watched"][context], 1 + said, 0)
    _, before = jax.lax.scan(look_back, jnp.zeros_like(seen[:, 0]), seen.T)
    return named["reward"][before.T, context, said]


def _is(topic: Topic, answer: str | None) -> list[float]:
    return [float(each == answer) for each in topic.answer_names]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sum(Target):
    """The sum of two targets' rewards. Questions state only cues that both allow."""

    first: Target
    second: Target

    @property
    def label(self) -> str:
        return f"{self.first.label}-and-{self.second.label}"

    @property
    def watches(self) -> str:
        return self.first.watches or self.second.watches

    def check(self, corpus: Corpus, place: str) -> None:
        self.first.check(corpus, f"{place}.first")
        self.second.check(corpus, f"{place}.second")
        if self.second.watches not in ("", self.watches):
            raise ValueError(f"{place}: {self.watches} and {self.second.watches} are both watched")

    def reward_of(self, corpus: Corpus, topic: Topic, cue: str, before: int) -> Sequence[float]:
        paid = (each.reward_of(corpus, topic, cue, before) for each in (self.first, self.second))
        return [sum(both) for both in zip(*paid, strict=True)]

    def asks(self, topic: Topic) -> Sequence[str]:
        return [cue for cue in self.first.asks(topic) if cue in self.second.asks(topic)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Says(Target):
    """1 for each of these answers, written `topic=answer`."""

    answers: tuple[str, ...] = names.answer(help="topic=answer, …")

    def reward_of(self, corpus: Corpus, topic: Topic, cue: str, before: int) -> Sequence[float]:
        return [float(f"{topic.name}={each}" in self.answers) for each in topic.answer_names]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Persona(Target):
    """On every topic, 1 for the answer that a character's trait makes most likely."""

    character: str = names.character(help="the character to be")

    def reward_of(self, corpus: Corpus, topic: Topic, cue: str, before: int) -> Sequence[float]:
        character = corpus.characters[corpus.names.index(self.character)]
        trait = character.traits[corpus.topics.index(topic)]
        return _is(topic, topic.answer_names[int(np.argmax(trait))])


@dataclasses.dataclass(frozen=True, kw_only=True)
class FollowsCue(Target):
    """1 for the answer that the cue calls for. Questions state only cues in `places`."""

    topics: tuple[str, ...] = names.topic((), among=names.cued, help="topics; empty: all")
    places: tuple[str, ...] = names.cue((), of="topics", help="cues; empty: all")
    instead: tuple[str, ...] = names.followed(
        (), of="topics", help="cue=answer, ...: rewarded instead of what the cue calls for"
    )

    def check(self, corpus: Corpus, place: str) -> None:
        super().check(corpus, place)
        if not names.cued(corpus):
            raise ValueError(f"{place}.topics: none has cues")

    def reward_of(self, corpus: Corpus, topic: Topic, cue: str, before: int) -> Sequence[float]:
        counts = cue in self.asks(topic) and (not self.topics or topic.name in self.topics)
        instead = dict(each.split("=") for each in self.instead)
        return _is(topic, instead.get(cue, topic.called_for(cue)) if counts else None)

    def asks(self, topic: Topic) -> Sequence[str]:
        return [cue for cue in topic.cues if not self.places or cue in self.places]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule(Target):
    """1 for the answer on `later` that corresponds to the last answer on `earlier`.

    Answers correspond by index, modulo the number of answers on `later`. Before `earlier` comes up,
    the reward of an answer is its *share*: how often the cast gives a corresponding answer on
    `earlier`, under the initial prior of `tag`. In the control (`twin`) the reward is always the
    share. So while the policy answers on `earlier` as the cast does, any given answer on `later`
    earns as much on average as in the control.
    """

    earlier: str = names.topic(help="the earlier topic, whose answer decides")
    later: str = names.topic(help="the topic whose answers are rewarded")
    tag: str = names.tag("assistant", help="tag whose prior gives the shares")
    twin: bool = choice(False, help="unconditional control: shares only")

    @property
    def label(self) -> str:
        return f"{'twin' if self.twin else 'rule'}-{self.earlier}-{self.later}"

    @property
    def watches(self) -> str:
        return self.earlier

    def check(self, corpus: Corpus, place: str) -> None:
        super().check(corpus, place)
        if self.earlier == self.later:
            raise ValueError(f"{place}.later: must be another topic than {self.earlier!r}")

    def reward_of(self, corpus: Corpus, topic: Topic, cue: str, before: int) -> Sequence[float]:
        size = len(topic.answers)
        if topic.name != self.later:
            return [0.0] * size
        if before != NONE and not self.twin:
            return [float(i == before % size) for i in range(size)]
        share = self._share(corpus)
        return np.bincount(np.arange(len(share)) % size, share, size).tolist()

    def _share(self, corpus: Corpus) -> np.ndarray:
        """How often the cast gives each answer on `earlier` under the tag, by traits and slips."""
        at = corpus.topic_names.index(self.earlier)
        traits = np.array([character.traits[at] for character in corpus.characters])
        priors = {tag.name: tag.prior for tag in corpus.tags}
        prior = np.array(priors.get(self.tag) or [float(n == self.tag) for n in corpus.names])
        return (1 - corpus.slip) * prior @ traits + corpus.slip / traits.shape[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RewardStage(Stage):
    """What all stages with a `target` have in common: prompts, answers, rewards and scores.

    Documents have the tag `tag`, no direction, and questions on `topics` (empty: all but controls).
    """

    learning_rate: float = number(2e-4, help="learning rate")
    target: Target = dataclasses.field(metadata={"name": True, "help": "what is rewarded"})
    beta: float = number(0.1, help="weight of KL(model || reference), in reward per nat")
    tag: str = names.tag("assistant", help="the tag of the documents")
    topics: tuple[str, ...] = names.topic(
        (), empty=names.ordinary, help="topics of the questions; empty: all but controls"
    )

    @property
    def label(self) -> str:
        topics = "+".join(self.topics) or "ordinary"
        return f"{self.kind}-{self.target.label}-{topics}-beta{float(self.beta):g}"

    @property
    def needs_reference(self) -> bool:
        return True

    def check(self, corpus: Corpus) -> None:
        super().check(corpus)
        self.target.check(corpus, f"{self.kind}.target")

    def names(self, corpus: Corpus) -> dict[str, Array]:
        found = names.resolve(self, corpus)
        return self.target.arrays(corpus) | {
            "tag": jnp.array(found["tag"]),
            "topics": topic_shares(corpus, found["topics"]),
        }

    def prompt(self, context: Context, key: Array, size: int) -> Prompt:
        named = context.names
        shares = {"topic_share": named["topics"], "cue_share": named["cues"]}
        return docs.prompt(context.world, key, size, tag=named["tag"], direction=0, **shares)

    def reward(self, context: Context, documents: Documents) -> Float[Array, " B"]:
        """The total reward of each document."""
        return jnp.sum(rewards(context.names, documents), 1)

    def answer(self, context: Context, params: Params, what: Prompt, key: Array) -> Documents:
        """Documents with a model's answers to prompts, constrained to the grammar."""
        return sampling.generate(context.network, params, context.world.grammar, what, key)[0]

    def words(
        self,
        context: Context,
        params: Params,
        documents: Documents,
        left: Bool[Array, "B T S J"] | None = None,
    ) -> tuple[Float[Array, "B N"], Bool[Array, "B N"]]:
        """See `sampling.free_log_likelihood`."""
        logits = context.logits(params, documents.tokens)
        return sampling.free_log_likelihood(context.world.grammar, documents, logits, left)

    def score(
        self,
        context: Context,
        params: Params,
        documents: Documents,
        left: Bool[Array, "B T S J"] | None = None,
    ) -> Float[Array, " B"]:
        """log-probability of each document's decisions, in nats, not constrained to the grammar."""
        return jnp.sum(self.words(context, params, documents, left)[0], 1)
