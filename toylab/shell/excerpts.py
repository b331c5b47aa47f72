"""Documents of a corpus, drawn for people to look at or for another program."""

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from toylab.lab.store import replacing
from toylab.shell.files import user_path
from toylab.world import bayes, tables
from toylab.world import documents as docs
from toylab.world import grammar as grammars
from toylab.world.schema import Corpus, CorpusError, unknown
from toylab.world.text import decode

CHUNK = 256  # documents at a time


def documents(corpus: Corpus, n: int, tag: str | None, seed: int) -> Iterator[dict[str, Any]]:
    """Draws documents: tag, author, text, and log-likelihood of the answers by character.

    The first documents are the same for any `n`.
    """
    names, words = grammars.tag_names(corpus), grammars.vocabulary(corpus)
    if tag is not None and tag not in names:
        raise CorpusError(corpus.title, "--tag", unknown(tag, names))
    world = tables.build(corpus)

    @jax.jit
    def draw(key: jax.Array) -> tuple[docs.Documents, jax.Array]:
        keys = jax.random.split(key)
        fixed = None if tag is None else names.index(tag)
        drawn = docs.write(world, keys[0], docs.prompt(world, keys[1], CHUNK, tag=fixed))
        return drawn, bayes.document_log_likelihood(world.cast, drawn)

    for start in range(0, n, CHUNK):
        key = jax.random.fold_in(jax.random.key(seed), start)
        drawn, likelihood = jax.tree.map(np.asarray, draw(key))
        for i in range(min(CHUNK, n - start)):
            yield {
                "tag": names[drawn.prompt.tag[i]],
                "author": corpus.names[drawn.author[i]],
                "text": decode(words, drawn, i),
                "log_likelihood": {
                    name: round(float(value), 4)
                    for name, value in zip(corpus.names, likelihood[i], strict=True)
                },
            }


def export(corpus: Corpus, n: int, tag: str | None, seed: int, out: str | None) -> None:
    """Writes documents as JSON lines. The file appears once it is complete."""
    target = user_path(out) if out else None
    if target and not target.parent.is_dir():
        raise CorpusError(str(target), "--out", f"make the folder {target.parent} first")
    if target and target.is_dir():
        raise CorpusError(str(target), "--out", "is a folder; name a file")
    drawn = tqdm(
        documents(corpus, n, tag, seed), total=n, unit="doc", delay=2, leave=False, disable=None
    )
    with replacing(target) if target else nullcontext(sys.stdout.buffer) as stream:
        for record in drawn:
            stream.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
