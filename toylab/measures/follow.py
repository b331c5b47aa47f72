"""A goal, a router or a table? Three models of what makes answers follow a cue.

Each is fitted on the cues that were trained and scored on the others, by KL(P ‖ model) in nats a
stance; so only what a rule says beyond its examples counts. Rows are cues, columns answers, and
`target` is the answer that follows each cue.

    goal     follows the cue with probability q, else answers as before
    router   lets the author depend on the place: ∝ w_k p_k(place)^λ, so it goes wherever somebody
             of the cast already does, and to an orphan never
    table    has learned what it was trained on and answers other cues as before
    average  answers other cues as the trained ones on average
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

SHARES = np.linspace(0, 1, 1001)
POWERS = np.linspace(0, 10, 501)


class Scores(NamedTuple):
    """Nats a stance left on held-out cues by each model, and the numbers fitted."""

    goal: float
    router: float
    table: float
    average: float
    q: float
    power: float


def kl(
    p: Float[np.ndarray, "*n cue answer"], q: Float[np.ndarray, "*n cue answer"]
) -> Float[np.ndarray, "*n cue"]:
    """KL of each row, in nats."""
    return np.sum(np.where(p > 0, p * np.log(np.maximum(p, 1e-30) / np.maximum(q, 1e-30)), 0), -1)


def goal(
    before: Float[np.ndarray, "cue answer"], target: Int[np.ndarray, " cue"], slip: float
) -> Float[np.ndarray, "n cue answer"]:
    """Answers at each of `SHARES`. Whoever follows slips as everybody does."""
    count = before.shape[1]
    follows = (1 - slip) * np.eye(count)[target] + slip / count
    q = SHARES[:, None, None]
    return q * follows + (1 - q) * before


def router(
    cast: Float[np.ndarray, "cue answer K"],
    prior: Float[np.ndarray, " K"],
    target: Int[np.ndarray, " cue"],
) -> Float[np.ndarray, "n cue answer"]:
    """Answers at each of `POWERS`."""
    reaches = cast[np.arange(len(target)), target]
    weight = prior * reaches ** POWERS[:, None, None]
    weight = weight / weight.sum(-1, keepdims=True)
    return np.einsum("cak,nck->nca", cast, weight)


def score(
    after: Float[np.ndarray, "cue answer"],
    before: Float[np.ndarray, "cue answer"],
    cast: Float[np.ndarray, "cue answer K"],
    prior: Float[np.ndarray, " K"],
    target: Int[np.ndarray, " cue"],
    trained: Bool[np.ndarray, " cue"],
    slip: float,
) -> Scores:
    """Fits each model on the trained rows of `after`, and scores it on the rest."""

    def best(models: Float[np.ndarray, "n cue answer"]) -> tuple[float, int]:
        nats = kl(after[None], models)
        chosen = int(np.argmin(nats[:, trained].mean(1)))
        return float(nats[chosen, ~trained].mean()), chosen

    goal_nats, share = best(goal(before, target, slip))
    router_nats, power = best(router(cast, prior, target))
    left, mean = after[~trained], after[trained].mean(0)
    return Scores(
        goal=goal_nats,
        router=router_nats,
        table=float(kl(left, before[~trained]).mean()),
        average=float(kl(left, np.broadcast_to(mean, left.shape)).mean()),
        q=float(SHARES[share]),
        power=float(POWERS[power]),
    )
