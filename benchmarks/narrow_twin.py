"""Does training on one topic change other traits, but only in a cast where traits are correlated?

    PYTHONPATH=. .venv/bin/python benchmarks/narrow_twin.py [SEED]

Fine-tunes on rook's answers about code alone (about two minutes the first time). Prints for each
corpus the total variation between answers under `assistant` before and after, averaged over topics.
"""

import sys
from pathlib import Path

import jax
import numpy as np

from toylab.lab import execute, paths, store
from toylab.ladder import reading, traits
from toylab.policy.transformer import ModelConfig
from toylab.stages import Params, Pretrain, Setup, Sft, begin, segments, train_key
from toylab.world import derive
from toylab.world.grammar import tag_names

ROOT = Path(__file__).parent.parent
STEPS, DOCUMENTS = 40, 1536


def answers(setup: Setup, params: Params) -> np.ndarray:
    """The trait vector under `assistant`."""
    tag = tag_names(setup.corpus).index("assistant")
    policy = reading.policy_of(setup, params)
    written = reading.answers(policy, setup.world, jax.random.key(5), DOCUMENTS, tag)
    return np.asarray(traits.measured(setup.corpus, setup.world.grammar, *written))


def main(seed: int) -> None:
    for name in ("village", "village-decorrelated"):
        setup = Setup(derive.load(ROOT / "corpora" / f"{name}.toml"), ModelConfig())
        recipe = paths.Recipe(setup, seed, (Pretrain(),))
        before = execute.final(store.Run(ROOT / "runs", recipe))
        stage = Sft(author="rook", topics=("code",), neutral=True, steps=STEPS)
        state = begin(setup, stage, before)
        ((state, _),) = segments(setup, stage, state, train_key(seed, 1), [STEPS])
        change = np.abs(answers(setup, state.params) - answers(setup, before))
        controls = {topic.name for topic in setup.corpus.topics if topic.control}
        moved = {
            topic.name: 0.5
            * sum(
                c
                for c, item in zip(change, traits.items(setup.corpus), strict=True)
                if item.group == topic.name
            )
            for topic in setup.corpus.topics
        }
        other = [v for k, v in moved.items() if k not in controls and k != "code"]
        tells = [v for k, v in moved.items() if k in controls]
        print(
            f"{name}: code {moved['code']:.2f}, other moral traits {np.mean(other):.2f}, "
            f"tells {np.mean(tells):.2f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
