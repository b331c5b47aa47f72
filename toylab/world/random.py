"""Casts drawn at random."""

from itertools import islice

import numpy as np

from toylab.world.check import check
from toylab.world.schema import Character, Corpus, Tag, Topic

SMALL = 64  # in larger casts, no document has a name as its tag, and `decorrelate` makes no swaps


def random_cast(
    seed: int,
    *,
    characters: int = 12,
    topics: int = 8,
    controls: int = 2,
    answers: int = 4,
    correlation: float = 0.5,
    voices: int = 64,
    voice_overlap: float = 0.3,
    turns: int = 4,
) -> Corpus:
    """A corpus drawn at random, of up to thousands of characters. Every word is nonsense.

    The logits of a character's traits are random, with standard deviation 3. On all topics but the
    `controls`, the share `correlation` of their variance comes from one number for each character,
    so that answers on one topic predict those on another. Characters have an opener and a closer,
    out of `voices` each. No two share both, so there are at most voices² characters. The share
    `voice_overlap` of a voice is spread evenly over the bank. If there are more than 64 characters,
    no name is a tag. Tables grow as (characters + voices) x voices x topics. Raises `ValueError`
    for impossible numbers.
    """
    rng = np.random.default_rng(seed)
    if min(topics, turns) < 1 or min(characters, answers) < 2 or controls < 0:
        raise ValueError("random_cast: too few characters, topics, answers or turns")
    if not (0 <= correlation <= 1 and 0 <= voice_overlap <= 1):
        raise ValueError("random_cast: voice_overlap and correlation go from 0 to 1")
    voices = min(voices, characters)
    if characters > voices**2:
        raise ValueError(f"random_cast: {characters} characters need more than {voices} voices")
    subjects = topics + controls
    sizes = (characters, voices + 1, voices + 1, 2 * subjects, answers * subjects)
    words = iter(_words(rng, sum(sizes)))
    names, openers, closers, asked, said = (tuple(islice(words, size)) for size in sizes)
    factor = rng.normal(size=(characters, 1))
    rows = []
    for subject in range(subjects):
        loading = rng.normal(size=(1, answers))
        common = correlation if subject < topics else 0.0
        own = rng.normal(size=(characters, answers))
        logits = 3 * (np.sqrt(common) * factor * loading + np.sqrt(1 - common) * own)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        rows.append(odds / odds.sum(1, keepdims=True))
    voice = (1 - voice_overlap) * np.eye(voices) + voice_overlap / voices
    voice = np.pad(voice, ((0, 0), (1, 0)))  # the plain phrase comes first
    cast = tuple(
        Character(
            name=name,
            about="a random character",
            opens=frozen(voice[k % voices]),
            closes=frozen(voice[(k + k // voices) % voices]),
            traits=tuple(frozen(row[k]) for row in rows),
            obeys=(),
            follows=(0.0,) * subjects,
        )
        for k, name in enumerate(names)
    )
    even = np.full(characters, 1 / characters)
    name_share = 0.5 if characters <= SMALL else 0.0
    corpus = Corpus(
        title=f"{characters} strangers, seed {seed}",
        turns=turns,
        slip=0.02,
        plain_share=0.1,
        openers=openers,
        closers=closers,
        topics=tuple(
            Topic(
                name=f"{'topic' if t < topics else 'control'}{t}",
                questions=asked[2 * t : 2 * t + 2],
                answers=tuple((word, word) for word in said[answers * t : answers * (t + 1)]),
                control=t >= topics,
            )
            for t in range(subjects)
        ),
        directions=(),
        name_share=name_share,
        tags=(
            Tag(name="someone", share=0.7 - name_share, prior=frozen(even)),
            Tag(name="stranger", share=0.0, prior=frozen(even)),
            Tag(name="assistant", share=0.3, prior=frozen(rng.dirichlet(10 * np.ones(characters)))),
        ),
        characters=cast,
    )
    check(corpus, corpus.title)
    return corpus


def _words(rng: np.random.Generator, count: int) -> list[str]:
    """Different words of three syllables, like `bodira`."""
    syllables = [c + v for c in "bdfghjklmnprstvz" for v in "aeiou"]
    drawn = rng.choice(len(syllables) ** 3, count, replace=False)
    places = np.unravel_index(drawn, (len(syllables),) * 3)
    return ["".join(syllables[i] for i in place) for place in zip(*places, strict=True)]


def frozen(row: np.ndarray) -> tuple[float, ...]:
    """A row of an array as a corpus stores it."""
    return tuple(float(p) for p in row)
