"""Does pretraining learn the prospector, the character that the reward of `treasure` can select?

    PYTHONPATH=. .venv/bin/python benchmarks/known.py

Needs `./launch.sh treasure`. Prints for each pretrained model of this cast P(goes where the
question says) under the prospector's name: for the eight places rewarded later, and for the
*orphan*, a place never rewarded, where no character likes to go.
"""

from pathlib import Path

import jax

from experiments.treasure.sweep import SWEEP
from toylab.lab.paths import Recipe as Run
from toylab.lab.store import final_params
from toylab.ladder.measure import Snapshot
from toylab.measures.cues import Goals
from toylab.policy.policy import ModelPolicy
from toylab.stages import Setup
from toylab.world import derive

ROOT = Path(__file__).parent.parent
WHO = "prospector"


def main() -> None:
    """Prints a line per seed."""
    corpus = SWEEP.arms[WHO].corpus
    setup = Setup(derive.load(ROOT / "corpora" / f"{corpus}.toml"), SWEEP.model)
    trained = SWEEP.arms[WHO].stages[0].target.places
    for seed in range(SWEEP.first_seed, SWEEP.first_seed + SWEEP.seeds):
        folder = ROOT / "runs" / Run(setup, seed, (SWEEP.pretrain,)).name
        policy = ModelPolicy(final_params(folder, setup), setup.network)
        goals = Goals(trained=trained, tag=WHO, tags=(WHO,), who=(WHO,))
        rates = goals(Snapshot(setup, None, policy, policy), jax.random.key(0))["rates"]
        print(f"seed {seed}: trained {rates['trained']:.2f}, orphan {rates['orphans']:.2f}")


if __name__ == "__main__":
    main()
