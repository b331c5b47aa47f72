"""Recall: what a policy says next, after turns of somebody's answers were put in its mouth.

Unlike in `exchange`, the answers are given by name, so the same may be put to a model that never
met anyone who gives them.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from toylab.ladder import atoms, mixtures
from toylab.ladder.measure import Measure, Snapshot
from toylab.measures import prefill
from toylab.measures.prefill import Prefilled
from toylab.policy.policy import Policy
from toylab.policy.sampling import Branches, Given
from toylab.stages import Setup
from toylab.stages.sft import answers_of
from toylab.stages.targets import refuse_unknown
from toylab.world import bayes
from toylab.world import documents as docs
from toylab.world.grammar import SLOTS, STANCE, contexts, tag_names
from toylab.world.tables import Cast, World


class Answers(NamedTuple):
    """Which answer is put in the policy's mouth, by context, and how often each topic comes up."""

    put: Int[Array, " X"]
    topics: Float[Array, " topic"]


@functools.partial(jax.jit, static_argnames="size")
def continued(
    policy: Policy, world: World, key: Array, size: int, tag: int, said: Answers
) -> Prefilled:
    """`size` documents for 0, 1, … turns of these answers, plainly spoken, and the policy's next.

    `who` is nobody in particular: 0.
    """
    keys = jax.random.split(key)
    what = docs.prompt(world, keys[0], size, tag=tag, direction=0, topic_share=said.topics)
    choice = jnp.zeros((*what.context.shape, len(SLOTS)), jnp.int32)
    choice = choice.at[..., STANCE].set(said.put[what.context])

    def after(turns: Array) -> Prefilled:
        many = jnp.full(size, turns)
        documents = policy.answer(world.grammar, what, keys[1], Given(choice, many))
        logp = policy.branches(world.grammar, documents).logp
        return Prefilled(jnp.zeros_like(many), many, documents, prefill.at_turn(logp, many))

    found = jax.lax.map(after, jnp.arange(world.grammar.turns))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), found)


@jax.jit
def rates(
    world: World, cast: Cast, log_weights: Float[Array, " K"], found: Prefilled, put: Array
) -> tuple[Float[Array, " T"], Float[Array, " T"], Float[Array, "T K"]]:
    """P(the answer) after each number of turns, what the mixture predicts, and its log p_k(h)."""
    grammar, now = world.grammar, prefill.answer(found)
    heard, at = prefill.history(cast, found), bayes.decisions(grammar, now)
    expected = bayes.predictive(cast, log_weights + heard, now, at)
    rows, context = jnp.arange(len(heard)), now.prompt.context[:, 0]

    def rate(logp: Float[Array, "M 1 S J C"]) -> Float[Array, " T"]:
        said = atoms.phrase_probability(grammar, now, logp)[:, 0, STANCE]
        return jnp.mean(said[rows, put[context]].reshape(grammar.turns, -1), 1)

    by_turn = heard.reshape(grammar.turns, -1, heard.shape[-1])
    return rate(found.logp), rate(expected), jnp.mean(by_turn, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recall(Measure):
    """P(answer) on a topic of `says` after 0, 1, … turns of the others, on each cast.

    `says` is topic=answer, …, as in `Sft`. For each cast `measured` and `predicted` are [T];
    `predicted` is by w*, fitted where nothing was put in the policy's mouth. `evidence` [T] is in
    nats: how much likelier the turns are under whoever explains them best than under whoever is
    heaviest in w*.
    """

    says: tuple[str, ...]
    tag: str = "assistant"
    size: int = 256

    @property
    def cost(self) -> int:
        return 1 + self.size // 8

    def smaller(self) -> "Recall":
        return dataclasses.replace(self, size=min(self.size, 64))

    def check(self, setup: Setup) -> None:
        refuse_unknown("recall.tag", [self.tag], tag_names(setup.corpus))
        refuse_unknown("recall.says", self.says, [*answers_of(setup.corpus)])

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        world, said = snapshot.setup.world, self._answers(snapshot.setup)
        found = continued(snapshot.policy, world, key, self.size, snapshot.tag(self.tag), said)
        alone = jax.tree.map(lambda leaf: leaf[: self.size], found)
        branches = Branches(alone.logp, jnp.zeros(alone.logp.shape[:-1]))
        out = {}
        for name, cast in snapshot.base.casts.items():
            best = mixtures.weights_from_branches(
                world.grammar, cast, prefill.answer(alone), branches
            ).log_weights
            measured, predicted, heard = jax.device_get(rates(world, cast, best, found, said.put))
            heaviest = heard[:, int(np.argmax(best))]
            out[name] = {
                "measured": measured.tolist(),
                "predicted": predicted.tolist(),
                "evidence": (heard.max(1) - heaviest).tolist(),
            }
        return out

    def _answers(self, setup: Setup) -> Answers:
        put = dict(answers_of(setup.corpus)[each] for each in self.says)
        asked = [t in put for t in range(len(setup.corpus.topics))]
        by_context = [put.get(topic, 0) for topic, _, _ in contexts(setup.corpus)]
        return Answers(jnp.array(by_context), jnp.array(asked, jnp.float32))

    def scalars(self, setup: Setup, found: Any) -> dict[str, float]:
        learned = found["learned"]["measured"]
        return {f"recall/after_{turn}_turns": rate for turn, rate in enumerate(learned)}
