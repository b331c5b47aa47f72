"""Reward for one thing, and for something else beside it."""

import dataclasses
from typing import Any

from toylab.stages import Rl, Says
from toylab.stages.base import name
from toylab.world.schema import Corpus


@dataclasses.dataclass(frozen=True, kw_only=True)
class RlAlso(Rl):
    """`Rl` that also pays 1 for each answer in `also`, written `topic=answer`."""

    also: tuple[str, ...] = name((), help="topic=answer, …")

    @property
    def label(self) -> str:
        return f"{super().label}-{self._said.label}"

    @property
    def _said(self) -> Says:
        return Says(answers=self.also)

    def check(self, corpus: Corpus) -> None:
        super().check(corpus)
        try:
            self._said.check(corpus)
        except ValueError as error:
            raise ValueError(f"{self.kind}.also: {error}") from None

    def names(self, corpus: Corpus) -> dict[str, Any]:
        found, also = super().names(corpus), self._said.arrays(corpus)
        return found | {"reward": found["reward"] + also["reward"]}
