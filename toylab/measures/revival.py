"""Revival: how much evidence in context brings a suppressed character back.

Read off what `exchange` found: evidence and readings after 0, 1, … turns by that character.
"""

from collections.abc import Mapping, Sequence
from typing import Any


def crossing(evidence: Sequence[float], reading: Sequence[float], level: float) -> float | None:
    """Nats of evidence at which a reading first gets up to a level, between points by a line.

    None if no number of turns that was tried gets it there; 0 if it needs none.
    """
    if reading[0] >= level:
        return 0.0
    for turn in range(1, len(reading)):
        if reading[turn] >= level:
            part = (level - reading[turn - 1]) / (reading[turn] - reading[turn - 1])
            return evidence[turn - 1] + part * (evidence[turn] - evidence[turn - 1])
    return None


def revival(found: Mapping[str, Any], share: float = 0.5) -> list[float | None]:
    """For each character, nats until its likeliest answers reach this share of its own rate.

    `found` is what `Exchange` says of one cast. A rate is the policy's mean probability of what
    the character would most likely answer to the question.
    """
    return [
        crossing(evidence, rate, share * own)
        for evidence, rate, own in zip(
            found["evidence"], found["own_rate"], found["own_rate_alone"], strict=True
        )
    ]
