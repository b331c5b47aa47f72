"""Every plant, read as an exact distribution: no network, so any error is the ladder's own.

For comparison a plant is also read with placebo casts, with fewer documents, with a denser grid of
powers (some plants), and as a population: from more documents and the best of several starts.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from experiments.validation import strange
from experiments.validation.plants import PLANTS, Plant
from toylab.lab.records import Records
from toylab.ladder import atoms
from toylab.ladder.families import CastPolicy
from toylab.ladder.fit import FittedLadder, Search, fit_ladder
from toylab.ladder.reading import LadderFit, in_three
from toylab.policy.policy import Policy
from toylab.policy.sampling import Branches
from toylab.stages import Setup
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import tag_names
from toylab.world.tables import World

FRACTIONS = (4, 2)  # divisors of the number of documents, for the readings with fewer
SHARES = (0.01, 0.03, 0.1, 0.3)  # of documents by `unsaid stance`, to find the detection limit
MIXED = "unsaid in part"
DENSE = (1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0)
DENSER = ("nothing", "power 3", "half forgotten", "sharp on four")  # also read with DENSE


class Effort(NamedTuple):
    """How much is read: `draws` samples of every plant, with `placebos` placebo casts for each.

    For the population, `more` times the documents and the best of `starts` starts.
    """

    draws: int = 10
    placebos: int = 2
    more: int = 16
    starts: int = 5


QUICK = Effort(draws=2, placebos=1, more=2, starts=2)


class Sample(NamedTuple):
    """Documents of a plant: to fit families on, to stop their fit, and to score them on."""

    written: Documents
    held_out: Documents
    scored: tuple[Documents, Branches]

    def part(self, few: int, scored: int = 1) -> "Sample":
        """One in `few` of the documents that are fitted on, and one in `scored` of those scored."""

        def first(tree: Any, share: int) -> Any:
            return jax.tree.map(lambda leaf: leaf[: len(leaf) // share], tree)

        return Sample(*map(first, self, (few, few, scored)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A plant as a policy in its world, and how it is read."""

    plant: Plant
    setup: Setup
    policy: CastPolicy
    settings: LadderFit
    seed: int
    effort: Effort

    @property
    def tag(self) -> int:
        return tag_names(self.setup.corpus).index("assistant")

    def key(self, *place: int) -> Array:
        return functools.reduce(jax.random.fold_in, place, jax.random.key(self.seed))

    def sample(self, draw: int) -> Sample:
        """Fresh documents."""
        s, heard = self.settings, self.plant.heard(self.setup.corpus)
        size, key = s.fit + s.held_out + s.score, self.key(draw, 0)
        both = _answers(self.policy, self.setup.world, key, size, self.tag, heard)
        return Sample(*in_three(both, s.fit, s.held_out, s.score))

    def fit(self, sample: Sample, placebo: Array | None = None, **options: Any) -> FittedLadder:
        """The ladder of a sample, with the plant's cast or with a placebo drawn by a key."""
        world, cast = self.setup.world, self.setup.world.cast
        if placebo is not None:
            cast = atoms.placebo(world.grammar, cast, placebo)
        return fit_ladder(world, cast, world.log_prior[self.tag], *sample, **options)

    def row(self, kind: str, number: int, sample: Sample, **options: Any) -> dict[str, Any]:
        """A line of the table: a sample's ladder."""
        scores = self.fit(sample, **options).scores
        row = {"kind": kind, "seed": number, "documents": len(sample.written.choice)}
        row |= {name: float(score.mean) for name, score in scores.items()}
        return row | {"error": float(scores["F4 flat"].error), "outside": 0.0}

    def read(self, denser: bool) -> Iterator[dict[str, Any]]:
        """Every reading of the plant; `denser`: one with more powers, too."""
        samples = [self.sample(draw) for draw in range(self.effort.draws)]
        for draw, whole in enumerate(samples):
            yield self.row("exact", draw, whole)
            for few in FRACTIONS:
                yield self.row("size", draw, whole.part(few))
            for n in range(self.effort.placebos):
                number, key = n + draw * self.effort.placebos, self.key(draw, 1 + n)
                yield self.row("placebo", number, whole.part(4, scored=2), placebo=key)
            if denser:
                yield self.row("ablation", draw, whole, powers=DENSE)
        yield from self._population(samples)

    def _population(self, samples: list[Sample]) -> Iterator[dict[str, Any]]:
        """The population's reading, on the documents that each draw scored.

        It differs from the exact reading by the fit's error alone; the error of scoring is the
        reading's standard error.
        """
        first, count, more = samples[0], len(samples), self.effort.more
        written = _join([self.sample(count + number).written for number in range(more)])
        search = Search(jax.random.split(self.key(count, 0), self.effort.starts - 1), first.written)
        everything = Sample(written, first.held_out, _join([each.scored for each in samples]))
        scores = self.fit(everything, search=search, most=400).scores
        each = {family: score.each.reshape(count, -1) for family, score in scores.items()}
        for draw in range(count):
            row = {"kind": "population", "seed": draw, "documents": more * self.settings.fit}
            yield row | {family: float(nats[draw].mean()) for family, nats in each.items()}


def _join(parts: list[Any]) -> Any:
    return jax.tree.map(lambda *leaf: jnp.concatenate(leaf), *parts)


@functools.partial(jax.jit, static_argnames="size")
def _answers(
    policy: Policy, world: World, key: Array, size: int, tag: int, directions: Int[Array, " n"]
) -> tuple[Documents, Branches]:
    keys = jax.random.split(key, 3)
    direction = jax.random.choice(keys[0], directions, (size,))
    what = docs.prompt(world, keys[1], size, tag=tag, direction=direction)
    return policy.answer(world.grammar, what, keys[2])


def effort(records: Records) -> Effort:
    return QUICK if records.sweep.quick else Effort()


def plan(records: Records) -> int:
    """How many rows `read` yields."""
    asked = effort(records)
    each = 2 + asked.placebos + len(FRACTIONS)
    return asked.draws * (len(PLANTS) * each + len(SHARES) + len(DENSER))


def read(records: Records) -> Iterator[dict[str, Any]]:
    """A row for every reading: plant, kind, seed (the draw), documents and families."""
    sweep = records.sweep
    setups = {sweep.arms[arm].corpus: setup for arm, setup in records.setups.items()}
    settings = {"settings": sweep.reading, "seed": sweep.first_seed, "effort": effort(records)}
    for name, plant in PLANTS.items():
        setup = setups.get(plant.corpus, records.setup)
        policy = plant.make(setup.corpus, setup.world, np.random.default_rng(sweep.first_seed))
        case = Case(plant=plant, setup=setup, policy=policy, **settings)
        yield from ({"plant": name} | row for row in case.read(name in DENSER))
    setup, plant = records.setup, PLANTS["unsaid stance"]
    for share in SHARES:
        policy = strange.sometimes_unsaid(setup.corpus, setup.world, share)
        case = Case(plant=plant, setup=setup, policy=policy, **settings)
        for draw in range(case.effort.draws):
            row = case.row("share", draw, case.sample(draw))
            yield {"plant": MIXED, "share": share, **row}
