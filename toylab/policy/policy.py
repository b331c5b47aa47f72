"""Policies, which answer prompts and score answers, constrained to the grammar."""

import dataclasses
from typing import Protocol

import jax
from jaxtyping import Array

from toylab.policy.network import Network, Params
from toylab.policy.sampling import Branches, Given, generate, in_parts, read
from toylab.world.documents import Documents, Prompt
from toylab.world.grammar import Grammar


class Policy(Protocol):
    """What the ladder needs of a model. A pytree, unless it runs in plain Python."""

    def answer(
        self, grammar: Grammar, what: Prompt, key: Array, given: Given | None = None
    ) -> tuple[Documents, Branches]:
        """Documents with answers to these prompts, and their `branches`; keeps `given` answers."""

    def branches(self, grammar: Grammar, documents: Documents) -> Branches:
        """The log-probability of every allowed branch at every decision of these documents."""


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
