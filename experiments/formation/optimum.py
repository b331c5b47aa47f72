"""The ladder of perfect training: exact, without a network.

For documents, the optimum is the policy that writes them. For reward, it is the policy
π* ∝ π_ref exp(reward / β) that knows all questions in advance. Its distance from the cast is what
the best mixture of characters leaves unexplained (F1).
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from experiments.formation.sweep import BETA, DIAL, TARGETS, TEACHER, unsaid
from experiments.validation.strange import conditioned
from toylab.lab.records import Records
from toylab.ladder.families import CastPolicy
from toylab.ladder.fit import FAMILIES
from toylab.ladder.measure import Reference, Snapshot
from toylab.stages.targets import Says
from toylab.world.grammar import tag_names

CERTAIN = 0.02  # at this cost the rewarded answer is always given
NEVER = -1e4


def reward(records: Records, target: Says) -> Float[Array, "X P"]:
    """The reward of each answer, padded to the width of the cast's tables."""
    table = target.arrays(records.setup.corpus)["reward"][0]
    wide = records.setup.world.cast.logp.shape[2]
    return jnp.pad(table, ((0, 0), (0, wide - table.shape[1])))


def policies(records: Records) -> Iterator[tuple[str, CastPolicy]]:
    """The optimum of every arm of the dial and of every reward for answers."""
    corpus, world = records.setup.corpus, records.setup.world
    teacher = jnp.where(jnp.arange(len(corpus.names)) == corpus.names.index(TEACHER), 0.0, NEVER)
    for n in DIAL:
        said = reward(records, Says(answers=unsaid(n)))
        yield f"said-{n}" if n else "fresh", conditioned(world, teacher, said, CERTAIN)
    prior = world.log_prior[tag_names(corpus).index(records.sweep.reading.tag)]
    for name, target in TARGETS.items():
        yield name, conditioned(world, prior, reward(records, target), BETA)


def read(records: Records) -> Iterator[dict[str, Any]]:
    """The ladder of each optimum, on the exact cast, from as many documents as models write."""
    world, settings = records.setup.world, records.sweep.reading
    prior = world.log_prior[tag_names(records.setup.corpus).index(settings.tag)]
    base = Reference({"exact": world.cast}, {"exact": (1.0, 0.0)}, prior)
    for name, policy in policies(records):
        snapshot = Snapshot(records.setup, base, policy, policy)
        found = settings(snapshot, jax.random.key(7))["exact"]
        yield {"arm": name, **{family: found[family] for family in FAMILIES}}
