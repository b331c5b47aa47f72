"""Casts for the ladder: exact, tempered, blurred (by a temperature and a slip rate), or learned."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.policy.outside import Outside
from toylab.policy.policy import Policy
from toylab.policy.sampling import Branches, in_parts
from toylab.world import bayes, tables
from toylab.world import documents as docs
from toylab.world.documents import Documents
from toylab.world.grammar import SLOTS, Grammar
from toylab.world.schema import Corpus
from toylab.world.tables import Cast, World

POWERS = (1.0, 2.0, 4.0, 8.0)


def normalise(logp: Float[Array, "S X P K"]) -> Float[Array, "S X P K"]:
    """Makes every bank's distribution sum to one; phrases that a bank lacks stay at -inf."""
    return jnp.where(jnp.isfinite(logp), jax.nn.log_softmax(logp, 2), -jnp.inf)


def temper(grammar: Grammar, cast: Cast, powers: tuple[float, ...] = POWERS) -> Cast:
    """Raises every slot's distribution to each power and renormalises; powers above 1 sharpen.

    K atoms become K x len(powers): all characters at the first power, then at the second, …
    """
    real = jnp.isfinite(cast.logp)  # -inf to the power 0 would be NaN
    finite = jnp.where(real, cast.logp, 0.0)
    raised = [normalise(jnp.where(real, finite * power, -jnp.inf)) for power in powers]
    logp = jnp.concatenate(raised, -1)
    return tables.make_cast(grammar, logp)


def blur(grammar: Grammar, cast: Cast, temperature: float | Array, slip: float | Array) -> Cast:
    """The cast as an imperfect model knows it: one temperature and slip rate for all characters."""
    real = jnp.isfinite(cast.logp)
    finite = jnp.where(real, cast.logp, 0.0)  # -inf would make the gradient NaN
    p = jax.nn.softmax(jnp.where(real, finite / temperature, -jnp.inf), 2)
    mixed = (1 - slip) * p + slip / jnp.sum(real, 2, keepdims=True)
    logp = jnp.where(real, jnp.log(jnp.where(real, mixed, 1.0)), -jnp.inf)
    return tables.make_cast(grammar, logp)


@jax.jit
def placebo(grammar: Grammar, cast: Cast, key: Array) -> Cast:
    """A cast of made-up characters: the real ones' tables of each (topic, slot), dealt at random.

    All contexts of a topic share one permutation. What the families up to F3 explain with this
    cast, they explain by flexibility alone.
    """
    topics, cues, directions = grammar.topic_contexts.shape
    real = jnp.arange(cues)[:, None] < grammar.cue_count[:, None, None]
    place = jnp.where(real, grammar.topic_contexts, cast.logp.shape[1])
    owner = jnp.broadcast_to(jnp.arange(topics)[:, None, None], (topics, cues, directions))
    topic = jnp.zeros(cast.logp.shape[1], jnp.int32).at[place].set(owner, mode="drop")
    slots, characters = len(SLOTS), cast.logp.shape[-1]
    deal = jnp.argsort(jax.random.uniform(key, (slots, topics, characters)), -1)[:, topic]
    logp = jnp.take_along_axis(cast.logp, deal[:, :, None], -1)
    return tables.make_cast(grammar, logp)


@jax.jit
@jax.value_and_grad
def _start_loss(
    raw: Float[Array, "2"],
    grammar: Grammar,
    cast: Cast,
    log_weights: Float[Array, " K"],
    documents: Documents,
    branches: Branches,
) -> Array:
    @jax.checkpoint
    def part(documents: Documents, logp: Float[Array, "B T S J C"]) -> Float[Array, " B"]:
        at = bayes.decisions(grammar, documents)
        student = blur(grammar, cast, jnp.exp(raw[0]), raw[1])
        q = bayes.predictive(student, log_weights, documents, at)
        return jnp.sum(bayes.kl(logp, q, at.allowed), (1, 2, 3))

    return jnp.mean(in_parts(part, documents, branches.logp))


def fit_nuisances(
    grammar: Grammar,
    cast: Cast,
    log_weights: Float[Array, " K"],
    documents: Documents,
    branches: Branches,
) -> tuple[float, float]:
    """The temperature and slip rate that minimise KL(P ‖ m_w0) for a pretrained policy P.

    Keep them for all later fits: what pretraining got wrong is no effect of post-training.
    """
    from scipy import optimize  # takes a third of a second, and few processes need it

    def objective(raw: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _start_loss(
            jnp.asarray(raw, jnp.float32), grammar, cast, log_weights, documents, branches
        )
        return float(value), np.asarray(slope, np.float64)

    # The slip rate itself is fitted, not its logit: the loss is flat in the logit, and the search
    # never left its start.
    bounds = [(np.log(0.5), np.log(2.0)), (6e-6, 0.27)]
    how = {"jac": True, "method": "L-BFGS-B", "bounds": bounds, "options": {"maxiter": 30}}
    best = optimize.minimize(objective, np.array([0.0, 0.0025]), **how)
    return float(np.exp(best.x[0])), float(best.x[1])


def phrase_probability(
    grammar: Grammar, documents: Documents, logp: Float[Array, "B T S J C"]
) -> Float[Array, "B T S P"]:
    """An estimate of each phrase's probability in every slot, from a policy's branches.

    It is the probability of the word that settles the phrase: after it, no other is possible. It is
    0 if the slot does not begin like the phrase, up to that word. Its mean over the policy's own
    documents is unbiased.
    """
    g, at = grammar, bayes.decisions(grammar, documents)
    slot = jnp.arange(len(SLOTS))[:, None]
    x = documents.prompt.context[..., None, None]
    ways = jnp.sum(g.passes, -1)
    child = (slot[..., None], x[..., None], at.child)
    settles = at.allowed & (ways[child] == 1) & (ways[slot, x, at.node] > 1)[..., None]
    p = jnp.where(settles, jnp.exp(logp), 0.0)
    batch, turn, place = jnp.indices(p.shape[:3])[..., None, None]
    only = jnp.argmax(g.passes, -1)[child]
    return jnp.zeros((*p.shape[:3], g.phrases.shape[2])).at[batch, turn, place, only].add(p)


@jax.jit
def phrase_marginals(
    grammar: Grammar, documents: Documents, branches: Branches
) -> tuple[Float[Array, "S X P"], Float[Array, "S X"]]:
    """Mean probability of each phrase in each context, and how many turns had that context."""
    place = (jnp.arange(len(SLOTS)), documents.prompt.context[..., None])
    p = phrase_probability(grammar, documents, branches.logp)
    total = jnp.zeros(grammar.phrase_length.shape).at[place].add(p)
    asked = jnp.zeros(grammar.phrase_length.shape[:2]).at[place].add(1.0)
    return total / jnp.maximum(asked, 1)[..., None], asked


def phrase_tables(
    grammar: Grammar, documents: Documents, branches: Branches
) -> tuple[Float[Array, "S X P"], Float[Array, "S X N"]]:
    """log-probability of each phrase, and the number of visits to each node of its trie.

    A phrase's probability is the product of those of the branches on its path, each averaged over
    all visits to its node. So, unlike in `phrase_marginals`, the documents may be by anyone. Where
    a node is never visited, all its branches count as equally likely.
    """
    g, at = grammar, bayes.decisions(grammar, documents)
    slot = jnp.arange(len(SLOTS))[:, None]
    place = (slot, documents.prompt.context[..., None, None], at.node)
    said = jnp.any(at.allowed, -1)
    visits = jnp.zeros(g.leaf.shape).at[place].add(said)
    p = jnp.where(at.allowed, jnp.exp(branches.logp), 0.0)
    total = jnp.zeros(g.child_token.shape).at[place].add(p)
    real = jnp.arange(total.shape[-1]) < g.child_count[..., None]
    even = real / jnp.maximum(g.child_count, 1)[..., None]
    mean = jnp.where(visits[..., None] > 0, total / jnp.maximum(visits, 1)[..., None], even)
    # Down the trie: the probability of the child that each phrase takes at each of its nodes.
    here, there = g.walk[..., : g.depth], g.walk[..., 1 : g.depth + 1]
    index = (jnp.arange(len(SLOTS))[:, None, None, None], jnp.arange(here.shape[1])[:, None, None])
    takes = (g.child_node[*index, here] == there[..., None]) & real[*index, here]
    taken = jnp.sum(jnp.where(takes, mean[*index, here], 0.0), -1)
    inside = jnp.arange(g.depth) < g.phrase_length[..., None]
    return jnp.sum(jnp.where(inside, jnp.log(jnp.maximum(taken, 1e-9)), 0.0), -1), visits


def _learned_one(
    policy: Policy, world: World, key: Array, size: int, k: int | Array
) -> tuple[Float[Array, "S X P"], Float[Array, "S X N"]]:
    keys = jax.random.split(jax.random.fold_in(key, k))
    what = docs.prompt(world, keys[0], size, tag=k, direction=0)
    documents = docs.write(world, keys[1], what, jnp.full(size, k))
    return phrase_tables(world.grammar, documents, policy.branches(world.grammar, documents))


_learned = jax.jit(_learned_one, static_argnames="size")


def learned(corpus: Corpus, world: World, policy: Policy, key: Array, size: int = 128) -> Cast:
    """The cast as a pretrained policy knows it.

    Each character writes `size` documents under its own name. Its tables are those of the policy's
    predictions there (`phrase_tables`). Contexts that do not occur stay exact. So does the whole
    cast, if no pretraining document has a name as its tag.
    """
    if not corpus.name_share:
        return world.cast
    one = _learned_one if isinstance(policy, Outside) else _learned
    each = [one(policy, world, key, size, k) for k in range(len(corpus.names))]
    logp, visits = (jnp.stack(tables, -1) for tables in zip(*each, strict=True))
    known = (visits[:, :, 0] > 0)[:, :, None, :] & jnp.isfinite(world.cast.logp)
    return tables.make_cast(world.grammar, normalise(jnp.where(known, logp, world.cast.logp)))
