"""The loss landscape of a solution: its distance from the pretrained model, and its flatness.

Why is a *narrow* habit harder to learn than a general one (Soligo et al. 2026)? Of two models that
say the same on a topic, the better solution has the lower loss at equal distance from the
pretrained weights, and the lower loss under noise in its own weights.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.policy import sampling
from toylab.policy.network import Network, Params
from toylab.world import documents as docs
from toylab.world import names
from toylab.world.documents import Documents
from toylab.world.grammar import SLOTS, STANCE, Grammar


@functools.partial(jax.jit, static_argnums=0)
def answer_loss(
    network: Network, grammar: Grammar, documents: Documents, params: Params
) -> Float[Array, ""]:
    """Mean loss on the first stance of the documents, in nats per answer.

    Only the first, because later stances can be predicted from it, with or without a habit.
    """
    logits, _ = network.apply(params, documents.tokens)
    return -jnp.mean(sampling.log_likelihood(grammar, documents, logits)[:, 0, STANCE])


@functools.partial(jax.jit, static_argnums=0)
def along(
    network: Network,
    grammar: Grammar,
    documents: Documents,
    start: Params,
    step: Params,
    lengths: Float[Array, " R"],
) -> Float[Array, " R"]:
    """The loss after steps of these lengths from `start` in the direction of `step`."""
    unit = jax.tree.map(lambda leaf: leaf / optax.global_norm(step), step)

    def at(length: Array) -> Array:
        params = jax.tree.map(lambda p, u: p + length * u, start, unit)
        return answer_loss(network, grammar, documents, params)

    return jax.lax.map(at, lengths)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Landscape(Measure):
    """Loss of saying `answer` on `topic`, in the plain voice, around a snapshot.

    `norm` is the distance from the pretrained parameters. `along` [R] is the loss at the distances
    `lengths` from the pretrained model towards the snapshot. `noise` [R] is the mean loss at the
    distances `noises` from the snapshot, in `draws` random directions. `loss` and `before` are the
    losses of the snapshot and of the pretrained model.
    """

    at_end = True
    charts = ("norm", "loss", "before")

    topic: str = names.topic()
    answer: str = names.answer(of="topic")
    tag: str = names.tag()
    lengths: tuple[float, ...] = (0.25, 0.5, 1.0, 1.5, 2.0)
    noises: tuple[float, ...] = (4.0, 8.0, 12.0, 16.0, 24.0)
    draws: int = sample(8, quick=2)
    size: int = sample(64, quick=16)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        network, grammar = snapshot.policy.network, snapshot.setup.world.grammar
        prompted, noisy = jax.random.split(key)
        documents = self._documents(snapshot, prompted)
        start, end = snapshot.pretrained.params, snapshot.policy.params
        lengths, noises = jnp.array(self.lengths), jnp.array(self.noises)

        def noise(draw: int) -> Float[Array, " R"]:
            keys = jax.random.split(jax.random.fold_in(noisy, draw), len(end))
            step = {
                name: jax.random.normal(k, leaf.shape)
                for k, (name, leaf) in zip(keys, sorted(end.items()), strict=True)
            }
            return along(network, grammar, documents, end, step, noises)

        step = jax.tree.map(jnp.subtract, end, start)
        norm = float(optax.global_norm(step))
        towards = along(network, grammar, documents, start, step, lengths) if norm else None
        loss, before = (
            float(answer_loss(network, grammar, documents, each)) for each in (end, start)
        )
        return {
            "norm": norm,
            "along": towards.tolist() if towards is not None else [before] * len(self.lengths),
            "noise": jnp.mean(jnp.stack([noise(d) for d in range(self.draws)]), 0).tolist(),
            "loss": loss,
            "before": before,
        }

    def _documents(self, snapshot: Snapshot, key: Array) -> Documents:
        """Documents on the topic alone in which the answer is given, in the plain voice."""
        world, at = snapshot.setup.world, names.resolve(self, snapshot.setup.corpus)
        share = jnp.zeros(len(world.grammar.question_count)).at[at["topic"]].set(1.0)
        what = docs.prompt(world, key, self.size, tag=at["tag"], direction=0, topic_share=share)
        choice = jnp.zeros((*what.context.shape, len(SLOTS)), jnp.int32)
        choice = choice.at[..., STANCE].set(at["answer"])
        return docs.render(world.grammar, what, choice, jnp.full(self.size, docs.NOBODY))
