"""How far another's turn in context is heard, from a reading of `Override`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

RATES = ("held_out", "orphans", "trained")
COLUMNS = {
    "evidence": "what that turn says for its author against the rest of w*, nats",
    "heard_gold": "how far P(the other's likeliest answer) has come after the turn, from before it "
    "(0) to the other's own (1): asked about gold",
    "heard_else": "the same asked about anything else",
    "heard_gold_bayes": "heard_gold of w*, whose weights are 1e-7 where they are less than can be "
    "read",
    "heard_else_bayes": "heard_else of w*",
    "nats_gold": "log-odds that the turn adds to that answer (of mean rates), asked about gold",
    "nats_else": "the same asked about anything else",
}


def after_one_turn(found: Mapping[str, Any], others: Sequence[int]) -> dict[str, float]:
    """What one turn by these characters does, from means over them (see `Override`)."""

    def mean(table: Sequence[Sequence[float]], turns: int) -> float:
        return float(np.mean(np.asarray(table[turns], float)[list(others)]))

    def heard(name: str, whose: str = "") -> float:
        before, after = (mean(found[f"{name}{whose}"], turns) for turns in (0, 1))
        return (after - before) / (mean([found[f"{name}_alone"]], 0) - before)

    def added(name: str) -> float:
        before, after = (mean(found[name], turns) for turns in (0, 1))
        return math.log(after / (1 - after)) - math.log(before / (1 - before))

    return {
        **{group: mean(found["follow"][group], 1) for group in RATES},
        "trained_bayes": mean(found["predicted"]["trained"], 1),
        "evidence": mean(found["evidence"], 1),
        "heard_gold": heard("own"),
        "heard_else": heard("elsewhere"),
        "heard_gold_bayes": heard("own", "_predicted"),
        "heard_else_bayes": heard("elsewhere", "_predicted"),
        "nats_gold": added("own"),
        "nats_else": added("elsewhere"),
    }
