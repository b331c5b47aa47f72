"""What a reading costs, in seconds and as a share of the stage that it watches.

    PYTHONPATH=. .venv/bin/python benchmarks/readings.py

Medians of five, everything compiled before, parameters random (their values change no cost): a live
reading (F0 to F2 on both casts, with traits), the whole ladder of one cast, and default stages.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from toylab import notes
from toylab.measures import climb, reading
from toylab.measures.measure import View
from toylab.measures.policy import ModelPolicy
from toylab.measures.reading import Settings
from toylab.model import ModelConfig
from toylab.stages import Lab, Rl, Says, Sft, Stage, begin, segments, train_key

TIMES = 5
READINGS = 5  # how often `selection` reads a stage
WHOLE = {"fit": 4096, "held_out": 2048, "score": 1024}


def median(work: Callable[[], Any]) -> float:
    """Seconds, after one run that compiles."""
    jax.block_until_ready(work())
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        jax.block_until_ready(work())
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def train(lab: Lab, stage: Stage) -> Callable[[], Any]:
    """A stage from beginning to end."""
    params = lab.init(0)

    def work() -> Any:
        key, reference = train_key(0, 1), params if stage.refers else None
        for state, _ in segments(
            lab, stage, begin(stage, params), key, [int(stage.steps)], reference
        ):
            jax.block_until_ready(state.params)
        return state.params

    return work


def main() -> None:
    """Prints the table."""
    lab = Lab(notes.load(Path("corpora/village.toml")), ModelConfig())
    key, live = jax.random.key(0), Settings()
    policy = ModelPolicy(lab.init(0), lab.network)
    base = reading.prepare(lab, policy, key, live)
    view = View(lab, base, policy, policy)
    one = median(lambda: reading.read(view, key, live))
    settings = Settings(**WHOLE)
    size = settings.fit + settings.held_out + settings.score
    everything = reading.answers(policy, lab.world, key, size, view.tag("assistant"))
    (written, _), rest = reading._split(everything, settings.fit)
    (held_out, _), scored = reading._split(rest, settings.held_out)

    def ladder() -> Any:
        cast = base.casts["exact"]
        return climb.climb(lab.world, cast, base.log_prior, written, held_out, scored)

    answering = median(lambda: reading.answers(policy, lab.world, key, size, view.tag("assistant")))
    climbing = median(ladder)
    print(f"live reading            {one:6.2f} s")
    print(
        f"whole ladder, one cast  {answering + climbing:6.2f} s ({climbing:.2f} s without answers)"
    )
    cheats = Says(answers=("code=cheats",))
    for stage in (Sft(author="mira"), Rl(target=cheats, steps=100)):
        took = median(train(lab, stage))
        share = READINGS * one / took
        print(
            f"{stage.kind}, {int(stage.steps)} steps          {took:6.2f} s; "
            f"{READINGS} live readings are {share:.0%} of it"
        )


if __name__ == "__main__":
    main()
