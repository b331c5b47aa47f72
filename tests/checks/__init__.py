"""Properties that several tests check. Each check raises `AssertionError` if its property fails.

Checks use the tiny corpus with its brute-force twin. They reuse no compiled code, since `planted`
breaks the code that they call.
"""

import dataclasses
import functools
import tomllib

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.stats

from tests.brute import Brute
from tests.tiny import COIN, TEXT
from toylab.policy.transformer import ModelConfig
from toylab.stages import Setup
from toylab.world import documents as docs
from toylab.world import grammar as grammars
from toylab.world import parse
from toylab.world.documents import Documents, Prompt
from toylab.world.schema import Corpus
from toylab.world.tables import World

SMALL = ModelConfig(width=16, layers=2, heads=2, expansion=2)
LEAST = 1e-4  # the smallest p-value that passes; keys are fixed, so a pass stays a pass
DIRECTED, ASKED = 1, ((0, 0, 1), (1, 1, 0))  # "order please"; cue "shut", then "any milk"


def same(got, wanted, tolerance: float = 1e-5) -> None:
    off = np.max(np.abs(np.asarray(got, float) - np.asarray(wanted, float)))
    assert off <= tolerance, f"off by {off}"  # NaN fails, too


def fitting(counts, probabilities) -> None:
    """A chi-square test that the counts came from these probabilities; rare cells are merged."""
    counts, p = np.ravel(counts).astype(float), np.ravel(probabilities).astype(float)
    same(p.sum(), 1.0)
    wanted = p / p.sum() * counts.sum()
    assert counts[p == 0].sum() == 0, "something happened that can't"
    rare = wanted < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(wanted[~rare], wanted[rare].sum())
    counts, wanted = (counts, wanted) if wanted[-1] > 0 else (counts[:-1], wanted[:-1])
    assert scipy.stats.chisquare(counts, wanted).pvalue > LEAST


def asking(world: World, directions, asks, tag=0) -> Prompt:
    """The prompts of many documents, from the twin's (topic, question, cue) of each turn."""
    direction = np.asarray(directions, np.int32)
    topic, question, cue = np.moveaxis(np.asarray(asks, np.int32), -1, 0)
    context = np.asarray(world.grammar.topic_contexts)[topic, cue, direction[:, None]]
    tags = np.full(len(direction), tag, np.int32)
    return Prompt(*map(jnp.asarray, (tags, direction, topic, question, cue, context)))


def rendered(world: World, twin: Brute, which=None, tag: int = 0) -> Documents:
    """The twin's documents (those of a mask, if given) as arrays."""
    some = [d for n, d in enumerate(twin.documents) if which is None or which[n]]
    what = asking(world, [d.direction for d in some], [d.asks for d in some], tag)
    choice = jnp.asarray(np.array([d.choice for d in some], np.int32))
    return fresh(docs.render)(world.grammar, what, choice, jnp.zeros(len(some), jnp.int32))


def fixed(world: World, twin: Brute, size: int, tag: str = "assistant") -> Prompt:
    """The prompt of `DIRECTED` and `ASKED`, `size` times."""
    at = grammars.tag_names(twin.corpus).index(tag)
    return asking(world, [DIRECTED] * size, [ASKED] * size, at)


def spiky(setup: Setup):
    """Random parameters whose predictions are far from even."""
    params = setup.init(0)
    return params | {"unembedding": 40 * params["unembedding"]}


def fresh(function):
    """Compiles a function as one program, jitted or not. Step by step takes ten times as long.

    It never reuses compiled code, so that a bug planted since has an effect.
    """
    inner = function.__wrapped__ if hasattr(function, "lower") else function
    return jax.jit(lambda *args: inner(*args))


LATER = (0.0, 0.2, 0.8)  # the tiny assistant's prior after it changes


def turning(corpus: Corpus) -> Corpus:
    """The corpus with an assistant that changes half way."""
    tags = {tag.name: tag for tag in corpus.tags}
    tags["assistant"] = dataclasses.replace(tags["assistant"], later=LATER, since=0.5)
    return dataclasses.replace(corpus, tags=tuple(tags.values()))


@functools.cache
def coined() -> Brute:
    """The twin of the tiny corpus with a coin."""
    corpus = parse.parse(tomllib.loads(TEXT + COIN), "tiny.toml")
    return Brute(corpus, grammars.vocabulary(corpus))
