"""Are exact beliefs linear in the size of the cast, in time and memory?

    PYTHONPATH=. .venv/bin/python benchmarks/beliefs.py

For random casts of K characters: seconds (median of five) for the beliefs after every word of a
batch of 256 documents, and megabytes of the cast's tables.
"""

import statistics
import time

import jax
import jax.numpy as jnp

from toylab import bayes, casts
from toylab import world as worlds

BATCH, TIMES = 256, 5


def main() -> None:
    """Prints the table."""
    print(f"{'K':>6} {'seconds':>9} {'us a character':>15} {'MB of tables':>13}")
    for size in (8, 64, 512, 4096):
        world = worlds.build(casts.random_cast(0, characters=size))
        documents = worlds.sample(world, jax.random.key(0), BATCH)
        prior = world.log_prior[documents.outline.tag]
        after = jax.jit(bayes.belief)
        jax.block_until_ready(after(world.grammar, world.cast, prior, documents))
        taken = []
        for _ in range(TIMES):
            began = time.perf_counter()
            jax.block_until_ready(after(world.grammar, world.cast, prior, documents))
            taken.append(time.perf_counter() - began)
        seconds = statistics.median(taken)
        tables = sum(jnp.size(leaf) * 4 for leaf in jax.tree.leaves(world.cast)) / 1e6
        print(f"{size:6} {seconds:9.4f} {1e6 * seconds / size:15.1f} {tables:13.2f}", flush=True)


if __name__ == "__main__":
    main()
