"""What Bayes predicts for post-training, from the documents trained on.

*One author for all documents*: w ∝ w0 · exp(τ · E log p_k(d)), a posterior that concentrates on the
best fit. *One author per document*: argmax_w τ · E log m_w(d) − KL(w0 ‖ w), a mixture that matches
the documents. E is the mean over documents. The exchange rate τ is fitted to how often some answers
are given. It then predicts how often all other answers, and all openers and closers, are given.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from toylab.ladder import traits
from toylab.stages import Context, Setup, Sft, train_key
from toylab.world import bayes
from toylab.world.documents import Documents
from toylab.world.grammar import SLOTS, STANCE, tag_names

RATES = tuple(float(10 ** (exponent / 20)) for exponent in range(-80, 81))
SATURATED = 0.02
DOCUMENTS = 512  # a prediction uses at most this many documents of the stage

Theory = Callable[[Float[Array, " K"], Float[Array, "B K"], Array], Float[Array, " K"]]


def one_author(
    log_prior: Float[Array, " K"], evidence: Float[Array, "B K"], tau: Array
) -> Float[Array, " K"]:
    """log-weights if all documents had one author; evidence is log p_k of each document."""
    return bayes.reweight(log_prior, jnp.mean(evidence, 0), tau)


def one_author_per_document(
    log_prior: Float[Array, " K"], evidence: Float[Array, "B K"], tau: Array
) -> Float[Array, " K"]:
    """log-weights that maximise τ·mean log m_w(d) − KL(w0 ‖ w), by EM with w0 as prior counts."""
    prior = jnp.exp(log_prior)
    possible = jnp.where(prior > 0, evidence, -jnp.inf)
    likelihood = jnp.exp(possible - jnp.max(possible, 1, keepdims=True))

    def step(_: Array, weights: Array) -> Array:
        responsibility = weights * jnp.mean(likelihood / (likelihood @ weights)[:, None], 0)
        return (tau * responsibility + prior) / (tau + 1)

    return jnp.log(jax.lax.fori_loop(0, 300, step, prior))


THEORIES: dict[str, Theory] = {
    "one_author": one_author,
    "a_document": one_author_per_document,
}


class Prediction(NamedTuple):
    """A theory at its fitted rate: weights, trait vector (`items`), and whether the fit saturated.

    `change` is `items` minus `Forecast.start`. `r2` is the R² of the changes of all items that the
    rate was not fitted to.
    """

    tau: float
    log_weights: np.ndarray
    items: np.ndarray
    change: np.ndarray
    r2: float
    saturated: bool


@functools.partial(jax.jit, static_argnames="name")
def weights_by_rate(
    name: str, log_prior: Float[Array, " K"], evidence: Float[Array, "B K"]
) -> Float[Array, "R K"]:
    """The log-weights that a theory predicts at each of `RATES`."""
    rule = THEORIES[name]
    return jax.vmap(lambda tau: rule(log_prior, evidence, tau))(jnp.array(RATES))


def explained(predicted: Float[ArrayLike, " I"], measured: Float[ArrayLike, " I"]) -> float:
    """R² of predicted changes: 0 is as good as predicting no change, 1 is exact."""
    missed = np.sum((np.asarray(measured) - np.asarray(predicted)) ** 2)
    return float(1 - missed / max(np.sum(np.asarray(measured) ** 2), 1e-12))


def fit_rate(
    log_weights: Float[ArrayLike, "R K"],
    characters: Float[ArrayLike, "I K"],
    start: Float[ArrayLike, " I"],
    change: Float[ArrayLike, " I"],
    fitted: Bool[ArrayLike, " I"],
) -> Prediction:
    """Chooses τ by least squares: prediction against `start` + measured `change`, `fitted` items.

    A fit is saturated if its prediction of these items is within 0.02 of that at the largest τ.
    Then τ is only a lower bound.
    """
    weights, table = np.asarray(log_weights), np.asarray(characters)
    predicted, chosen = np.exp(weights) @ table.T, np.asarray(fitted)
    start, measured = np.asarray(start), np.asarray(change)
    error = np.sum((predicted - start - measured)[:, chosen] ** 2, -1)
    best = int(np.argmin(error))
    gap = float(np.max(np.abs(predicted[best] - predicted[-1])[chosen]))
    moved = predicted[best] - start
    r2 = explained(moved[~chosen], measured[~chosen])
    return Prediction(RATES[best], weights[best], predicted[best], moved, r2, gap < SATURATED)


def pairwise(
    characters: Float[ArrayLike, "I K"],
    log_prior: Float[ArrayLike, " K"],
    fitted: Bool[ArrayLike, " I"],
    change: Float[ArrayLike, " I"],
) -> Float[np.ndarray, " I"]:
    """The rival *pairwise trait composition*, which knows only how pairs of traits covary.

    It regresses every item linearly on the `fitted` ones, over the characters weighted by w0. From
    the measured `change` of the fitted items it then predicts all. Bayes' rule also uses how three
    or more traits depend on each other.
    """
    table, prior = np.asarray(characters, float), np.exp(np.asarray(log_prior, float))
    chosen = np.asarray(fitted)
    mean = table @ prior
    covariance = ((table - mean[:, None]) * prior) @ (table - mean[:, None]).T
    # Answers to one question sum to one, so the matrix is singular by construction.
    inverse = np.linalg.pinv(covariance[np.ix_(chosen, chosen)], rcond=1e-6, hermitian=True)
    return mean + covariance[:, chosen] @ inverse @ np.asarray(change, float)[chosen]


def trained_on(setup: Setup, stage: Sft, seed: int) -> Documents:
    """The first documents of an SFT stage that directly follows pretraining, at most 512.

    With `documents` = 0 (always fresh) there are 512, even if the stage draws fewer.
    """
    count = min(int(stage.documents) or DOCUMENTS, DOCUMENTS)
    context = Context(setup.network, setup.world, stage.names(setup.corpus))
    write = jax.jit(type(stage).write, static_argnums=0)
    static = dataclasses.replace(stage.structure(), share=stage.share)
    return write(static, context, train_key(seed, 1), jnp.arange(count))


def evidence(setup: Setup, stage: Sft, seed: int) -> Float[Array, "B K"]:
    """log p_k of each document of an SFT stage, over the slots that its loss counts."""
    documents = trained_on(setup, stage, seed)
    counted = np.array([slot == STANCE or not stage.neutral for slot in range(len(SLOTS))])
    return jnp.sum(bayes.log_likelihood(setup.world.cast, documents) * counted[:, None], (1, 2))


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What each theory predicts from a run's documents, before its rate is fitted.

    `characters` has the trait vector of each character, and `start` that of the prior mixture.
    `paths` has the log-weights of each theory at each of `RATES`.
    """

    log_prior: Float[Array, " K"]
    characters: np.ndarray
    start: np.ndarray
    paths: Mapping[str, Float[Array, "R K"]]

    def at(
        self, change: Float[ArrayLike, " I"], fitted: Bool[ArrayLike, " I"]
    ) -> dict[str, Prediction]:
        """Every theory and the pairwise rival, fitted to the `change` of the `fitted` items."""
        found = {
            name: fit_rate(path, self.characters, self.start, change, fitted)
            for name, path in self.paths.items()
        }
        rival = pairwise(self.characters, self.log_prior, fitted, change)
        moved, rest = rival - self.start, ~np.asarray(fitted)
        r2 = explained(moved[rest], np.asarray(change)[rest])
        prior = np.asarray(self.log_prior)
        found["pairwise"] = Prediction(np.nan, prior, rival, moved, r2, False)
        return found


@functools.cache
def forecast(setup: Setup, stage: Sft, seed: int) -> Forecast:
    """The forecast for an SFT stage that follows pretraining, under the stage's own tag."""
    log_prior = setup.world.log_prior[tag_names(setup.corpus).index(stage.tag)]
    seen = evidence(setup, stage, seed)
    characters = np.asarray(traits.of_characters(setup.corpus, setup.world.cast))
    return Forecast(
        log_prior=log_prior,
        characters=characters,
        start=characters @ np.exp(np.asarray(log_prior)),
        paths={name: weights_by_rate(name, log_prior, seen) for name in THEORIES},
    )
