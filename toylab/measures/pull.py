"""What makes an answer follow a cue that was never rewarded: the rule, or how the answer stood.

Reward moves two things. It makes answers unlikely that it never pays for, whatever is asked; and
where a rule is formed, naming an answer makes it likelier. A rate has both in it, and can fall
because the first grows. In log-odds against all rewarded answers they add up.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from toylab.corpus import Topic


class Pull(NamedTuple):
    """Of answers held out, asked about cues held out, in nats.

    `unpaid`: log-odds of such an answer against all rewarded ones together, where another one held
    out is named; mean over pairs. `pull`: what naming it adds to them. `chosen`: of answers that
    are held out at all, the share that is the named one.
    """

    unpaid: float
    pull: float
    chosen: float


def pull(answers: Float[np.ndarray, "cue answer"], topic: Topic, trained: tuple[str, ...]) -> Pull:
    """From P(answer) for every cue of a topic, and the cues that were rewarded."""
    held_out = [i for i, cue in enumerate(topic.cues) if cue not in trained]
    named = [topic.answer_names.index(topic.cues[i]) for i in held_out]
    rewarded = [topic.answer_names.index(cue) for cue in topic.cues if cue in trained]
    p = np.maximum(np.asarray(answers, float), 1e-9)[held_out]
    odds = np.log(p[:, named]) - np.log(p[:, rewarded].sum(1, keepdims=True))
    own = np.eye(len(held_out), dtype=bool)
    unpaid = float(odds[~own].mean())
    share = float(p[:, named][own].sum() / p[:, named].sum())
    return Pull(unpaid, float(odds[own].mean()) - unpaid, share)
