"""Are exact beliefs linear in the size of the cast, in time and memory?

For random casts of K characters: the beliefs after every word of a batch of 256 documents.
"""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp

from benchmarks import timing
from benchmarks.timing import Row
from toylab import bayes, casts
from toylab import world as worlds

BATCH, ROUNDS = 256, 5
SIZES = (8, 64, 512, 4096)


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Milliseconds, microseconds a character, and megabytes of tables."""
    after = jax.jit(bayes.belief)
    for size in SIZES[:2] if quick else SIZES:
        world = worlds.build(casts.random_cast(0, characters=size))
        drawn = worlds.sample(world, jax.random.key(0), BATCH)
        prior = world.log_prior[drawn.outline.tag]
        given = (world.grammar, world.cast, prior, drawn)
        taken = timing.seconds({"toylab": lambda given=given: after(*given)}, ROUNDS)["toylab"]
        tables = sum(jnp.size(leaf) * 4 for leaf in jax.tree.leaves(world.cast)) / 1e6
        for quantity, unit, values in (
            (f"beliefs of {BATCH} documents", "ms", [1e3 * s for s in taken]),
            ("time a character", "us", [1e6 * s / size for s in taken]),
            ("tables of the cast", "MB", [tables]),
        ):
            yield from timing.rows(
                "beliefs", f"{size} characters", quantity, unit, {"toylab": values}
            )
