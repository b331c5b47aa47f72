"""Coherence: does one document keep one author?

Weights r_x of the authors in each context x (topic, cue and direction) are fitted to single
answers, without their history.
Then the *keep probability* ρ is fitted to the policy's exact branches. The model is:

    author of the next turn  =  the author of this one with probability ρ, else drawn from r_x

ρ is 1 for a mixture of characters, and 0 if the author is drawn anew for every answer.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.ladder import families, mixtures, reading
from toylab.ladder.families import Switching
from toylab.ladder.fit import NEVER
from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.ladder.mixtures import Estimate
from toylab.policy.sampling import Branches
from toylab.world import bayes, names
from toylab.world.documents import Documents
from toylab.world.grammar import Grammar
from toylab.world.tables import Cast

STEPS = 100
PRIOR = 0.1  # pseudo-count of answers by every character in every context
MIXED = 0.15  # if authors are less mixed, a redrawn author is mostly the same one


def by_context(seen: families.Evidence, contexts: int) -> Float[Array, "X K"]:
    """log-weights of the authors of single answers in each context, by EM."""
    logp = jnp.sum(seen.slots, 2)
    atoms = logp.shape[-1]

    def step(_: Array, log_weights: Array) -> Array:
        mine = jax.nn.softmax(log_weights[seen.context] + logp, -1)
        counts = jnp.full((contexts, atoms), PRIOR).at[seen.context].add(mine)
        return jnp.log(counts / jnp.sum(counts, -1, keepdims=True))

    return jax.lax.fori_loop(0, STEPS, step, families.even(contexts, atoms))


@jax.jit
def keep(
    grammar: Grammar, cast: Cast, documents: Documents, branches: Branches
) -> tuple[Estimate, Float[Array, ""]]:
    """ρ of a policy, from documents that it wrote and its branches there.

    The second result says how mixed its authors are: the probability 1 − Σ_k r_k² that two draws
    from the mean r differ.
    """
    seen, at = families.evidence(cast, documents), bayes.decisions(grammar, documents)
    log_weights = by_context(seen, grammar.phrases.shape[1])
    atoms = log_weights.shape[-1]

    def explains(rho: Float[Array, " B"]) -> Float[Array, " B"]:
        later = jnp.log(jnp.stack([rho, 1 - rho]))
        first = jnp.stack([jnp.full_like(rho, NEVER), jnp.zeros_like(rho)])  # no author before
        log_keep = jnp.stack([first, later])[..., None]
        joint = Switching(families.even(atoms), log_keep, log_weights).joint(seen)
        return mixtures.fit_of(branches.logp, bayes.branch_logp(cast, joint, documents, at), at)

    everybody = jnp.zeros(len(documents.choice), jnp.int32)
    share = jnp.mean(jnp.exp(log_weights[seen.context]), (0, 1))
    return mixtures.solve(explains, everybody, 1, 1e-6, 1 - 1e-6), 1 - jnp.sum(share**2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coherence(Measure):
    """For each cast: ρ (`keep`), its `error`, and how `mixed` the authors are.

    `keep` is None if one character writes nearly everything: a redrawn author is then the same one.
    """

    charts = ("*/keep",)

    tag: str = names.tag()
    size: int = sample(512)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        world = snapshot.setup.world
        if world.grammar.turns < 2:
            return {}
        written = reading.answers(snapshot.policy, world, key, self.size, snapshot.tag(self.tag))
        out = {}
        for name, cast in snapshot.base.casts.items():
            found, mixed = keep(world.grammar, cast, *written)
            value, error = float(found.value[0]), float(found.error[0])
            out[name] = {
                "keep": value if mixed > MIXED else None,
                "error": error if np.isfinite(error) else None,
                "mixed": float(mixed),
            }
        return out
