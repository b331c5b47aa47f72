"""`./launch.sh corpus check|show|sample|export FILE`: a corpus, as a person would look at it.

`main` returns the exit code: 2, after one line on stderr, when something is wrong with the
command or the corpus.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np
from tqdm import tqdm

from toylab.shell import portrait
from toylab.shell.files import ROOT, user_path
from toylab.world import bayes, tables
from toylab.world import documents as docs
from toylab.world import grammar as grammars
from toylab.world.derive import load, locate
from toylab.world.schema import Corpus, CorpusError, unknown

SHIPPED = ROOT / "corpora"
CHUNK = 256  # documents at a time


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help says more)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="./launch.sh corpus", description="Looks at a corpus.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str, *options: str) -> None:
        described = text[0].upper() + text[1:] + "."
        sub = actions.add_parser(name, help=text, description=described)
        sub.add_argument("file", metavar="FILE", help="a TOML file, or a name such as village")
        if "n" in options:
            default = {"check": 4000, "sample": 5, "export": 1000}[name]
            sub.add_argument("--n", type=_count, default=default, help="documents (%(default)s)")
        if "tag" in options:
            fallback = "assistant" if name == "check" else "drawn by their shares"
            sub.add_argument("--tag", help=f"the documents' tag ({fallback})")
        if "seed" in options:
            sub.add_argument("--seed", type=_seed, default=0, help="of the draws (%(default)s)")
        if "out" in options:
            sub.add_argument("--out", help="file to write (default: standard output)")

    action("check", "validate, and tell what can be told apart", "n", "tag", "seed")
    action("show", "print cast, topics and tags")
    action("sample", "print documents", "n", "tag", "seed")
    action("export", "write documents as jsonl, with likelihoods", "n", "tag", "seed", "out")
    return parser


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"make {text!r} a whole number from 1 up")
    return count


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"make {text!r} a whole number from 0 to 2^32 - 1")
    return int(text)


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code. Nothing is written if the input is bad."""
    try:
        options = _parser().parse_args(arguments)
        corpus = load(find(options.file))
        if options.action == "show":
            print("\n".join(portrait.show(corpus)))
        elif options.action == "check":
            lines = portrait.check(corpus, options.n, options.tag, options.seed)
            print("\n".join(lines))
        elif options.action == "sample":
            for record in documents(corpus, options.n, options.tag, options.seed):
                print(f"[{record['author']}]\n{record['text']}\n")
        else:
            export(corpus, options.n, options.tag, options.seed, options.out)
    except SystemExit as stop:  # argparse, after --help or a complaint
        return int(stop.code or 0)
    except CorpusError as error:
        print(f"toylab: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def find(name: str) -> Path:
    """The corpus file meant by a path from the user's folder, or by a shipped corpus's name."""
    path = locate(name, user_path(""), SHIPPED)
    if not path.is_file() and "/" not in name and path.suffix != ".toml":
        known = sorted(shipped.stem for shipped in SHIPPED.glob("*.toml"))
        raise CorpusError(name, "neither a file nor a shipped corpus", unknown(name, known))
    return path


def documents(corpus: Corpus, n: int, tag: str | None, seed: int) -> Iterator[dict[str, Any]]:
    """Draws documents: tag, author, text, and the answers' log-likelihood under each character.

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
                "text": docs.decode(words, drawn, i),
                "log_likelihood": {
                    name: round(float(value), 4)
                    for name, value in zip(corpus.names, likelihood[i], strict=True)
                },
            }


def export(corpus: Corpus, n: int, tag: str | None, seed: int, out: str | None) -> None:
    """Writes documents as jsonl. A file appears only once it is complete."""
    target = user_path(out) if out else None
    if target and not target.parent.is_dir():
        raise CorpusError(str(target), "--out", f"make the folder {target.parent} first")
    if target and target.is_dir():
        raise CorpusError(str(target), "--out", "is a folder; name a file")
    part = target.with_name(f"{target.name}.part") if target else None
    drawn = tqdm(
        documents(corpus, n, tag, seed), total=n, unit="doc", delay=2, leave=False, disable=None
    )
    try:
        place = part.open("w", encoding="utf-8") if part else nullcontext(sys.stdout)
        with place as stream:
            for record in drawn:
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        if part and target:
            part.replace(target)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CorpusError(out or "-", "--out", f"can't be written: {error.strerror}") from None
    finally:
        if part:
            part.unlink(missing_ok=True)
