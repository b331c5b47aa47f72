"""What a reading costs, in seconds and as a share of the stage that it watches.

Parameters are random (their values change no cost): a live reading (F0 to F2 on both casts, with
traits), the whole ladder of one cast, and default stages.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks import documents, timing
from benchmarks.timing import Row
from toylab.measures import climb, reading
from toylab.measures.measure import View
from toylab.measures.policy import ModelPolicy
from toylab.measures.reading import Settings
from toylab.stages import Lab, Rl, Says, Sft, Stage, begin, segments, train_key

KEY = jax.random.key(0)
ROUNDS = 5
READINGS = 5  # how often `selection` reads a stage
WHOLE = {"fit": 4096, "held_out": 2048, "score": 1024}


def _train(lab: Lab, stage: Stage) -> Callable[[], Any]:
    params = lab.init(0)

    def work() -> Any:
        key, reference = train_key(0, 1), params if stage.refers else None
        last = [int(stage.steps)]
        ((state, _),) = segments(lab, stage, begin(stage, params), key, last, reference)
        return state.params

    return work


def untrained(lab: Lab, settings: Settings) -> View:
    """A model with random parameters, as a live reading is given it."""
    policy = ModelPolicy(lab.init(0), lab.network)
    return View(lab, reading.prepare(lab, policy, KEY, settings), policy, policy)


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Seconds of readings and stages, and the share of five live readings."""
    lab = documents.lab()
    shrink = 16 if quick else 1
    steps, rounds = (4, 1) if quick else (100, ROUNDS)
    live = Settings(fit=512 // shrink) if quick else Settings()
    view = untrained(lab, live)
    base, policy = view.base, view.policy
    settings = Settings(**{name: size // shrink for name, size in WHOLE.items()})
    size = settings.fit + settings.held_out + settings.score

    def ladder() -> Any:
        everything = reading.answers(policy, lab.world, KEY, size, view.tag("assistant"))
        (written, _), rest = reading._split(everything, settings.fit)
        (held_out, _), scored = reading._split(rest, settings.held_out)
        cast = base.casts["exact"]
        return climb.climb(lab.world, cast, base.log_prior, written, held_out, scored)

    everybody: dict[str, Callable[[], Any]] = {
        "live reading": lambda: reading.read(view, KEY, live),
        "whole ladder, one cast": ladder,
        "sft": _train(lab, Sft(author="mira", steps=steps)),
        "rl": _train(lab, Rl(target=Says(answers=("code=cheats",)), steps=steps)),
    }
    taken = timing.seconds(everybody, rounds)
    yield from timing.rows("reading", f"stages of {steps} steps", "time", "s", taken)
    one = np.asarray(taken["live reading"])
    shares = {
        f"{READINGS} live readings / {name}": list(READINGS * one / np.asarray(taken[name]))
        for name in ("sft", "rl")
    }
    yield from timing.rows("reading", f"stages of {steps} steps", "share", "times", shares)
