"""Policies: whatever answers questions and says how likely it was to answer otherwise.

The ladder needs no more than a `Policy`, so anyone's model can be put on it. All log-probabilities
are of the policy *constrained to the grammar*: that is how it is sampled, and how it is scored.
"""

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from toylab import bayes
from toylab import world as worlds
from toylab.grammar import SLOTS, Grammar
from toylab.measures import families
from toylab.measures.families import Evidence, Family
from toylab.model import Transformer
from toylab.sampling import Branches, Given, generate, read
from toylab.stages import Params
from toylab.world import Cast, Documents, Outline

__all__ = ["Branches", "CastPolicy", "Given", "ModelPolicy", "Policy", "generate", "read"]


class Policy(Protocol):
    """A pytree that answers and scores answers."""

    def answer(
        self, grammar: Grammar, what: Outline, key: Array, given: Given | None = None
    ) -> Documents:
        """Writes the answers to these outlines, or the rest of them after those `given`."""
        ...

    def branches(self, grammar: Grammar, documents: Documents) -> Branches:
        """Scores every allowed branch at every decision of these documents."""
        ...


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CastPolicy:
    """Answers put together from the atoms of a cast, as a member of a family says: exact."""

    cast: Cast
    member: Family

    def answer(
        self, grammar: Grammar, what: Outline, key: Array, given: Given | None = None
    ) -> Documents:
        choice = jnp.zeros((*what.context.shape, len(SLOTS)), jnp.int32)
        seen = Evidence(jnp.zeros(()), what.topic, what.context)
        for place, (turn, slot) in enumerate(np.ndindex(choice.shape[1:])):
            said = bayes.phrase_logp(self.cast, what.context, choice)
            joint = self.member.joint(seen._replace(slots=said))[:, turn, slot]
            keys = jax.random.split(jax.random.fold_in(key, place))
            atom = jax.random.categorical(keys[0], joint)
            logp = self.cast.logp[slot, what.context[:, turn], :, atom]
            drawn = jax.random.categorical(keys[1], logp)
            if given:
                drawn = jnp.where(turn < given.turns, given.choice[:, turn, slot], drawn)
            choice = choice.at[:, turn, slot].set(drawn)
        return worlds.render(grammar, what, choice, jnp.full(len(choice), worlds.NOBODY))

    def branches(self, grammar: Grammar, documents: Documents) -> Branches:
        at = bayes.decisions(grammar, documents)
        joint = self.member.joint(families.evidence(self.cast, documents))
        logp = bayes.branch_logp(self.cast, joint, documents, at)
        return Branches(logp, jnp.zeros(logp.shape[:-1]))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ModelPolicy:
    """A transformer with its parameters."""

    params: Params
    network: Transformer = dataclasses.field(metadata={"static": True})

    def answer(
        self, grammar: Grammar, what: Outline, key: Array, given: Given | None = None
    ) -> Documents:
        return generate(self.network, self.params, grammar, what, key, given)

    def branches(self, grammar: Grammar, documents: Documents) -> Branches:
        logits, _ = self.network.apply({"params": self.params}, documents.tokens)
        return read(grammar, documents, logits)
