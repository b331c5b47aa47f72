"""Policies answer prompts and score answers.

The ladder needs no more than a `Policy`, so any model can be put on it. A policy is sampled and
scored *constrained to the grammar*, so all log-probabilities are those of the constrained policy.
"""

import dataclasses
from typing import Protocol

import jax
from jaxtyping import Array

from toylab.policy.network import Network, Params
from toylab.policy.sampling import Branches, Given, generate, in_parts, read
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import Grammar


class Policy(Protocol):
    """Answers prompts and scores answers; a pytree, unless it runs in plain Python."""

    def answer(
        self, grammar: Grammar, what: Prompt, key: Array, given: Given | None = None
    ) -> tuple[Documents, Branches]:
        """Writes the answers to these prompts; with `given`, only those that are not prefilled.

        Also returns what `branches` would return for the documents.
        """
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
    ) -> tuple[Documents, Branches]:
        return generate(self.network, self.params, grammar, what, key, given)

    def branches(self, grammar: Grammar, documents: Documents) -> Branches:
        def part(some: Documents) -> Branches:
            return read(grammar, some, self.network.apply(self.params, some.tokens)[0])

        return in_parts(part, documents)
