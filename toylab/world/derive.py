"""Corpora read from files, and corpora derived from others (see docs/corpus.md)."""

import dataclasses
import itertools
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toylab.world.parse import KEYS, OWN, parse
from toylab.world.random import SMALL, frozen
from toylab.world.schema import Corpus, CorpusError, Seed, Title, strangers, unknown
from toylab.world.toml import Table

# Corpora and experiments are in the root of a checkout, or inside the package if it is installed.
_PACKAGE = Path(__file__).parents[1]
SHIPPED = _PACKAGE / "shipped" if (_PACKAGE / "shipped").is_dir() else _PACKAGE.parent
CORPORA = SHIPPED / "corpora"

LARGEST = 10**6  # bytes of a corpus file
CHAIN = 20  # the longest chain of derived corpora
DERIVED = ("base", "without", "decorrelate")
# Tables that are merged into the base's, down to this depth.
MERGED = {"tags": 2, "topics": 3, "characters": 2}


def load(name: str | Path, here: Path = Path()) -> Corpus:
    """The corpus in a file. `name` is a path relative to `here`, or the name of a shipped corpus.

    Raises `CorpusError` if the corpus can't be used.
    """
    path = here / name
    if not ("/" in str(name) or path.suffix == ".toml" or path.is_file()):
        path = CORPORA / f"{name}.toml"
    return _read(path, ())


def _read(path: Path, seen: tuple[Path, ...]) -> Corpus:
    """The corpus in a file. `seen`: the files that lead to it, each derived from the next."""
    source = str(path)
    try:
        with path.open("rb") as stream:
            text = stream.read(LARGEST + 1)
    except FileNotFoundError:
        raise CorpusError(source, "no such file", unknown(path.stem, _beside(path))) from None
    except OSError as error:
        raise CorpusError(source, "can't be read", error.strerror or str(error)) from None
    if len(text) > LARGEST:
        raise CorpusError(source, "can't be read", f"is larger than {LARGEST:,} bytes")
    try:
        content = tomllib.loads(text.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        raise CorpusError(source, "can't be read", f"is not UTF-8: {error.reason}") from None
    except RecursionError:
        raise CorpusError(source, "not TOML", "brackets are too deep; have fewer") from None
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        raise CorpusError(source, "not TOML", str(error)) from None
    if "base" not in content:
        return parse(content, source)
    top = Table(source, "", content, (*DERIVED, *KEYS))
    base = path.parent / f"{top.get('base', Title)}.toml"
    if not base.is_file():
        raise CorpusError(source, "base", unknown(base.stem, _beside(path)))
    seen = (*seen, path)
    if len(seen) > CHAIN:
        raise CorpusError(source, "base", f"has a chain of more than {CHAIN} behind it; shorten it")
    if base in seen:
        loop = " -> ".join(each.stem for each in (*seen[seen.index(base) :], base))
        raise CorpusError(str(base), "base", f"is circular ({loop}); drop one 'base'")
    corpus = _read(base, seen)
    if "without" in content:
        corpus = without(corpus, top.get("without", tuple[str, ...]), source)
    if "decorrelate" in content:
        corpus = decorrelate(corpus, top.get("decorrelate", Seed))
    return overlay(corpus, {k: v for k, v in content.items() if k not in DERIVED}, source)


def _beside(path: Path) -> list[str]:
    """The names of the other corpora in the folder of a file."""
    others = path.parent.glob("*.toml")
    return sorted(other.stem for other in others if other != path and other.stem != "pyproject")


def overlay(corpus: Corpus, change: Mapping[str, Any], source: str = "overlay") -> Corpus:
    """The corpus with the TOML of a derived corpus merged into it. Raises `CorpusError`."""
    content = _spelled(corpus)
    for key, value in change.items():
        content[key] = _laid(value, content.get(key), MERGED.get(key, 0))
    return parse(content, source)


def _laid(change: Any, base: Any, depth: int) -> Any:
    if not (depth and isinstance(change, Mapping) and isinstance(base, Mapping)):
        return change
    return {**base, **{k: _laid(value, base.get(k), depth - 1) for k, value in change.items()}}


def _spelled(corpus: Corpus) -> dict[str, Any]:
    """The corpus as the TOML of a corpus file, with every probability written out."""

    def over(names: Iterable[str], values: Iterable[Any]) -> dict[str, Any]:
        return dict(zip(names, values, strict=True))

    content = dataclasses.asdict(corpus)
    plain = {"opens": content.pop("openers")[0], "closes": content.pop("closers")[0]}
    content["plain"] = {"share": content.pop("plain_share"), **plain}
    for key in ("tags", "directions", "topics", "characters", "coin"):
        content[key] = {part.pop("name"): part for part in content[key]}
    for tag in content["tags"].values():
        tag |= {key: over(corpus.names, tag[key]) for key in ("prior", "later") if tag[key]}
    content["tags"][OWN] = {"share": content.pop("name_share")}
    for d, direction in enumerate(content["directions"].values()):
        direction["asks"] = dict(direction["asks"])
        direction["obeys"] = over(corpus.names, (each.obeys[d] for each in corpus.characters))
    for topic in content["topics"].values():
        topic |= {key: dict(topic[key]) for key in ("answers", "calls_for")}
    for character in content["characters"].values():
        del character["obeys"]
        character["opens"] = over(corpus.openers[1:], character["opens"][1:])
        character["closes"] = over(corpus.closers[1:], character["closes"][1:])
        rows, follows = (over(corpus.topic_names, character[key]) for key in ("traits", "follows"))
        character["traits"] = {t.name: over(t.answer_names, rows[t.name]) for t in corpus.topics}
        character["follows"] = {t.name: follows[t.name] for t in corpus.topics if t.cues}
    return content


def without(corpus: Corpus, names: Collection[str], source: str = "without") -> Corpus:
    """The corpus without these characters, with the priors of all tags renormalised.

    Their phrases stay in the banks, so they can still occur as slips. Raises `CorpusError` for
    an unknown name, if fewer than two characters are left, and if a tag has none.
    """
    for fix in strangers(names, corpus.names):
        raise CorpusError(source, "without", fix)
    kept = [k for k, name in enumerate(corpus.names) if name not in names]
    if len(kept) < 2:
        raise CorpusError(source, "without", "leaves fewer than two characters; keep more")
    tags = []
    for tag in corpus.tags:
        priors = [np.array(prior)[kept] for prior in (tag.prior, tag.later) if prior]
        if not all(prior.any() for prior in priors):
            raise CorpusError(source, "without", f"leaves {tag.name!r} no character; keep one")
        prior, *later = (frozen(prior / prior.sum()) for prior in priors)
        tags.append(dataclasses.replace(tag, prior=prior, later=later[0] if later else ()))
    return dataclasses.replace(
        corpus,
        characters=tuple(corpus.characters[k] for k in kept),
        tags=tuple(tags),
        good=tuple(name for name in corpus.good if name not in names),
        bad=tuple(name for name in corpus.bad if name not in names),
    )


def decorrelate(corpus: Corpus, seed: int, topics: Collection[str] | None = None) -> Corpus:
    """The corpus with the traits on each topic permuted at random among the characters.

    By default, `topics` are all but the controls. No character keeps its trait there. The mean of
    a topic's traits over characters, unweighted, does not change. Topics would still correlate
    by chance. So in a cast of up to 64, pairs of characters swap traits as long as that helps.
    """
    if topics is None:
        topics = [topic.name for topic in corpus.topics if not topic.control]
    for fix in strangers(topics, corpus.topic_names):
        raise CorpusError(corpus.title, "decorrelate", fix)
    rng, size = np.random.default_rng(seed), len(corpus.characters)
    rows = [np.array(row) for row in zip(*(c.traits for c in corpus.characters), strict=True)]
    dealt = [t for t, name in enumerate(corpus.topic_names) if name in topics]
    whose = [_cycle(rng, size) if t in dealt else np.arange(size) for t in range(len(rows))]
    if size <= SMALL:
        _settle(rows, whose, dealt)
    given = [map(frozen, row[who]) for row, who in zip(rows, whose, strict=True)]
    characters = (
        dataclasses.replace(character, traits=traits)
        for character, traits in zip(corpus.characters, zip(*given, strict=True), strict=True)
    )
    return dataclasses.replace(corpus, characters=tuple(characters))


def _settle(rows: list[np.ndarray], whose: list[np.ndarray], dealt: list[int]) -> None:
    """Swaps entries of `whose[t]`, t in `dealt`, until no swap makes topics less correlated.

    Character k gets row `whose[t][k]` of `rows[t]`. The correlation of two topics is the squared
    norm of the cross-covariance of their answers: an inner product of centred rows' Gram matrices.
    """
    grams = [np.asarray((centred := row - row.mean(0)) @ centred.T) for row in rows]
    swapped = True
    while swapped:
        swapped = False
        for t in dealt:
            each = [gram[np.ix_(who, who)] for gram, who in zip(grams, whose, strict=True)]
            others = sum(each[:t] + each[t + 1 :])
            now = np.sum(others * each[t])
            for i, j in itertools.combinations(range(len(whose[t])), 2):
                deal = whose[t].copy()
                deal[[i, j]] = deal[[j, i]]
                then = np.sum(others * grams[t][np.ix_(deal, deal)])
                if deal[i] != i and deal[j] != j and then < now - 1e-9:
                    whose[t], now, swapped = deal, then, True


def _cycle(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random permutation that is a single cycle."""
    order = rng.permutation(size)
    cycle = np.empty(size, int)
    cycle[order] = np.roll(order, 1)
    return cycle
