"""Every plant read as the exact distribution it is: no network, so any error is the ladder's own.

A plant is read several times over from fresh documents. Beside each reading stand those of placebo
casts, of fewer documents, of a denser grid of powers, and that of the population: the same fit on
16 times the documents, from the best of five starts.
"""

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
from toylab.ladder.reading import LadderFit
from toylab.policy.policy import Policy
from toylab.policy.sampling import Branches
from toylab.world import documents as docs
from toylab.world import tables
from toylab.world.documents import Documents
from toylab.world.grammar import tag_names
from toylab.world.schema import Corpus
from toylab.world.tables import World

FRACTIONS = (4, 2)  # of the documents to fit, for the readings of fewer
SHARES = (0.01, 0.03, 0.1, 0.3)  # of documents by `unsaid stance`, to find what can be detected
MIXED = "unsaid in part"
DENSE = (1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0)
DENSER = ("nothing", "power 3", "half forgotten", "sharp on four")  # read with DENSE, too


class Effort(NamedTuple):
    """How much is read: independent samples (`draws`) of every plant, placebo casts for each, and
    for the population `more` times the documents and the best of so many `starts`."""

    draws: int = 3
    placebos: int = 7
    more: int = 16
    starts: int = 5


QUICK = Effort(draws=2, placebos=1, more=2, starts=2)


def effort(records: Records) -> Effort:
    """All of it, or what checks plumbing."""
    return QUICK if records.sweep.quick else Effort()


class Case(NamedTuple):
    """A plant in its world."""

    name: str
    plant: Plant
    world: World
    policy: CastPolicy
    tag: int
    directions: Int[Array, " n"]


class Reader(NamedTuple):
    """How the cases are read: with which settings, from which seed, how often."""

    settings: LadderFit
    seed: int
    effort: Effort

    def key(self, *place: int) -> Array:
        key = jax.random.key(self.seed)
        for number in place:
            key = jax.random.fold_in(key, number)
        return key


def plan(records: Records) -> int:
    """How many lines `read` yields."""
    asked = effort(records)
    each = 2 + asked.placebos + len(FRACTIONS)
    return asked.draws * (len(PLANTS) * each + len(SHARES) + len(DENSER))


def read(records: Records) -> Iterator[dict[str, Any]]:
    """A line for every reading: plant, kind, seed (the draw), documents and families."""
    sweep = records.sweep
    reader = Reader(sweep.reading, sweep.first_seed, effort(records))
    setups = {
        sweep.arms[arm].corpus or sweep.corpus: (setup.corpus, setup.world)
        for arm, setup in records.setups.items()
    }
    usual = records.setup.corpus, records.setup.world
    for name, plant in PLANTS.items():
        corpus, world = setups.get(plant.corpus, usual)
        policy = plant.make(corpus, world, np.random.default_rng(sweep.first_seed))
        yield from _read(reader, _case(name, plant, corpus, world, policy))
    for share in SHARES:
        policy = strange.sometimes_unsaid(*usual, share)
        case = _case(MIXED, PLANTS["unsaid stance"], *usual, policy)
        for draw in range(reader.effort.draws):
            written, held_out, scored = _draw(reader, case, draw)
            line = _line(case, "share", draw, _climb(case, written, held_out, scored))
            yield line | {"share": share, "documents": sweep.reading.fit}


def _case(name: str, plant: Plant, corpus: Corpus, world: World, policy: CastPolicy) -> Case:
    tag = tag_names(corpus).index("assistant")
    return Case(name, plant, world, policy, tag, plant.heard(corpus))


def _read(reader: Reader, case: Case) -> Iterator[dict[str, Any]]:
    draws = [_draw(reader, case, draw) for draw in range(reader.effort.draws)]
    for draw, (written, held_out, scored) in enumerate(draws):
        size = len(written.choice)
        found = _climb(case, written, held_out, scored)
        yield _line(case, "exact", draw, found) | {"documents": size}
        for part in FRACTIONS:
            few = _first(written, size // part), _first(held_out, len(held_out.choice) // part)
            line = _line(case, "size", draw, _climb(case, few[0], few[1], scored))
            yield line | {"documents": size // part}
        small = [_first(each, len(each.choice) // 4) for each in (written, held_out)]
        half = _first(scored, len(scored[0].choice) // 2)
        for number in range(reader.effort.placebos):
            key = reader.key(draw, 1 + number)
            cast = atoms.placebo(case.world.grammar, case.world.cast, key)
            found = _climb(case, small[0], small[1], half, cast=cast)
            line = _line(case, "placebo", draw * reader.effort.placebos + number, found)
            yield line | {"documents": size // 4}
        if case.name in DENSER:
            found = _climb(case, written, held_out, scored, powers=DENSE)
            yield _line(case, "ablation", draw, found) | {"documents": size}
    yield from _population(reader, case, draws)


def _population(
    reader: Reader, case: Case, draws: list[tuple[Documents, Documents, Any]]
) -> Iterator[dict[str, Any]]:
    """The reading that no sample size and no start spoils, of the documents each draw scored.

    So what it differs by is the fit's error; that of scoring is the reading's standard error.
    """
    few, held_out, _ = draws[0]
    count, times = len(draws), reader.effort.more
    more = [_draw(reader, case, count + number)[0] for number in range(times)]
    search = Search(jax.random.split(reader.key(count, 0), reader.effort.starts - 1), few)
    everything = _join([draw[2] for draw in draws])
    found = _climb(case, _join(more), held_out, everything, search=search, most=400)
    size = len(few.choice)
    for draw in range(count):
        row = {
            family: float(score.each.reshape(count, -1)[draw].mean())
            for family, score in found.scores.items()
        }
        yield _label(case, "population", draw) | row | {"documents": times * size}


def _join(parts: list[Any]) -> Any:
    return jax.tree.map(lambda *leaf: jnp.concatenate(leaf), *parts)


def _first(tree: Any, size: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[:size], tree)


def _draw(
    reader: Reader, case: Case, draw: int
) -> tuple[Documents, Documents, tuple[Documents, Branches]]:
    s = reader.settings
    documents, branches = _answers(
        case.policy,
        case.world,
        reader.key(draw, 0),
        s.fit + s.held_out + s.score,
        case.tag,
        case.directions,
    )
    rest = jax.tree.map(lambda leaf: leaf[s.fit :], (documents, branches))
    scored = jax.tree.map(lambda leaf: leaf[s.held_out :], rest)
    return _first(documents, s.fit), _first(rest[0], s.held_out), scored


@functools.partial(jax.jit, static_argnames="size")
def _answers(
    policy: Policy, world: World, key: Array, size: int, tag: int, directions: Int[Array, " n"]
) -> tuple[Documents, Branches]:
    keys = jax.random.split(key, 3)
    direction = jax.random.choice(keys[0], directions, (size,))
    what = docs.prompt(world, keys[1], size, tag=tag, direction=direction)
    documents = policy.answer(world.grammar, what, keys[2])
    return documents, policy.branches(world.grammar, documents)


def _climb(
    case: Case,
    written: Documents,
    held_out: Documents,
    scored: tuple[Documents, Branches],
    cast: tables.Cast | None = None,
    **options: Any,
) -> FittedLadder:
    world = case.world
    cast, log_prior = cast or world.cast, world.log_prior[case.tag]
    return fit_ladder(world, cast, log_prior, written, held_out, scored, **options)


def _label(case: Case, kind: str, seed: int) -> dict[str, Any]:
    return {
        "plant": case.name,
        "corpus": case.plant.corpus,
        "explained_by": case.plant.explained_by or "",
        "kind": kind,
        "seed": seed,
    }


def _line(case: Case, kind: str, seed: int, found: FittedLadder) -> dict[str, Any]:
    families = {name: float(score.mean) for name, score in found.scores.items()}
    error = float(found.scores["F4 flat"].error)
    return _label(case, kind, seed) | families | {"error": error, "outside": 0.0}
