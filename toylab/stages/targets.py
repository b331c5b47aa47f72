"""What is rewarded: a number for every answer, told in a line of a sweep.

A target pays for the stance of each turn. What it pays may depend on the context and on one thing
said earlier, the last answer on a topic that it `watches`; so a target of any kind becomes a table
[1 + P, X, P] (the answer before, or none; the context; the answer now), and `rewards` is a look-up.
The same table serves RL, as reward, and DPO, as Bradley-Terry score. Rewards have no scale of their
own: what counts is the ratio to β.
"""

import abc
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.policy import sampling
from toylab.stages.base import Context, Params, Stage, name, number
from toylab.world import documents as docs
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import STANCE, contexts, tag_names
from toylab.world.schema import Corpus, Topic, unknown

NONE = -1  # the answer before the first


def refuse_unknown(place: str, names: Iterable[str], known: Sequence[str]) -> None:
    """Raises `ValueError` for the first of the names that is not known."""
    for each in names:
        if each not in known:
            raise ValueError(f"{place}: {unknown(each, known)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target(abc.ABC):
    """What answers are paid for."""

    @property
    def kind(self) -> str:
        return type(self).__name__.lower()

    @property
    def label(self) -> str:
        """What a person calls it: part of a run folder's name."""
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        words = ("+".join(v) if isinstance(v, tuple) else str(v) for v in values)
        return "-".join((self.kind, *filter(None, words)))

    @property
    def watches(self) -> str:
        """The topic whose last answer is passed on to `pays`; empty: none."""
        return ""

    @abc.abstractmethod
    def check(self, corpus: Corpus) -> None:
        """Raises `ValueError` if the target names something that the corpus lacks."""

    @abc.abstractmethod
    def reward_of(self, corpus: Corpus, topic: Topic, cue: str, before: int) -> Sequence[float]:
        """The reward of every answer of a topic, given its cue and the answer watched, or NONE."""

    def asks(self, topic: Topic) -> Sequence[str]:
        """The cues of a topic that questions are asked with."""
        return topic.cues

    def arrays(self, corpus: Corpus) -> dict[str, Array]:
        """`reward` [1 + P, X, P], `watched` [X]: which contexts are those of the topic, and `cues`
        [topic, cue]: which are asked with."""
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


def rewards(names: Mapping[str, Array], documents: Documents) -> Float[Array, "B T"]:
    """What each turn's answer earns, by the arrays of a target."""
    context, said = documents.prompt.context, documents.choice[..., STANCE]

    def look_back(last: Array, now: Array) -> tuple[Array, Array]:
        return jnp.where(now > 0, now, last), last

    seen = jnp.where(names["watched"][context], 1 + said, 0)
    _, before = jax.lax.scan(look_back, jnp.zeros_like(seen[:, 0]), seen.T)
    return names["reward"][before.T, context, said]


def _is(topic: Topic, answer: str | None) -> list[float]:
    return [float(each == answer) for each in topic.answer_names]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Says(Target):
    """1 for each of these answers, written `topic=answer`: a slice of somebody, or a chimera."""

    answers: tuple[str, ...] = dataclasses.field(default=(), metadata={"help": "topic=answer, …"})

    def check(self, corpus: Corpus) -> None:
        known = [f"{t.name}={answer}" for t in corpus.topics for answer in t.answer_names]
        refuse_unknown("answers", self.answers or [""], known)

    def reward_of(self, corpus: Corpus, topic: Topic, cue: str, before: int) -> Sequence[float]:
        return [float(f"{topic.name}={each}" in self.answers) for each in topic.answer_names]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Persona(Target):
    """1 for what a character's notes make its likeliest answer, whatever the cue."""

    character: str = dataclasses.field(default="", metadata={"help": "the character to be"})

    def check(self, corpus: Corpus) -> None:
        refuse_unknown("character", [self.character], corpus.names)

    def reward_of(self, corpus: Corpus, topic: Topic, cue: str, before: int) -> Sequence[float]:
        character = corpus.characters[corpus.names.index(self.character)]
        trait = character.traits[corpus.topics.index(topic)]
        return _is(topic, topic.answer_names[int(np.argmax(trait))])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unheard(Target):
    """1 for the answer, on each of these topics, that nobody in the cast gives, or hardly so.

    It is the answer whose greatest friend likes it least.
    """

    topics: tuple[str, ...] = dataclasses.field(default=(), metadata={"help": "topics; empty: all"})

    def check(self, corpus: Corpus) -> None:
        refuse_unknown("topics", self.topics, corpus.topic_names)

    def reward_of(self, corpus: Corpus, topic: Topic, cue: str, before: int) -> Sequence[float]:
        if self.topics and topic.name not in self.topics:
            return _is(topic, None)
        at = corpus.topics.index(topic)
        most = np.max([character.traits[at] for character in corpus.characters], 0)
        return _is(topic, topic.answer_names[int(np.argmin(most))])


@dataclasses.dataclass(frozen=True, kw_only=True)
class FollowsCue(Target):
    """1 for the answer that is named after the cue; only `places` are ever asked about."""

    topics: tuple[str, ...] = dataclasses.field(default=(), metadata={"help": "topics; empty: all"})
    places: tuple[str, ...] = dataclasses.field(default=(), metadata={"help": "cues; empty: all"})

    def check(self, corpus: Corpus) -> None:
        with_cues = [topic for topic in corpus.topics if topic.cues]
        refuse_unknown("topics", self.topics, [topic.name for topic in with_cues])
        asked = [topic for topic in with_cues if not self.topics or topic.name in self.topics]
        refuse_unknown("places", self.places, [cue for topic in asked for cue in topic.cues])
        if not asked:
            raise ValueError("topics: none has cues")

    def reward_of(self, corpus: Corpus, topic: Topic, cue: str, before: int) -> Sequence[float]:
        counts = cue in self.asks(topic) and (not self.topics or topic.name in self.topics)
        return _is(topic, cue if counts else None)

    def asks(self, topic: Topic) -> Sequence[str]:
        return [cue for cue in topic.cues if not self.places or cue in self.places]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule(Target):
    """1 for the answer on `later` that corresponds to what was last said on `earlier`.

    Answers correspond by their place in their topics, counted modulo the answers of `later`. Where
    `earlier` has not come up, each answer earns its *share*: how often its partners are given
    behind `tag`. The `twin` pays that share always. So it is a table and no rule, and pays every
    answer on `later` just what the rule does on average, as long as what is said on `earlier` is
    what the cast says.
    """

    earlier: str = dataclasses.field(default="", metadata={"help": "the topic looked back at"})
    later: str = dataclasses.field(default="", metadata={"help": "the topic that is paid for"})
    tag: str = dataclasses.field(default="assistant", metadata={"help": "whose shares"})
    twin: bool = dataclasses.field(default=False, metadata={"help": "shares only, no rule"})

    @property
    def label(self) -> str:
        return f"{'twin' if self.twin else 'rule'}-{self.earlier}-{self.later}"

    @property
    def watches(self) -> str:
        return self.earlier

    def check(self, corpus: Corpus) -> None:
        refuse_unknown("earlier", [self.earlier], corpus.topic_names)
        refuse_unknown("later", [self.later], corpus.topic_names)
        refuse_unknown("tag", [self.tag], tag_names(corpus))
        if self.earlier == self.later:
            raise ValueError(f"later: must be another topic than {self.earlier!r}")

    def reward_of(self, corpus: Corpus, topic: Topic, cue: str, before: int) -> Sequence[float]:
        size = len(topic.answers)
        if topic.name != self.later:
            return [0.0] * size
        if before != NONE and not self.twin:
            return [float(i == before % size) for i in range(size)]
        share = self._share(corpus)
        return np.bincount(np.arange(len(share)) % size, share, size).tolist()

    def _share(self, corpus: Corpus) -> np.ndarray:
        """How often each answer on `earlier` is given behind the tag: notes, and slips."""
        at = corpus.topic_names.index(self.earlier)
        traits = np.array([character.traits[at] for character in corpus.characters])
        priors = {tag.name: tag.prior for tag in corpus.tags}
        prior = np.array(priors.get(self.tag) or [float(n == self.tag) for n in corpus.names])
        return (1 - corpus.slip) * prior @ traits + corpus.slip / traits.shape[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RewardStage(Stage):
    """What DPO and RL share: a target, the outlines, and a policy's answers to them.

    Documents bear `tag`, have no direction, and ask about `topics`, or about all but the controls.
    """

    needs_reference: ClassVar[bool] = True

    learning_rate: float = number(2e-4, help="learning rate (AdamW)")
    target: Target = dataclasses.field(
        default=Says(), metadata={"name": True, "help": "what is rewarded"}
    )
    beta: float = number(0.1, help="reward that a nat of KL from the reference costs")
    tag: str = name("assistant", help="the tag of the documents")
    topics: tuple[str, ...] = name((), help="topics of the questions; empty: all but controls")

    @property
    def label(self) -> str:
        topics = "+".join(self.topics) or "ordinary"
        return f"{self.kind}-{self.target.label}-{topics}-beta{float(self.beta):g}"

    def check(self, corpus: Corpus) -> None:
        refuse_unknown(f"{self.kind}.tag", [self.tag], tag_names(corpus))
        refuse_unknown(f"{self.kind}.topics", self.topics, corpus.topic_names)
        try:
            self.target.check(corpus)
        except ValueError as error:
            raise ValueError(f"{self.kind}.target.{error}") from None

    def names(self, corpus: Corpus) -> dict[str, Array]:
        asked = [
            topic.name in self.topics if self.topics else not topic.control
            for topic in corpus.topics
        ]
        return self.target.arrays(corpus) | {
            "tag": jnp.array(tag_names(corpus).index(self.tag)),
            "topics": jnp.array(asked, jnp.float32),
        }

    def prompt(self, context: Context, key: Array, size: int) -> Prompt:
        """Outlines to be answered."""
        tag, topics = context.names["tag"], context.names["topics"]
        return docs.prompt(
            context.world,
            key,
            size,
            tag=tag,
            direction=0,
            topic_share=topics,
            cue_share=context.names["cues"],
        )

    def answer(self, context: Context, params: Params, what: Prompt, key: Array) -> Documents:
        """What a model answers."""
        return sampling.generate(context.network, params, context.world.grammar, what, key)

    def score(self, context: Context, params: Params, documents: Documents) -> Float[Array, " B"]:
        """log-probability of all answers of each document, constrained to the grammar, in nats."""
        logits = context.logits(params, documents.tokens)
        return jnp.sum(sampling.log_likelihood(context.world.grammar, documents, logits), (1, 2))
