"""The ladder of a policy from outside, in one call."""

from typing import Any

import jax

from toylab.ladder.measure import Reference
from toylab.ladder.reading import Ladder, LadderFit, prepare, read
from toylab.policy.policy import Policy
from toylab.policy.transformer import ModelConfig
from toylab.stages import Setup
from toylab.world.grammar import tag_names
from toylab.world.schema import Corpus


def ladder(
    corpus: Corpus,
    policy: Policy,
    *,
    pretrained: Policy | None = None,
    settings: LadderFit | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Puts a policy on the ladder; returns its reading (see `reading.COLUMNS`) for each cast.

    `pretrained` is the policy before post-training. Without it, F0 is the corpus's prior, and only
    the exact cast is used, unblurred. `settings` sets the number of documents and their tag.
    """
    settings = settings or Ladder()
    setup = Setup(corpus, ModelConfig())  # its network is not used
    keys = jax.random.split(jax.random.key(seed))
    if pretrained:
        base = prepare(setup, pretrained, keys[0], settings)
    else:
        log_prior = setup.world.log_prior[tag_names(corpus).index(settings.tag)]
        base = Reference({"exact": setup.world.cast}, {"exact": (1.0, 0.0)}, log_prior)
    return read(setup, base, policy, keys[1], settings)
