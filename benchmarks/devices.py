"""This device against one CPU core: a step, a live reading, and the ladders of the same models.

The core is measured in another process, since jax keeps to one device. Both run at the same time.
Without a GPU, two cores are compared.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks import documents, steps, timing
from benchmarks.reading import KEY
from benchmarks.timing import Row
from toylab.lab import store
from toylab.ladder import reading
from toylab.ladder.measure import Snapshot
from toylab.ladder.reading import Ladder, LadderFit
from toylab.policy.policy import ModelPolicy
from toylab.stages import Params, Pretrain, Setup, Sft, begin, segments, train_key

SIZES = ((64, 2), (128, 4), (256, 4), (512, 4))
ROOT = Path(__file__).parent.parent
RUNGS = ("F0", "F1", "F2", "F3", "F4")
MODELS = ("pretrained", "tuned")


def _trained(setup: Setup, quick: bool) -> dict[str, Params]:
    """A pretrained model, and one tuned on mira's documents."""
    params, models = setup.init(0), {}
    stages = (Pretrain(steps=2 if quick else 800), Sft(author="mira", steps=2 if quick else 200))
    for position, (name, stage) in enumerate(zip(MODELS, stages, strict=True)):
        key, goal = train_key(0, position), [int(stage.steps)]
        ((state, _),) = segments(setup, stage, begin(setup, stage, params), key, goal)
        params = models[name] = state.params
    return models


def measured(models: dict[str, Params], quick: bool) -> dict[str, Any]:
    """Milliseconds of a step at each size and of a live reading, and the ladder, on this device."""
    setup, count, rounds = documents.setup(), 2 if quick else 5, 1 if quick else steps.ROUNDS
    base, policy = (ModelPolicy(models[name], setup.network) for name in MODELS)
    sizes = {"fit": 64, "held_out": 32, "score": 32} if quick else {}
    live, whole = LadderFit(**(sizes | {"held_out": 0} if quick else {})), Ladder(**sizes)
    snapshot = Snapshot(setup, reading.prepare(setup, base, KEY, live), base, policy)
    each = {
        f"width {width}, {layers} layers": steps.ours(documents.setup(width, layers), count)
        for width, layers in (SIZES[:1] if quick else SIZES)
    }
    taken = {name: timing.seconds({name: work}, rounds)[name] for name, work in each.items()}
    told = {name: [1000 * s / count for s in all_of] for name, all_of in taken.items()}
    alone = timing.seconds({"": lambda: live(snapshot, KEY)}, rounds)[""]
    prepared = reading.prepare(setup, base, KEY, whole)
    found = whole(Snapshot(setup, prepared, base, policy), KEY)
    casts = {
        cast: {rung: float(found[cast][rung]) for rung in RUNGS} for cast in ("exact", "learned")
    }
    return {"step": told, "reading": [1000 * s for s in alone], "ladder": casts}


def _on_a_core(folder: str, quick: bool) -> subprocess.Popen[str]:
    told = os.environ | {"JAX_PLATFORMS": "cpu"}
    for name in ("PJRT_NPROC", "XLA_FLAGS"):  # what toylab has set for this device
        told.pop(name, None)
    line = [sys.executable, "-m", "benchmarks.devices", folder, *(["quick"] * quick)]
    return subprocess.Popen(line, cwd=ROOT, env=told, stdout=subprocess.PIPE, text=True)


def rows(quick: bool, known: Sequence[Row] = ()) -> Iterator[Row]:
    """Milliseconds on both, and their ratio; how far apart the two ladders of a model are."""
    models = _trained(documents.setup(), quick)
    with tempfile.TemporaryDirectory() as folder:
        for name, params in models.items():
            store.save_arrays(Path(folder, name), params)
        with _on_a_core(folder, quick) as other:
            here = measured(models, quick)
            core = json.loads(other.communicate()[0].splitlines()[-1])
    work = [
        (setting, "time a step", here["step"][setting], core["step"][setting])
        for setting in here["step"]
    ]
    work.append(("width 64, 2 layers", "live reading", here["reading"], core["reading"]))
    device = jax.devices()[0].device_kind
    for setting, quantity, ours, theirs in work:
        taken = {device: ours, "one core": theirs}
        yield from timing.rows("devices", setting, quantity, "ms", taken)
        yield from timing.ratios("devices", setting, quantity, taken, device)
    for cast, rungs in here["ladder"].items():
        apart = [abs(rungs[rung] - core["ladder"][cast][rung]) for rung in RUNGS]
        told = {f"F0 to F4, {cast} cast": [max(apart)]}
        yield from timing.rows("devices", "the same model", "ladders apart", "nats/document", told)


if __name__ == "__main__":
    like = documents.setup().init(0)
    saved = {name: store.load_arrays(Path(sys.argv[1], name), like) for name in MODELS}
    print(json.dumps(measured(saved, len(sys.argv) > 2)))
