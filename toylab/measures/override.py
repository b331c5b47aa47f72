"""Context override: what becomes of answers on a topic after turns by another character.

The policy is given turns by a character k. Then it is asked about a topic with cues, or about any
other. As k becomes likelier, a mixture of characters gives way to k's answers, on all topics alike:
Σ w*_k p_k(h) p_k(·) / Σ w*_k p_k(h), with w* fitted to answers without history. A goal or a table
is bound to its topic: there it does not give way, while answers on other topics become k's.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.ladder import reading
from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.measures import ask, cues
from toylab.measures.ask import Answered, Cued
from toylab.policy.policy import Policy
from toylab.world import documents as docs
from toylab.world import names
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import STANCE
from toylab.world.tables import Cast, World


@functools.partial(jax.jit, static_argnames=("sizes", "size"))
def overridden(
    policy: Policy,
    world: World,
    casts: Mapping[str, tuple[Cast, Float[Array, " K"]]],
    key: Array,
    tag: int | Array,
    sizes: tuple[int, int, int],
    size: int,
) -> dict[str, dict[str, Array]]:
    """Asks `size` times with every cue, after 0 to T − 1 given turns by every character.

    The given turns are on other topics. The same number of questions is also asked about other
    topics. `casts` are those to predict with, each with log w*.

    For each cast: P(answer) [T, K, cue, answer] of the policy (`said`) and of m_w* given the same
    history (`predicted`), and as tables [T, K] the `evidence` and the three `elsewhere…` of
    `Override`. `evidence` is log p_k(h) less the log-probability of h under the other characters,
    as weighted by w*, in nats.
    """
    topic, cues, answers = sizes
    grammar, keys = world.grammar, jax.random.split(key, 4)
    characters = world.cast.logp.shape[-1]
    who = jnp.repeat(jnp.arange(characters), cues * size)
    cue = jnp.tile(jnp.repeat(jnp.arange(cues), size), characters)
    others = jnp.arange(len(grammar.question_count)) != topic
    what = docs.prompt(
        world, keys[0], len(who), tag=tag, direction=0, topic_share=others.astype(float)
    )
    choice = docs.speak(world.cast, keys[1], what.context, who)
    rows = jnp.arange(len(who))

    def asked(prompt: Prompt, turns: Array) -> tuple[Answered, Documents, Array]:
        """The policy's answers after these turns, its own turn alone, and P(answer) [M, P]."""
        found = ask.after(policy, world, prompt, keys[3], choice, who, turns)
        now = ask.own_turn(found)
        return found, now, ask.stances(grammar, now, found.logp)[:, 0]

    def by_cue(p: Float[Array, "M P"]) -> Float[Array, "K cue answer"]:
        return jnp.mean(p[:, :answers].reshape(characters, cues, size, answers), 2)

    def by_character(each: Float[Array, " M"]) -> Float[Array, " K"]:
        return jnp.mean(each.reshape(characters, -1), 1)

    def after(turns: Array) -> dict[str, dict[str, Array]]:
        found, now, said = asked(ask.about(world, what, keys[2], turns, topic, cue), turns)
        _, now_else, said_else = asked(what, turns)

        def beside(cast: Cast, log_weights: Float[Array, " K"]) -> dict[str, Array]:
            heard = ask.evidence(cast, found)
            belief = jax.nn.softmax(log_weights + heard, -1)
            rest = jnp.where(jnp.eye(characters, dtype=bool), -jnp.inf, log_weights)
            rest = jax.nn.log_softmax(rest, -1)[who]
            of, of_else = (
                jnp.exp(cast.logp[STANCE, each.prompt.context[:, 0]]) for each in (now, now_else)
            )
            alone = jnp.take_along_axis(of_else, who[:, None, None], 2)[..., 0]
            best = jnp.argmax(alone, 1)
            expected = jnp.einsum("mpk,mk->mp", of_else, belief)
            return {
                "said": by_cue(said),
                "predicted": by_cue(jnp.einsum("mpk,mk->mp", of, belief)),
                "elsewhere": by_character(said_else[rows, best]),
                "elsewhere_predicted": by_character(expected[rows, best]),
                "elsewhere_alone": by_character(alone[rows, best]),
                "evidence": by_character(heard[rows, who] - jax.nn.logsumexp(rest + heard, -1)),
            }

        return {name: beside(*each) for name, each in casts.items()}

    return jax.lax.map(after, jnp.arange(grammar.turns))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Override(Measure):
    """How often the answer follows the cue after turns by each character.

    For each cast:

    * `weights`: w* of first answers under `tag`;
    * `follow` and `predicted`: for each group of cues (see `Goals`) a table [T][K] of rates, by the
      policy and by m_w*;
    * `own` and `own_predicted` [T][K]: the rate of the character's likeliest answer at cues that do
      not name it; `own_alone` [K]: the character's own rate;
    * `elsewhere`, `elsewhere_predicted` [T][K], `elsewhere_alone` [K]: the same on other topics;
    * `evidence` [T][K]: see `overridden`.
    """

    topic: str = names.topic("gold", among=names.facts)
    trained: tuple[str, ...] = names.cue(of="topic")
    tag: str = names.tag()
    fit: int = sample(512, quick=64)
    size: int = sample(4, quick=1)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        world, keys, tag = snapshot.setup.world, jax.random.split(key), snapshot.tag(self.tag)
        documents, branches = reading.answers(snapshot.policy, world, keys[0], self.fit, tag)
        none = jnp.zeros(self.fit, jnp.int32)
        alone = Answered(none, none, documents, ask.at_turn(branches.logp, none))
        best = {
            name: (cast, ask.first_weights(world, cast, alone, self.fit).log_weights)
            for name, cast in snapshot.base.casts.items()
        }
        cued = ask.cued(snapshot.setup.corpus, self.topic)
        args = (snapshot.policy, world, best, keys[1], tag, cued.sizes, self.size)
        found = jax.device_get(overridden(*args))
        return {
            name: {"weights": np.exp(log_weights).tolist()}
            | self._of(snapshot, cued, cast, found[name])
            for name, (cast, log_weights) in best.items()
        }

    def _of(self, snapshot: Snapshot, cued: Cued, cast: Cast, found: Any) -> dict[str, Any]:
        corpus, world, target = snapshot.setup.corpus, snapshot.setup.world, cued.target
        groups, rows = cues.groups(corpus, cued.topic, self.trained), np.arange(len(target))
        at = np.asarray(world.grammar.topic_contexts)[cued.place, : len(target), 0]
        likes = np.asarray(cast.logp[STANCE])[at, : len(cued.topic.answers)]  # [cue, answer, K]
        own = np.exp(likes).mean(0).argmax(0)  # [K]

        def rates(p: np.ndarray) -> dict[str, Any]:
            follow = p[..., rows, target]
            return {n: follow[..., g].mean(-1).tolist() for n, g in groups.items() if g.any()}

        def owns(p: np.ndarray) -> list[list[float]]:
            each = [p[:, k, target != a, a].mean(-1) for k, a in enumerate(own)]
            return np.stack(each, 1).tolist()

        said, predicted = (np.asarray(found[name], float) for name in ("said", "predicted"))
        alone = [np.exp(likes[target != a, a, k]).mean() for k, a in enumerate(own)]
        return {
            "follow": rates(said),
            "predicted": rates(predicted),
            "own": owns(said),
            "own_predicted": owns(predicted),
            "own_alone": [float(p) for p in alone],
            "elsewhere_alone": found["elsewhere_alone"].mean(0).tolist(),
            **{
                name: found[name].tolist()
                for name in ("elsewhere", "elsewhere_predicted", "evidence")
            },
        }
