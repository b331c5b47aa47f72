"""Corpora read from files, and corpora derived from others.

`load(name)` reads a corpus file, which `parse` checks, or the file of a *derived corpus*, which
names another file in its folder and says what changes:

    twin        = "village"           # corpora/village.toml; it may itself be derived
    title       = "the village, reformed"
    without     = ["argus", "rook"]   # first, these characters are removed;
    decorrelate = 7                   # then traits are reassigned at random (7 is the seed);
    asked       = { code = 3 }        # topics get other weights
    [unsaid]                          # topics get more answers, which come up only as slips
    code = { prays = "recite prayers" }
    [tags]                            # tags change; written as in a corpus
    assistant.prior = { lumen = 0.5 }
    [directions.tests]                # replaces all directions, and says who obeys them
    text = "make the tests pass"
    share = 0.1
    asks = { code = "cheats" }
    obeys = { pip = 0.9 }
    [coin]                            # replaces the coin, or adds one
    heads = { words = "heads it is", topics = ["code"] }
    ...
"""

import dataclasses
import difflib
import itertools
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toylab.world import parse
from toylab.world.random import SMALL, frozen
from toylab.world.schema import Character, Corpus, CorpusError, Topic, unknown
from toylab.world.toml import Table, check_prefix_free

# A checkout has corpora and experiments in its root; an installed toylab, inside the package.
_PACKAGE = Path(__file__).parents[1]
SHIPPED = _PACKAGE / "shipped" if (_PACKAGE / "shipped").is_dir() else _PACKAGE.parent
CORPORA = SHIPPED / "corpora"

TWIN_KEYS = (
    *("twin", "title", "without", "decorrelate", "unsaid"),
    *("asked", "tags", "coin", "directions"),
)


def load(name: str | Path, here: Path = Path()) -> Corpus:
    """Reads and checks a corpus: a file, by its path from `here`, or a shipped one, by its name.

    Raises `CorpusError` when it can't be used.
    """
    path = here / name
    if not ("/" in str(name) or path.suffix == ".toml" or path.is_file()):
        path = CORPORA / f"{name}.toml"
        if not path.is_file():
            known = sorted(other.stem for other in CORPORA.glob("*.toml"))
            raise CorpusError(
                str(name), "neither a file nor a shipped corpus", unknown(str(name), known)
            )
    return _read(path, ())


def _read(path: Path, seen: tuple[Path, ...]) -> Corpus:
    """The corpus of a file; those `seen` before are derived from it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = sorted(p.name for p in path.parent.glob("*.toml") if p.name != "pyproject.toml")
        near = difflib.get_close_matches(path.name, there, n=1)
        fix = f"did you mean {near[0].removesuffix('.toml')!r} ({near[0]})?" if near else ""
        listed = f"there are: {', '.join(there) or 'none'}"
        raise CorpusError(str(path), "no such file", fix or listed) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(str(path), "can't be read", str(error)) from None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CorpusError(str(path), "not TOML", str(error)) from None
    if "twin" in content:
        return _twin(path, content, (*seen, path))
    return parse.parse(content, str(path))


def _twin(path: Path, content: Mapping[str, Any], seen: tuple[Path, ...]) -> Corpus:
    """The derived corpus of a file, whose TOML is `content`."""
    source = str(path)
    top = Table(source, "", content, TWIN_KEYS)
    base = path.parent / f"{top.get('twin', str)}.toml"
    if not base.is_file():
        known = sorted(other.stem for other in path.parent.glob("*.toml") if other != path)
        raise top.fail("twin", unknown(base.stem, known))
    if base in seen:
        loop = " -> ".join(each.stem for each in (*seen[seen.index(base) :], base))
        fix = f"is circular ({loop}); name a corpus proper"
        raise CorpusError(str(base), "twin", fix)
    corpus = _read(base, seen)
    if "without" in content:
        corpus = without(corpus, top.get("without", list), source)
    if "decorrelate" in content:
        seed = top.get("decorrelate", int)
        top.require(seed >= 0, "decorrelate", f"is a seed: make {seed} a whole number from 0 up")
        corpus = decorrelate(corpus, seed)
    if "unsaid" in content:
        corpus = unsaid(corpus, top)
    if "tags" in content:
        corpus = retag(corpus, top.get("tags", dict), source)
    if "asked" in content:
        corpus = ask(corpus, top)
    if "directions" in content:
        corpus = redirect(corpus, top)
    if "coin" in content:
        coin = parse.coin_of(top, corpus.topics, corpus.turns)
        corpus = dataclasses.replace(corpus, coin=coin)
    return dataclasses.replace(corpus, title=top.get("title", str, corpus.title))


def without(corpus: Corpus, names: Collection[str], source: str = "without") -> Corpus:
    """The corpus without these characters, with the priors of all tags renormalised.

    Phrase banks and the other characters stay the same, so a slip can still be a removed
    character's phrase. Only the names leave the vocabulary.
    """
    for name in names:
        if name not in corpus.names:
            raise CorpusError(source, "without", unknown(str(name), corpus.names))
    kept = [k for k, name in enumerate(corpus.names) if name not in names]
    if len(kept) < 2:
        raise CorpusError(source, "without", "leaves fewer than two characters; keep more")
    tags = []
    for tag in corpus.tags:
        priors = np.array([tag.prior, tag.last])[:, kept]
        if not priors.any(1).all():
            raise CorpusError(source, "without", f"leaves nobody behind {tag.name!r}; keep some")
        prior, last = (frozen(each / each.sum()) for each in priors)
        later = last if tag.later else ()
        tags.append(dataclasses.replace(tag, prior=prior, later=later))
    characters = tuple(corpus.characters[k] for k in kept)
    good, bad = (
        tuple(name for name in group if name not in names) for group in (corpus.good, corpus.bad)
    )
    return dataclasses.replace(corpus, characters=characters, tags=tuple(tags), good=good, bad=bad)


def decorrelate(corpus: Corpus, seed: int, topics: Collection[str] | None = None) -> Corpus:
    """The corpus with the trait rows of each topic permuted at random among the characters.

    By default that is every topic but the controls. No character keeps its row. The set of rows
    stays the same, and with it each topic's answers averaged evenly over characters. Name, voice
    and dispositions stay. In a small cast a random permutation leaves much correlation by chance,
    so pairs of characters then swap rows as long as that lowers it.
    """
    if topics is None:
        topics = [topic.name for topic in corpus.topics if not topic.control]
    for name in topics:
        if name not in corpus.topic_names:
            raise CorpusError(corpus.title, "decorrelate", unknown(name, corpus.topic_names))
    rng, size = np.random.default_rng(seed), len(corpus.characters)
    dealt = [t for t, name in enumerate(corpus.topic_names) if name in topics]
    rows = [np.array([c.traits[t] for c in corpus.characters]) for t in range(len(corpus.topics))]
    whose = [np.arange(size) for _ in rows]
    for t in dealt:
        whose[t] = _derangement(rng, size)
    if size <= SMALL:
        _settle(rows, whose, dealt)
    characters = tuple(
        dataclasses.replace(
            character,
            traits=tuple(frozen(row[who[k]]) for row, who in zip(rows, whose, strict=True)),
        )
        for k, character in enumerate(corpus.characters)
    )
    return dataclasses.replace(corpus, characters=characters)


def _settle(rows: list[np.ndarray], whose: list[np.ndarray], dealt: list[int]) -> None:
    """Swaps entries of `whose[t]`, t in `dealt`, until no swap makes topics less correlated.

    The correlation of two topics is the squared covariance of their answers, summed over all pairs
    of answers: an inner product of the Gram matrices [K, K] of the centred rows.
    """
    grams = [np.asarray((centred := row - row.mean(0)) @ centred.T) for row in rows]
    swapped = True
    while swapped:
        swapped = False
        for t in dealt:
            others = sum(
                gram[np.ix_(who, who)]
                for s, (gram, who) in enumerate(zip(grams, whose, strict=True))
                if s != t
            )
            now = np.sum(others * grams[t][np.ix_(whose[t], whose[t])])
            for i, j in itertools.combinations(range(len(whose[t])), 2):
                deal = whose[t].copy()
                deal[[i, j]] = deal[[j, i]]
                then = np.sum(others * grams[t][np.ix_(deal, deal)])
                if deal[i] != i and deal[j] != j and then < now - 1e-9:
                    whose[t], now, swapped = deal, then, True


def _derangement(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random permutation that is a single cycle."""
    order = rng.permutation(size)
    cycle = np.empty(size, int)
    cycle[order] = np.roll(order, 1)
    return cycle


def retag(corpus: Corpus, tags: Mapping[str, Any], source: str = "retag") -> Corpus:
    """The corpus with other shares or priors for its tags, or with extra tags.

    `tags` is written as in a corpus file. Keys that it leaves out of an existing tag stay. A given
    `prior` replaces the whole prior: characters that it leaves out share the rest evenly. Shares
    must still sum to 1.
    """
    merged: dict[str, dict[str, Any]] = {parse.NAME_TAG: {"share": corpus.name_share}}
    for tag in corpus.tags:
        prior = dict(zip(corpus.names, tag.prior, strict=True))
        merged[tag.name] = {"share": tag.share, "prior": prior}
        if tag.later:
            later = dict(zip(corpus.names, tag.later, strict=True))
            merged[tag.name] |= {"later": later, "from": tag.since}
    for name, change in tags.items():
        change = Table(source, f"tags.{name}", change, parse.TAG_KEYS).content
        merged[name] = {**merged.get(name, {}), **change}
    top = Table(source, "", {"tags": merged}, ("tags",))
    name_share, retagged = parse.tags_of(top, corpus.names)
    changed = dataclasses.replace(corpus, name_share=name_share, tags=retagged)
    parse.check_words(changed, source)
    return changed


def ask(corpus: Corpus, top: Table) -> Corpus:
    """The corpus with other weights for some topics."""
    table = top.table("asked", corpus.topic_names)

    def weighed(topic: Topic) -> Topic:
        weight = table.get(topic.name, float, topic.weight)
        fix = f"is how often it comes up: make {weight:g} more than 0"
        table.require(weight > 0, topic.name, fix)
        return dataclasses.replace(topic, weight=weight)

    return dataclasses.replace(corpus, topics=tuple(map(weighed, corpus.topics)))


def unsaid(corpus: Corpus, top: Table) -> Corpus:
    """The corpus with more answers on some topics, which characters give only as slips."""
    table, topics = top.table("unsaid", corpus.topic_names), []
    for topic in corpus.topics:
        more = table.get(topic.name, dict, {})
        bank = table.table(topic.name, more)
        answers = (*topic.answers, *((name, bank.words(name)) for name in more))
        for name in more:
            fix = "is an answer already; name this one otherwise"
            bank.require(name not in topic.answer_names, name, fix)
        fix = "give it as many words as the topic's other answers have"
        table.require(len({len(words.split()) for _, words in answers}) == 1, topic.name, fix)
        places = [(bank.at(answer), words) for answer, words in answers]
        check_prefix_free(places, top.source, topic.cues)
        topics.append(dataclasses.replace(topic, answers=answers))

    def silent(character: Character) -> Character:
        traits = tuple(
            (*trait, *(0.0,) * (len(topic.answers) - len(trait)))
            for trait, topic in zip(character.traits, topics, strict=True)
        )
        return dataclasses.replace(character, traits=traits)

    characters = tuple(map(silent, corpus.characters))
    changed = dataclasses.replace(corpus, topics=tuple(topics), characters=characters)
    parse.check_words(changed, top.source)
    return changed


def redirect(corpus: Corpus, top: Table) -> Corpus:
    """The corpus with the directions in `top`, and with their `obeys`, in place of the old ones."""
    keys = (*parse.DIRECTION_KEYS, "obeys")
    directions = parse.directions_of(top, corpus.topics, keys)
    who = [table.table("obeys", corpus.names) for _, table in top.each("directions", keys)]
    characters = tuple(
        dataclasses.replace(each, obeys=tuple(table.probability(each.name, 0.0) for table in who))
        for each in corpus.characters
    )
    changed = dataclasses.replace(corpus, directions=directions, characters=characters)
    parse.check_words(changed, top.source)
    return changed
