"""What makes an answer follow a cue that was never rewarded: the rule, or how the answer stood.

Reward moves two things. It makes answers unlikely that it never pays for, whatever is asked; and
where a rule is formed, naming an answer makes it likelier. A rate has both in it, and can fall
because the first grows. In log-odds against all rewarded answers they add up.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from toylab.world.schema import Topic


class Pull(NamedTuple):
    """Of answers held out, asked about cues held out, in nats.

    `unpaid`: log-odds of such an answer against all rewarded ones together, where another one held
    out is named; mean over pairs. `pull`: what naming it adds to them. `chosen`: of answers that
    are held out at all, the share that is the named one.
    """

    unpaid: float
    pull: float
    chosen: float


def log_odds(
    answers: Float[np.ndarray, "cue answer"], topic: Topic, trained: tuple[str, ...]
) -> Float[np.ndarray, "cue held_out"]:
    """Of each answer held out against all rewarded ones together, under every cue, in nats.

    From P(answer) for every cue of a topic, and the cues that were rewarded.
    """
    held_out, rewarded = (
        [topic.answer_names.index(cue) for cue in topic.cues if (cue in trained) == paid]
        for paid in (False, True)
    )
    p = np.maximum(np.asarray(answers, float), 1e-9)
    return np.log(p[:, held_out]) - np.log(p[:, rewarded].sum(1, keepdims=True))


def pull(answers: Float[np.ndarray, "cue answer"], topic: Topic, trained: tuple[str, ...]) -> Pull:
    """From P(answer) for every cue of a topic, and the cues that were rewarded."""
    cues = [i for i, cue in enumerate(topic.cues) if cue not in trained]
    odds = log_odds(answers, topic, trained)[cues]
    own = np.eye(len(cues), dtype=bool)
    unpaid = float(odds[~own].mean())
    p = np.asarray(answers, float)[
        np.ix_(cues, [topic.answer_names.index(topic.cues[i]) for i in cues])
    ]
    return Pull(unpaid, float(odds[own].mean()) - unpaid, float(p[own].sum() / p.sum()))
