"""Is a goal held to when the context says that somebody else is speaking?

Turns by a character k are put in the policy's mouth, and then it is asked on a topic with cues. A
goal that belongs to the persona gives way to k's own answer as k becomes likelier than the persona:
Σ w*_k p_k(h) p_k(·) / Σ w*_k p_k(h), with w* fitted on answers before which nothing was said. A
goal that nobody in the cast has is not in that mixture; if it were the model's own, whoever is
speaking, what was said before would not matter to it.
"""

import dataclasses
import functools
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from toylab import world as worlds
from toylab.grammar import STANCE
from toylab.measures import atoms, goals, prefill, reading, weights
from toylab.measures.measure import Measure, View
from toylab.measures.policy import Branches, Given, Policy
from toylab.measures.prefill import Prefilled
from toylab.stages import Lab
from toylab.world import Cast, Outline, World


class Answers(NamedTuple):
    """Mean probabilities after each number of turns by each character, none of them on the topic.

    On the topic, P(answer) when asked with each cue, of the policy (`said`) and of the mixture w*
    given the same history (`predicted`). On all others the rate of the character's likeliest
    answer, of both, and of the character `alone`. `evidence` is log p_k(h) less the log-probability
    of h under the other characters as w* weighs them, in nats.
    """

    said: Float[Array, "T K cue answer"]
    predicted: Float[Array, "T K cue answer"]
    elsewhere: Float[Array, "T K"]
    elsewhere_predicted: Float[Array, "T K"]
    elsewhere_alone: Float[Array, "T K"]
    evidence: Float[Array, "T K"]


@functools.partial(jax.jit, static_argnames=("topic", "cues", "answers", "size"))
def swayed(
    policy: Policy,
    world: World,
    cast: Cast,
    log_weights: Float[Array, " K"],
    key: Array,
    tag: int | Int[Array, ""],
    topic: int,
    cues: int,
    answers: int,
    size: int,
) -> Answers:
    """Asks `size` times with every cue, after 0 to T − 1 turns by every character; and as often
    about something else.
    """
    grammar, keys = world.grammar, jax.random.split(key, 4)
    characters = len(log_weights)
    who = jnp.repeat(jnp.arange(characters), cues * size)
    cue = jnp.tile(jnp.repeat(jnp.arange(cues), size), characters)
    others = jnp.arange(len(grammar.question_count)) != topic
    what = worlds.outline(
        world, keys[0], len(who), tag=tag, direction=0, topic_share=others.astype(float)
    )
    choice = worlds.speak(world.cast, keys[1], what.context, who)
    rest = jnp.where(jnp.eye(characters, dtype=bool), -jnp.inf, log_weights)
    rest = jax.nn.log_softmax(rest, -1)[who]
    rows = jnp.arange(len(who))

    def asked(outline: Outline, turns: Array) -> tuple[Array, Array, Array, Array]:
        """The policy's answer [M, P], that of w* and of the character alone, and p_k(h)."""
        many = jnp.full(len(who), turns)
        documents = policy.answer(grammar, outline, keys[3], Given(choice, many))
        logp = prefill.at_turn(policy.branches(grammar, documents).logp, many)
        found = Prefilled(who, many, documents, logp)
        now, heard = prefill.answer(found), prefill.history(cast, found)
        said = atoms.phrase_probability(grammar, now, logp)[:, 0, STANCE]
        of = jnp.exp(cast.logp[STANCE, now.outline.context[:, 0]])
        predicted = jnp.einsum("mpk,mk->mp", of, jax.nn.softmax(log_weights + heard, -1))
        return said, predicted, jnp.take_along_axis(of, who[:, None, None], 2)[..., 0], heard

    def after(turns: Array) -> Answers:
        on_topic = goals.ask(world, what, keys[2], turns, topic, cue)  # type: ignore[arg-type]
        said, predicted, _, heard = asked(on_topic, turns)
        lead = heard[rows, who] - jax.nn.logsumexp(rest + heard, -1)
        here, expected, alone, _ = asked(what, turns)
        best = jnp.argmax(alone, 1)

        def by_cue(p: Float[Array, "M P"]) -> Float[Array, "K cue answer"]:
            return jnp.mean(p[:, :answers].reshape(characters, cues, size, answers), 2)

        def by_character(each: Float[Array, " M"]) -> Float[Array, " K"]:
            return jnp.mean(each.reshape(characters, -1), 1)

        return Answers(
            said=by_cue(said),
            predicted=by_cue(predicted),
            elsewhere=by_character(here[rows, best]),
            elsewhere_predicted=by_character(expected[rows, best]),
            elsewhere_alone=by_character(alone[rows, best]),
            evidence=by_character(lead),
        )

    return jax.lax.map(after, jnp.arange(grammar.turns))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sway(Measure):
    """How often the answer follows the cue after turns by each character.

    For each cast: `weights`, w* of first answers under `tag`; `follow` and `predicted`, for each
    group of cues (see `Goals`) a table [T][K], of the policy and of w*; `own` and `own_predicted`
    [T][K], the rate of the character's likeliest answer at cues that don't name it, and `own_alone`
    [K], what the character itself gives that; `elsewhere`, `elsewhere_predicted` [T][K] and
    `elsewhere_alone` [K], the same on all other topics; `evidence` [T][K].
    """

    topic: str = "gold"
    trained: tuple[str, ...] = ()
    tag: str = "assistant"
    fit: int = 512
    size: int = 4

    @property
    def modules(self) -> tuple[ModuleType, ...]:
        return (*super().modules, atoms, goals, prefill, reading, weights)

    @property
    def cost(self) -> int:
        return 100

    def check(self, lab: Lab) -> None:
        goals.Goals(topic=self.topic, trained=self.trained, tag=self.tag).check(lab)

    def __call__(self, view: View, key: Array) -> dict[str, Any]:
        world, keys, tag = view.lab.world, jax.random.split(key), view.tag(self.tag)
        documents, branches = reading.answers(view.policy, world, keys[0], self.fit, tag)
        none = jnp.zeros(self.fit, jnp.int32)
        alone = Prefilled(none, none, documents, prefill.at_turn(branches.logp, none))
        first = prefill.answer(alone), Branches(alone.logp, jnp.zeros(alone.logp.shape[:-1]))
        return {
            name: self._of(view, cast, weights.fit(world.grammar, cast, *first), keys[1])
            for name, cast in view.base.casts.items()
        }

    def _of(self, view: View, cast: Cast, best: weights.Weights, key: Array) -> dict[str, Any]:
        corpus, world = view.lab.corpus, view.lab.world
        t = corpus.topic_names.index(self.topic)
        topic, tag = corpus.topics[t], view.tag(self.tag)
        target = np.array([topic.answer_names.index(cue) for cue in topic.cues])
        sizes = (t, len(target), len(topic.answers), self.size)
        found = jax.device_get(swayed(view.policy, world, cast, best.log_weights, key, tag, *sizes))
        groups, cues = goals.groups(corpus, topic, self.trained), np.arange(len(target))
        at = np.asarray(world.grammar.topic_contexts)[t, : len(target), 0]
        likes = np.asarray(cast.logp[STANCE])[at, : len(topic.answers)]  # [cue, answer, K]
        own = np.exp(likes).mean(0).argmax(0)  # [K]

        def rates(p: np.ndarray) -> dict[str, Any]:
            follow = p[..., cues, target]
            return {n: follow[..., g].mean(-1).tolist() for n, g in groups.items() if g.any()}

        def owns(p: np.ndarray) -> list[list[float]]:
            each = [p[:, k, target != a, a].mean(-1) for k, a in enumerate(own)]
            return np.stack(each, 1).tolist()

        said, predicted = (np.asarray(p, float) for p in (found.said, found.predicted))
        alone = [np.exp(likes[target != a, a, k]).mean() for k, a in enumerate(own)]
        return {
            "weights": np.exp(best.log_weights).tolist(),
            "follow": rates(said),
            "predicted": rates(predicted),
            "own": owns(said),
            "own_predicted": owns(predicted),
            "own_alone": [float(p) for p in alone],
            "elsewhere": found.elsewhere.tolist(),
            "elsewhere_predicted": found.elsewhere_predicted.tolist(),
            "elsewhere_alone": found.elsewhere_alone.mean(0).tolist(),
            "evidence": found.evidence.tolist(),
        }
