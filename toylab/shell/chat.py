"""`./launch.sh chat [RUN]`: a conversation with a model; `sample`: documents that it writes.

Errors in the command line are found before jax is imported.
"""

import itertools
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING

from toylab.lab.flags import Flags, UsageError
from toylab.shell import files, finished
from toylab.world.schema import unknown

if TYPE_CHECKING:
    from rich.console import Console

    from toylab.library import Run
    from toylab.report.talk import Word

HELP = """./launch.sh chat [RUN] [FLAGS]

Asks a run questions of its corpus, under a tag. RUN is a name from ./launch.sh runs,
by default the first of the latest experiment. After each word it prints who is
probably speaking: as the model sees it (with the cast that it learned), and by Bayes'
rule (with the exact cast). Input may be piped. Conversations are saved in runs/talks/.

"""
SAMPLE = """./launch.sh sample RUN [FLAGS]

Prints documents that a run writes, each with its likeliest author by Bayes' rule.

"""
KEYS = "a question, its number, or the start of one; ? lists all; tag NAME; new; bye"
PACE = 0.06  # seconds from word to word, so that one can follow
WIDE = 37  # columns of one model's answer: two fit into 80


def main(arguments: Sequence[str]) -> int:
    """Talks until the end of the input. Raises `UsageError` if there is no such run or tag."""
    values = Flags(HELP, runs=finished.FOLDER, tag=_TAG)
    asked = values.parse(arguments, "...")
    if asked[1:]:
        raise UsageError(f"chat: unexpected {asked[1]!r}; it takes one run")
    root = files.folder(values)
    name, folder = finished.find("".join(asked), root)
    tags = _tags(folder, values["tag"])

    from rich.console import Console

    from toylab.library import open_run

    run = open_run(folder)
    console = Console(record=True, highlight=False, width=None if sys.stdout.isatty() else 80)
    file = root / "talks" / (re.sub(r"\W+", "-", name) + time.strftime("-%d%H%M%S.txt"))
    talk = _Talk(run, name, values["tag"] or tags[0], tags, console)
    try:
        talk.go()
    finally:
        if talk.answers:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(console.export_text(), encoding="utf-8")
            print(f"the conversation is saved in {file}")
    return 0


def sample(arguments: Sequence[str]) -> int:
    """Prints documents of a finished run."""
    values = Flags(SAMPLE, runs=finished.FOLDER, tag=_TAG, seed=(int, 0, "seed of the draws"))
    values.define("n", int, 5, "number of documents", (1, 10_000))
    (name,) = values.parse(arguments, "RUN")
    _, folder = finished.find(name, files.folder(values))
    tags = _tags(folder, values["tag"])

    import jax

    from toylab.library import open_run
    from toylab.report import talk

    run, tag, key = open_run(folder), values["tag"] or tags[0], jax.random.key(values["seed"])
    log_weights = talk.weights(run.setup, run.policy, tag, key)
    for pair in talk.beside(run.setup, run.policy, tag, log_weights, key, values["n"]):
        turns = "\n".join(f"{asked} — {said}" for asked, said, _ in pair.turns)
        print(f"[{pair.author} {pair.share:.0%}]\n{tag}\n{turns}\n")
    return 0


_TAG = (str, None, "the tag: assistant, a character's name or another")


def _tags(folder: File, asked: str | None) -> list[str]:
    """The tags of a run's corpus, *assistant* first. Raises `UsageError` if it lacks `asked`."""
    try:
        corpus = json.loads((folder / "corpus.json").read_text())
        tags = [tag["name"] for tag in corpus["tags"]]
        tags += [each["name"] for each in corpus["characters"] if corpus["name_share"]]
    except Exception:
        from toylab.lab.store import reading  # here, so that errors in flags need no jax

        with reading(folder / "corpus.json"):
            raise
    if asked and asked not in tags:
        raise UsageError(f"--tag: {unknown(asked, tags)}")
    return sorted(tags, key=lambda tag: tag != "assistant")


def _lines(talk: "_Talk") -> Iterator[str]:
    """What the user types, with completion; or the lines of a pipe."""
    if not sys.stdin.isatty():
        yield from map(str.strip, sys.stdin)
        return
    import readline

    def complete(text: str, state: int) -> str | None:
        found = [each for each in talk.questions if text and each.startswith(text)]
        return found[state] if state < len(found) else None

    readline.set_completer_delims("")
    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")
    while True:
        try:
            yield input(f"\n{talk.tag}> ").strip()
        except (EOFError, KeyboardInterrupt):
            return


class _Talk:
    """A conversation with a run and with its pretrained model, on a console."""

    def __init__(
        self, run: "Run", name: str, tag: str, tags: Sequence[str], console: "Console"
    ) -> None:
        from toylab.report import talk

        self.run, self.name, self.tags, self.console = run, name, tags, console
        self.asked = talk.questions(run.setup.corpus)
        self.questions, self.answers = list(self.asked), 0
        self.models = {"after post-training": run.policy, "before": run.pretrained.policy}
        if run.pretrained is run:
            self.models = {"pretrained": run.policy}
        self.begin(tag)

    def begin(self, tag: str) -> None:
        import jax

        from toylab.report.talk import Speaker

        self.tag, key = tag, jax.random.key(time.time_ns() % 2**32)
        with self.console.status("fitting the weights under this tag"):
            self.speakers = [
                Speaker(self.run.setup, each, tag, key) for each in self.models.values()
            ]

    def go(self) -> None:
        self._say(f"{self.name}, asked as {self.tag}; {self.speakers[0].turns} turns a document")
        self._list(first=True)
        self._say(KEYS, "dim")
        for line in _lines(self):
            name = line.removeprefix("tag").strip()
            if line in ("bye", "quit", "exit"):
                return
            if line == "?":
                self._list(first=False)
            elif line == "new":
                self.begin(self.tag)
            elif line.startswith("tag") and name in self.tags:
                self.begin(name)
            elif line.startswith("tag"):
                self._say(f"tag: {unknown(name, self.tags)}" if name else ", ".join(self.tags))
            elif line:
                self._ask(line)

    def _list(self, *, first: bool) -> None:
        """The questions by number: all, or the first of each topic."""
        cells, seen = list[str](), set[int]()
        for n, (question, (topic, *_)) in enumerate(self.asked.items(), 1):
            if not first or topic not in seen:
                cells.append(f"{n:3} {question}"[: WIDE - 2].ljust(WIDE))
            seen.add(topic)
        for pair in itertools.zip_longest(cells[::2], cells[1::2], fillvalue=""):
            self._say("  ".join(pair).rstrip())

    def _ask(self, line: str) -> None:
        from toylab.report import talk

        begun = [each for each in self.questions if each.startswith(line)]
        try:
            if line.isdigit() and 0 < int(line) <= len(self.questions):
                question = self.questions[int(line) - 1]
            else:
                question = begun[0] if begun else talk.nearest(self.run.setup.corpus, line)
        except ValueError as error:
            return self._say(str(error))
        said = self.speakers[0].said % self.speakers[0].turns
        self._say(f"\n{question}?   ({self.tag}, turn {said + 1})", "bold")
        self._say(" │ ".join(each.ljust(WIDE) for each in self.models).rstrip(), "dim")
        head = f"{'':11}{'the model':13}{'Bayes':13}"
        self._say(" │ ".join([head] * len(self.models)).rstrip(), "dim")
        answers = [each.answer(self.asked[question]) for each in self.speakers]
        for words in itertools.zip_longest(*answers):
            self._row(words)
        self.answers += 1

    def _row(self, words: Sequence["Word | None"]) -> None:
        """A word of each answer, with its likeliest authors and their probabilities."""
        from rich.text import Text

        row, names = Text(), self.run.setup.corpus.names
        for n, word in enumerate(words):
            row.append(" │ " if n else "")
            if word is None:
                row.append(" " * WIDE)
                continue
            row.append(f"{word.word:11.10}", "bold")
            for belief in (word.model, word.bayes):
                k = int(belief.argmax())
                row.append(f"{names[k]:7.7} {belief[k]:4.0%} ", f"color({k % 6 + 1})")
        self.console.print(row)
        if sys.stdout.isatty():
            time.sleep(PACE)

    def _say(self, text: str, style: str = "") -> None:
        self.console.print(text, style=style, markup=False, soft_wrap=True)
