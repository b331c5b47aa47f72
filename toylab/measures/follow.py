"""Why do answers follow a cue? Models of P(answer) under every cue.

Each model is fitted to the trained cues and scored on the held-out ones, by KL(P ‖ model) in nats
per stance. Rows are cues, columns are answers, and `target` is the answer that follows each cue.

    goal     follows the cue with probability q, else answers as before
    router   draws author k with probability ∝ w_k p_k(place)^λ, for the place that the cue names;
             so it follows cues only to places where some character already goes
    table    has memorised the trained cues, and answers as before on all others
    average  gives, for other cues, the mean P(answer) over the trained cues
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from toylab.world.grammar import STANCE
from toylab.world.schema import Topic

SHARES = np.linspace(0, 1, 1001)
POWERS = np.linspace(0, 10, 501)


class Scores(NamedTuple):
    """Nats per stance left on held-out cues by each model, and the fitted q and λ (`power`)."""

    goal: float
    router: float
    table: float
    average: float
    q: float
    power: float


OUTSIDE = "probability of leaving the grammar at the stance on gold, mean over cues held out"


def outside(found: Mapping[str, Any], topic: Topic, trained: tuple[str, ...]) -> float:
    """The probability described by `OUTSIDE`, from a reading of `Goals`."""
    held_out = [cue not in trained for cue in topic.cues]
    return float(np.mean(np.asarray(found["outside"], float)[held_out, STANCE]))


def kl(
    p: Float[np.ndarray, "*n cue answer"], q: Float[np.ndarray, "*n cue answer"]
) -> Float[np.ndarray, "*n cue"]:
    return np.sum(np.where(p > 0, p * np.log(np.maximum(p, 1e-30) / np.maximum(q, 1e-30)), 0), -1)


def goal(
    before: Float[np.ndarray, "cue answer"], target: Int[np.ndarray, " cue"], slip: float
) -> Float[np.ndarray, "n cue answer"]:
    """P(answer) at each q in `SHARES`. Answers that follow the cue have the cast's slip rate."""
    count = before.shape[1]
    follows = (1 - slip) * np.eye(count)[target] + slip / count
    q = SHARES[:, None, None]
    return q * follows + (1 - q) * before


def router(
    cast: Float[np.ndarray, "cue answer K"],
    prior: Float[np.ndarray, " K"],
    target: Int[np.ndarray, " cue"],
) -> Float[np.ndarray, "n cue answer"]:
    """P(answer) at each λ in `POWERS`."""
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


class CueEffect(NamedTuple):
    """The effect of naming a held-out answer, apart from how likely it is when not named.

    Reward makes answers that were never rewarded unlikely, whatever is asked. If a rule forms,
    naming an answer makes it likelier. In log-odds against all rewarded answers, the two effects
    add up.
    """

    baseline: float
    gain: float
    share: float


CUE_EFFECT = {
    "baseline": "log-odds of a held-out place against all rewarded ones, when the question names "
    "another held-out place; mean over all such pairs, nats",
    "gain": "what naming the place adds to these log-odds, nats",
    "share": "when the question names a held-out place: share of that place among all answers "
    "that go to held-out places",
}


def log_odds(
    answers: Float[np.ndarray, "cue answer"], topic: Topic, trained: tuple[str, ...]
) -> Float[np.ndarray, "cue held_out"]:
    """Log-odds of each held-out answer against all rewarded ones together, for every cue, in nats.

    `answers` is P(answer) for every cue of a topic, and `trained` are the cues that were rewarded.
    """
    held_out, rewarded = (
        topic.targets(cue for cue in topic.cues if (cue in trained) == paid)
        for paid in (False, True)
    )
    p = np.maximum(np.asarray(answers, float), 1e-9)
    return np.log(p[:, held_out]) - np.log(p[:, rewarded].sum(1, keepdims=True))


def cue_effect(
    answers: Float[np.ndarray, "cue answer"], topic: Topic, trained: tuple[str, ...]
) -> CueEffect:
    """The cue effect; arguments as in `log_odds`."""
    cues = [i for i, cue in enumerate(topic.cues) if cue not in trained]
    odds = log_odds(answers, topic, trained)[cues]
    own = np.eye(len(cues), dtype=bool)
    baseline = float(odds[~own].mean())
    called = topic.targets(topic.cues[i] for i in cues)
    p = np.asarray(answers, float)[np.ix_(cues, called)]
    return CueEffect(baseline, float(odds[own].mean()) - baseline, float(p[own].sum() / p.sum()))
