"""Undoes, in one fine-tune, what lies along the shift of another."""

import dataclasses
from typing import Any, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array

from toylab.ladder.measure import Measure, Snapshot, sample
from toylab.measures import directions
from toylab.stages import Setup, Sft, begin, segments
from toylab.world import names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Carried(Measure):
    """The effect of removing from a fine-tune's shift the part along another fine-tune's shift.

    The `other` stage is trained here, from the same pretrained model, at every reading. By site:
    `cosine` of the two mean shifts, and `undone`, P(bad answer) before any turn without that part
    of the shift. `before` and `after` are as in `Shift`.
    """

    at_end = True
    charts = ("cosine",)

    other: Sft
    good: tuple[str, ...] = names.side("good")
    bad: tuple[str, ...] = names.side("bad")
    tag: str = names.tag()
    size: int = sample(128, quick=32)

    def smaller(self) -> Self:
        other = self.other.lasting(min(int(self.other.steps), 20))
        return dataclasses.replace(super().smaller(), other=other)

    def check(self, setup: Setup) -> None:
        super().check(setup)
        self.other.check(setup.corpus)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        keys, at = jax.random.split(key), names.resolve(self, snapshot.setup.corpus)
        before, after = snapshot.pretrained.params, snapshot.policy.params
        setup, end = snapshot.setup, [int(self.other.steps)]
        start = begin(setup, self.other, before)
        (trained, _), *_ = segments(setup, self.other, start, keys[0], end)
        who = jnp.asarray(at["good"]), jnp.asarray(at["bad"])
        first = directions.FirstAnswers.draw(snapshot, keys[1], self.size, self.tag, *who)
        shift, way = (first.shift(before, params) for params in (after, trained.params))
        return {
            "cosine": directions.cosine(shift, way).tolist(),
            "before": first.bad_rate(before),
            "after": first.bad_rate(after),
            "undone": first.bad_rates(after, -directions.part_along(shift, way)),
        }
