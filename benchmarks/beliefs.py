"""Are exact posteriors linear in the size of the cast, in time and memory?

Measures, for random casts of K characters, how long it takes to predict every decision in a batch
of 256 documents from the posterior over the author.
"""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array

from benchmarks import timing
from benchmarks.timing import Row
from toylab.world import bayes, random, tables
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import Grammar
from toylab.world.tables import Cast

BATCH, ROUNDS = 256, 5
SIZES = (8, 64, 512, 4096)


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Milliseconds, microseconds per character, and megabytes of tables."""

    @jax.jit
    def predict(grammar: Grammar, cast: Cast, prior: Array, drawn: Documents) -> Array:
        return bayes.predictive(cast, prior, drawn, bayes.decisions(grammar, drawn))

    for size in SIZES[:2] if quick else SIZES:
        world = tables.build(random.random_cast(0, characters=size))
        drawn = docs.sample(world, jax.random.key(0), BATCH)
        prior = world.log_prior[drawn.prompt.tag]
        given = (world.grammar, world.cast, prior, drawn)
        taken = timing.seconds({"toylab": lambda given=given: predict(*given)}, ROUNDS)["toylab"]
        size_mb = sum(jnp.size(leaf) * 4 for leaf in jax.tree.leaves(world.cast)) / 1e6
        for quantity, unit, values in (
            (f"beliefs of {BATCH} documents", "ms", [1e3 * s for s in taken]),
            ("time a character", "us", [1e6 * s / size for s in taken]),
            ("tables of the cast", "MB", [size_mb]),
        ):
            yield from timing.rows(
                "beliefs", f"{size} characters", quantity, unit, {"toylab": values}
            )
