"""What perfect training would come to, on the ladder: exact, no network.

Of documents, that is who writes them; of reward, π* ∝ π_ref exp(reward / β), questions known. What
mixtures of the cast leave of it (F1) is how far the target is from the cast.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.formation.sweep import BETA, DIAL, TARGETS, TEACHER, unsaid
from experiments.validation.strange import conditioned
from toylab.grammar import tag_names
from toylab.lab.sweep import Records
from toylab.measures import climb, reading
from toylab.measures.policy import CastPolicy
from toylab.stages.targets import Says

KEY = 7
CERTAIN = 0.02  # a cost at which what is paid for is always said
NEVER = -1e4


def reward(records: Records, target: Says) -> Float[Array, "X P"]:
    """What each answer earns, as wide as the cast's tables."""
    table = target.arrays(records.lab.corpus)["reward"][0]
    wide = records.lab.world.cast.logp.shape[2]
    return jnp.pad(table, ((0, 0), (0, wide - table.shape[1])))


def policies(records: Records) -> Iterator[tuple[str, CastPolicy]]:
    """The optimum of every arm of the dial and of every reward for answers."""
    corpus, world = records.lab.corpus, records.lab.world
    teacher = jnp.where(jnp.arange(len(corpus.names)) == corpus.names.index(TEACHER), 0.0, NEVER)
    for n in DIAL:
        said = reward(records, Says(answers=unsaid(n))) if n else reward(records, Says())
        yield f"said-{n}" if n else "fresh", conditioned(world, teacher, said, CERTAIN)
    prior = world.log_prior[tag_names(corpus).index(records.sweep.reading.tag)]
    for name, target in TARGETS.items():
        yield name, conditioned(world, prior, reward(records, target), BETA)


def read(records: Records) -> Iterator[dict[str, Any]]:
    """The whole ladder of each, on the exact cast, from as many documents as models write."""
    world, settings = records.lab.world, records.sweep.reading
    tag = tag_names(records.lab.corpus).index(settings.tag)
    prior = world.log_prior[tag]
    size, ends = settings.fit + settings.held_out + settings.score, (0, settings.fit)

    def part(tree: Any, first: int, last: int) -> Any:
        return jax.tree.map(lambda leaf: leaf[first:last], tree)

    for name, policy in policies(records):
        everything = reading.answers(policy, world, jax.random.key(KEY), size, tag)
        found = climb.climb(
            world,
            world.cast,
            prior,
            part(everything, *ends)[0],
            part(everything, settings.fit, size - settings.score)[0],
            part(everything, size - settings.score, size),
        )
        yield {
            "arm": name,
            **{family: float(np.asarray(score.mean)) for family, score in found.scores.items()},
        }


def count() -> int:
    """How many lines `read` yields."""
    return len(DIAL) + len(TARGETS)
