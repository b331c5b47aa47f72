"""Policies: whatever answers questions and says how likely it was to answer otherwise.

The ladder needs no more than a `Policy`, so anyone's model can be put on it. All log-probabilities
are of the policy *constrained to the grammar*: that is how it is sampled, and how it is scored.
"""

import dataclasses
from typing import Protocol

import jax
from jaxtyping import Array

from toylab.policy.network import Network, Params
from toylab.policy.sampling import Branches, Given, generate, read
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import Grammar


class Policy(Protocol):
    """A pytree that answers and scores answers."""

    def answer(
        self, grammar: Grammar, what: Prompt, key: Array, given: Given | None = None
    ) -> Documents:
        """Writes the answers to these prompts, or the rest of them after those `given`."""
        ...

    def branches(self, grammar: Grammar, documents: Documents) -> Branches:
        """Scores every allowed branch at every decision of these documents."""
        ...


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ModelPolicy:
    """A network with its parameters."""

    params: Params
    network: Network = dataclasses.field(metadata={"static": True})

    def answer(
        self, grammar: Grammar, what: Prompt, key: Array, given: Given | None = None
    ) -> Documents:
        return generate(self.network, self.params, grammar, what, key, given)

    def branches(self, grammar: Grammar, documents: Documents) -> Branches:
        logits, _ = self.network.apply(self.params, documents.tokens)
        return read(grammar, documents, logits)
