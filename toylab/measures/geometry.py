"""Where the persona is in the residual stream: probes, directions, steering.

Activations are read at the word before each slot of an answer, where the belief about the author
is known exactly. Sites are the embedding and the residual stream after each layer.
"""

import dataclasses
import functools
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from toylab.ladder import atoms
from toylab.ladder.measure import Measure, Snapshot
from toylab.measures.calibration import written_by
from toylab.policy import sampling
from toylab.policy.network import Network, Site
from toylab.stages import Params, Setup, Sft, begin, segments
from toylab.stages.targets import refuse_unknown
from toylab.world import bayes
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import STANCE, Grammar, tag_names
from toylab.world.tables import World

RIDGE = 1e-3  # of the mean squared activation
BAD = 0.2  # an answer is bad if the bad give it this much more often than the good


@functools.partial(jax.jit, static_argnums=0)
def activations(
    network: Network, params: Params, documents: Documents
) -> Float[Array, "site B T S W"]:
    """What stands at every site at the word before each slot."""
    seen: dict[Site, Array] = {}

    def tap(site: Site, value: Array) -> Array:
        seen[site] = value
        return value

    network.apply(params, documents.tokens, tap=tap)
    rows = jnp.arange(len(documents.tokens))[:, None, None]
    return jnp.stack([seen[site][rows, documents.start - 1] for site in network.sites])


def first_turn(grammar: Grammar, documents: Documents) -> Documents:
    """Documents as far as the longest first answer: all that a causal model goes by there."""
    asked, said = np.asarray(grammar.question_length)[0], np.asarray(grammar.phrase_length)
    told = np.asarray(grammar.direction_length)
    length = 1 + int(told.max(initial=0) + asked.max() + said.max((1, 2)).sum())
    what = documents.prompt
    turns = {name: getattr(what, name)[:, :1] for name in ("topic", "question", "cue", "context")}
    return documents._replace(
        prompt=what._replace(**turns),
        choice=documents.choice[:, :1],
        start=documents.start[:, :1],
        tokens=documents.tokens[:, :length],
        role=documents.role[:, :length],
    )


# ----------------------------------------------------------------------------------------- probes


@jax.jit
def probe(
    x: Float[Array, "B W"], y: Float[Array, "B K"]
) -> tuple[Float[Array, ""], Float[Array, "B K"]]:
    """Ridge regression on the first half; R² on the second half, and what it says of everybody."""
    half = len(x) // 2
    x = x - jnp.mean(x[:half], 0)
    mean = jnp.mean(y[:half], 0)
    gram = x[:half].T @ x[:half]
    load = RIDGE * jnp.trace(gram) / len(gram) + 1e-6
    weights = jnp.linalg.solve(gram + load * jnp.eye(len(gram)), x[:half].T @ (y[:half] - mean))
    said = mean + x @ weights
    missed = jnp.sum((y[half:] - said[half:]) ** 2)
    return 1 - missed / jnp.sum((y[half:] - jnp.mean(y[half:], 0)) ** 2), said


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe(Measure):
    """R² of linear probes to the exact belief about the author, by site and place.

    Places are the words before slot s of turn t, but the first of all, where nothing is known yet:
    T·S − 1 of them. `r2` has [site][place] for the snapshot, for the same with beliefs `shuffled`
    over documents, and for an `untrained` network. `exact` and `probed` [N][3] are the belief in
    the `good`, the `bad` and all others of documents not fitted on, before the last stance, at the
    last site.
    """

    good: tuple[str, ...]
    bad: tuple[str, ...]
    tag: str = "someone"
    size: int = 2048
    shown: int = 150

    @property
    def cost(self) -> int:
        return 100

    def smaller(self) -> Self:
        return dataclasses.replace(self, size=256, shown=50)

    def check(self, setup: Setup) -> None:
        refuse_unknown("probe.tag", [self.tag], tag_names(setup.corpus))
        refuse_unknown("probe.good", [*self.good, *self.bad], setup.corpus.names)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        world, names, network = (
            snapshot.setup.world,
            snapshot.setup.corpus.names,
            snapshot.policy.network,
        )
        keys = jax.random.split(key, 4)
        tag = snapshot.tag(self.tag)
        what = docs.prompt(world, keys[0], self.size, tag=tag, direction=0)
        author = docs.author(world, keys[1], what.tag)
        said = docs.speak(world.cast, keys[2], what.context, author)
        documents = docs.render(world.grammar, what, said, author)
        joint = world.log_prior[tag] + bayes.before(world.cast, documents)
        belief = jax.nn.softmax(joint, -1).reshape(self.size, -1, len(names))[:, 1:]
        dealt = jax.random.permutation(jax.random.fold_in(keys[3], 0), belief)
        blank = snapshot.setup.init(0)

        def every(params: Params, beliefs: Array) -> tuple[list[list[float]], Array]:
            at = activations(network, params, documents)
            at = at.reshape(len(at), self.size, -1, at.shape[-1])[:, :, 1:]
            over = jax.vmap(jax.vmap(probe, (1, 1)), (0, None))
            r2, said = over(at, beliefs)
            return r2.tolist(), said[-1]

        r2, probed = every(snapshot.policy.params, belief)
        place = -2  # before the last stance: opener, stance, closer
        group = np.array([[name in self.good, name in self.bad] for name in names]).T
        groups = jnp.array([*group, ~group.any(0)], jnp.float32).T
        rest = slice(self.size - self.shown, None)
        return {
            "r2": {
                "trained": r2,
                "shuffled": every(snapshot.policy.params, dealt)[0],
                "untrained": every(blank, belief)[0],
            },
            "exact": (belief[rest, place] @ groups).tolist(),
            "probed": (probed[place, rest] @ groups).tolist(),
        }

    def scalars(self, setup: Setup, found: Any) -> dict[str, float]:
        return {"probe/r2": float(np.mean(found["r2"]["trained"][-1]))}


# ------------------------------------------------------------------------------------- directions


class Directions(NamedTuple):
    """From the good to the bad at each site: by what they have said, and by their names.

    `people` [site, K, W] are the mean activations after turns of each, less the mean of all;
    `nobody` are those of groups of the same size put together from everybody's documents.
    """

    said: Float[Array, "site W"]
    named: Float[Array, "site W"]
    people: Float[Array, "site K W"]
    nobody: Float[Array, "site K W"]


@functools.partial(jax.jit, static_argnames=("network", "size"))
def _directions(
    network: Network,
    params: Params,
    world: World,
    key: Array,
    tags: Int[Array, " K"],
    someone: int | Array,
    good: Int[Array, " g"],
    bad: Int[Array, " b"],
    size: int,
) -> Directions:
    keys, count = jax.random.split(key, 3), len(tags)
    everybody, as_is = jnp.arange(count), jnp.arange(count * size)

    def means(documents: Documents, turn: int, order: Array) -> Float[Array, "site K W"]:
        at = activations(network, params, documents)[:, :, turn, STANCE][:, order]
        by_author = jnp.mean(at.reshape(len(at), count, size, -1), 2)
        return by_author - jnp.mean(by_author, 1, keepdims=True)

    def apart(people: Array) -> Float[Array, "site W"]:
        return jnp.mean(people[:, bad], 1) - jnp.mean(people[:, good], 1)

    after = written_by(world, keys[0], size, everybody, jnp.full(count, someone))
    called = written_by(world, keys[1], size, everybody, tags)
    dealt = jax.random.permutation(keys[2], count * size)
    people = means(after, -1, as_is)
    return Directions(
        apart(people), apart(means(called, 0, as_is)), people, means(after, -1, dealt)
    )


def directions(
    snapshot: Snapshot, params: Params, key: Array, size: int, good: Array, bad: Array
) -> Directions:
    """Mean differences of activations before stances (Marks & Tegmark 2023).

    From `size` documents by each of K characters, under `someone` and under the name of each;
    `good` and `bad` are indices of characters.
    """
    own = jnp.array([snapshot.tag(name) for name in snapshot.setup.corpus.names])
    network, world = snapshot.policy.network, snapshot.setup.world
    return _directions(network, params, world, key, own, snapshot.tag("someone"), good, bad, size)


def cosine(a: Float[Array, "*b W"], b: Float[Array, "*b W"]) -> Float[Array, "*b"]:
    lengths = jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1)
    return jnp.sum(a * b, -1) / jnp.maximum(lengths, 1e-12)


def share_within(vector: Float[Array, " W"], span: Float[Array, "K W"]) -> Float[Array, ""]:
    """Share of a vector's squared length in the span of K centred vectors (K − 1 dimensions)."""
    _, _, basis = jnp.linalg.svd(span, full_matrices=False)
    inside = basis[: len(span) - 1] @ vector
    return jnp.sum(inside**2) / jnp.maximum(jnp.sum(vector**2), 1e-12)


def bad_answers(world: World, good: Array, bad: Array) -> Bool[Array, "X P"]:
    """Which answers the bad give more often than the good, in each context."""
    table = jnp.exp(world.cast.logp[STANCE])
    return jnp.mean(table[..., bad], -1) - jnp.mean(table[..., good], -1) > BAD


@functools.partial(jax.jit, static_argnums=(0, 1))
def bad_rate(
    network: Network,
    site: Site,
    params: Params,
    world: World,
    documents: Documents,
    answers: Bool[Array, "X P"],
    push: Float[Array, " W"],
) -> Float[Array, "B T"]:
    """P(bad answer) at every stance of the documents, `push` being added at a site throughout.

    Where a topic has no bad answer it is NaN.
    """

    def tap(where: Site, value: Array) -> Array:
        return value + push if where == site else value

    logits, _ = network.apply(params, documents.tokens, tap=tap)
    logp = sampling.read(world.grammar, documents, logits).logp
    said = atoms.phrase_probability(world.grammar, documents, logp)[:, :, STANCE]
    chosen = answers[documents.prompt.context]
    rate = jnp.sum(jnp.where(chosen, said[..., : chosen.shape[-1]], 0.0), -1)
    return jnp.where(jnp.any(chosen, -1), rate, jnp.nan)


def mean_shift(
    network: Network, before: Params, after: Params, documents: Documents
) -> Float[Array, "site W"]:
    """What training added, on average, at the word before the first stance."""
    now, then = (
        activations(network, params, documents)[:, :, 0, STANCE] for params in (after, before)
    )
    return jnp.mean(now - then, 1)


def part_along(vector: Float[Array, "site W"], way: Float[Array, "site W"]) -> Array:
    """The part of a vector that lies along a way, at each site."""
    unit = way / jnp.maximum(jnp.linalg.norm(way, axis=-1, keepdims=True), 1e-12)
    return jnp.sum(vector * unit, -1, keepdims=True) * unit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shift(Measure):
    """How fine-tuning moved the residual stream, beside the directions of prompting.

    By site: `cosine` of the mean shift with the direction that turns of the bad against the good
    make (`said`), that their names make (`named`), and between those two (`prompts`); `inside`, the
    share of the shift in the span of the characters, and `nobody` of groups dealt at random;
    `along`, the shift along `said` in units of its length; `length`. Of bad answers before any
    turn: `before`, `after`, and after taking back the shift along `said` (`undone`), all of it
    (`all_undone`), or as much along a random direction (`random_undone`).
    """

    good: tuple[str, ...]
    bad: tuple[str, ...]
    tag: str = "assistant"
    size: int = 128

    @property
    def at_end(self) -> bool:
        return True

    @property
    def cost(self) -> int:
        return 160

    def smaller(self) -> Self:
        return dataclasses.replace(self, size=32)

    def check(self, setup: Setup) -> None:
        refuse_unknown("shift.tag", [self.tag], tag_names(setup.corpus))
        refuse_unknown("shift.good", [*self.good, *self.bad], setup.corpus.names)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        world, network, names = (
            snapshot.setup.world,
            snapshot.policy.network,
            snapshot.setup.corpus.names,
        )
        keys = jax.random.split(key, 3)
        good, bad = (jnp.array([names.index(n) for n in who]) for who in (self.good, self.bad))
        found = directions(snapshot, snapshot.pretrained.params, keys[0], self.size, good, bad)
        everybody = jnp.arange(len(names))
        tags = jnp.full(len(names), snapshot.tag(self.tag))
        written = written_by(world, keys[1], self.size, everybody, tags)
        documents = first_turn(world.grammar, written)
        shift = mean_shift(network, snapshot.pretrained.params, snapshot.policy.params, documents)
        answers = bad_answers(world, good, bad)

        def rate(params: Params, site: Site, push: Array) -> float:
            at = bad_rate(network, site, params, world, documents, answers, push)
            return float(jnp.nanmean(at[:, 0]))

        out: dict[str, Any] = {
            "cosine": {
                "said": cosine(shift, found.said).tolist(),
                "named": cosine(shift, found.named).tolist(),
                "prompts": cosine(found.said, found.named).tolist(),
            },
            "inside": [
                float(share_within(*each)) for each in zip(shift, found.people, strict=True)
            ],
            "nobody": [
                float(share_within(*each)) for each in zip(shift, found.nobody, strict=True)
            ],
            "along": (jnp.sum(shift * found.said, -1) / jnp.sum(found.said**2, -1)).tolist(),
            "length": jnp.linalg.norm(shift, axis=-1).tolist(),
        }
        stream = network.sites
        none = jnp.zeros(shift.shape[-1])
        back = -part_along(shift, found.said)
        anywhere = jax.random.normal(keys[2], shift.shape)
        lost = anywhere / jnp.linalg.norm(anywhere, axis=-1, keepdims=True)
        lost = lost * jnp.linalg.norm(back, axis=-1, keepdims=True)
        after = snapshot.policy.params
        return out | {
            "before": rate(snapshot.pretrained.params, stream[0], none),
            "after": rate(after, stream[0], none),
            "undone": [rate(after, *each) for each in zip(stream, back, strict=True)],
            "all_undone": [rate(after, *each) for each in zip(stream, -shift, strict=True)],
            "random_undone": [rate(after, *each) for each in zip(stream, lost, strict=True)],
        }

    def scalars(self, setup: Setup, found: Any) -> dict[str, float]:
        return {"shift/along": found["along"][-1], "shift/inside": found["inside"][-1]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Carried(Measure):
    """Taking back of a fine-tune what lies along the shift of another fine-tune.

    The `other` stage is trained here, from the same pretrained model. By site: `cosine` of the two
    mean shifts, and `undone`, P(bad answer) before any turn without that part of the shift;
    `before` and `after` as in `Shift`.
    """

    other: Sft
    good: tuple[str, ...]
    bad: tuple[str, ...]
    tag: str = "assistant"
    size: int = 128

    @property
    def at_end(self) -> bool:
        return True

    @property
    def cost(self) -> int:
        return 80 + int(self.other.steps)

    def smaller(self) -> Self:
        return dataclasses.replace(
            self, size=32, other=self.other.lasting(min(int(self.other.steps), 20))
        )

    def check(self, setup: Setup) -> None:
        refuse_unknown("carried.tag", [self.tag], tag_names(setup.corpus))
        refuse_unknown("carried.good", [*self.good, *self.bad], setup.corpus.names)
        self.other.check(setup.corpus)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        world, network, names = (
            snapshot.setup.world,
            snapshot.policy.network,
            snapshot.setup.corpus.names,
        )
        keys, before, after = (
            jax.random.split(key),
            snapshot.pretrained.params,
            snapshot.policy.params,
        )
        good, bad = (jnp.array([names.index(n) for n in who]) for who in (self.good, self.bad))
        start, end = begin(self.other, before), [int(self.other.steps)]
        (trained, _), *_ = segments(snapshot.setup, self.other, start, keys[0], end)
        tags = jnp.full(len(names), snapshot.tag(self.tag))
        written = written_by(world, keys[1], self.size, jnp.arange(len(names)), tags)
        documents = first_turn(world.grammar, written)
        shift, way = (
            mean_shift(network, before, params, documents) for params in (after, trained.params)
        )
        answers, stream = bad_answers(world, good, bad), network.sites

        def rate(params: Params, site: Site, push: Array) -> float:
            at = bad_rate(network, site, params, world, documents, answers, push)
            return float(jnp.nanmean(at[:, 0]))

        none = jnp.zeros(shift.shape[-1])
        back = -part_along(shift, way)
        return {
            "cosine": cosine(shift, way).tolist(),
            "before": rate(before, stream[0], none),
            "after": rate(after, stream[0], none),
            "undone": [rate(after, *each) for each in zip(stream, back, strict=True)],
        }

    def scalars(self, setup: Setup, found: Any) -> dict[str, float]:
        return {"carried/cosine": found["cosine"][-1]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Steering(Measure):
    """Steering against context: log-odds of a bad answer, pushed by multiples of a direction.

    The direction is the one that turns of the bad against the good make, at each site. `log_odds`
    is [site][push][turn][group] after 0, 1, … turns by the good or the bad (the groups); `belief`
    [turn][group] is the exact log-odds of the bad against the good there.
    """

    good: tuple[str, ...]
    bad: tuple[str, ...]
    tag: str = "someone"
    pushes: tuple[float, ...] = (-1.0, -0.5, 0.0, 0.5, 1.0)
    size: int = 64

    @property
    def cost(self) -> int:
        return 60

    def smaller(self) -> Self:
        return dataclasses.replace(self, size=16)

    def check(self, setup: Setup) -> None:
        refuse_unknown("steering.tag", [self.tag], tag_names(setup.corpus))
        refuse_unknown("steering.good", [*self.good, *self.bad], setup.corpus.names)

    def __call__(self, snapshot: Snapshot, key: Array) -> dict[str, Any]:
        world, network, names = (
            snapshot.setup.world,
            snapshot.policy.network,
            snapshot.setup.corpus.names,
        )
        keys, params = jax.random.split(key), snapshot.policy.params
        good, bad = (jnp.array([names.index(n) for n in who]) for who in (self.good, self.bad))
        said = directions(snapshot, params, keys[0], self.size, good, bad).said
        answers = bad_answers(world, good, bad)
        tag = snapshot.tag(self.tag)
        histories = [
            written_by(world, keys[1], self.size, who, jnp.full(len(who), tag))
            for who in (good, bad)
        ]

        def log_odds(site: Site, push: Array) -> list[list[float]]:
            by_group = [
                jnp.nanmean(bad_rate(network, site, params, world, each, answers, push), 0)
                for each in histories
            ]
            p = jnp.stack(by_group, -1)
            return (jnp.log(p) - jnp.log1p(-p)).tolist()

        def believed(documents: Documents) -> Float[Array, " T"]:
            joint = world.log_prior[tag] + bayes.before(world.cast, documents)[:, :, STANCE]
            odds = jax.nn.logsumexp(joint[..., bad], -1) - jax.nn.logsumexp(joint[..., good], -1)
            return jnp.mean(odds, 0)

        return {
            "log_odds": [
                [log_odds(site, push * along) for push in self.pushes]
                for site, along in zip(network.sites, said, strict=True)
            ],
            "belief": jnp.stack([believed(each) for each in histories], -1).tolist(),
        }

    def scalars(self, setup: Setup, found: Any) -> dict[str, float]:
        return {}
