"""`./launch.sh corpus check|show|sample|export FILE`: a corpus, for people to look at."""

from collections.abc import Sequence

from toylab.lab.flags import Flags, UsageError
from toylab.shell.files import user_path
from toylab.world.derive import load
from toylab.world.schema import SEEDS, unknown

SIZES = {"show": 0, "check": 4000, "sample": 5, "export": 1000}
USAGE = """./launch.sh corpus ACTION FILE [FLAGS]: FILE is a TOML file, or a name such as village

  check    validates it, and measures how well characters can be told apart
  show     prints cast, topics and tags
  sample   prints documents
  export   writes documents as jsonl, with likelihoods

"""


def main(arguments: Sequence[str]) -> int:
    """Checks, shows, samples or exports a corpus."""
    values = Flags(
        USAGE,
        tag=(str, None, "tag of the documents (default: drawn by share; check: assistant)"),
        out=(str, None, "file that export writes (default standard output)"),
    )
    values.define("n", int, None, "how many (check 4000, sample 5, export 1000)", (1, 10**9))
    values.define("seed", int, 0, "seed of the draws", (0, SEEDS - 1))
    action, file = values.parse(arguments, "ACTION", "FILE")
    if action not in SIZES:
        raise UsageError(f"corpus: {unknown(action, SIZES)}")
    n, tag, seed = (values[name] for name in ("n", "tag", "seed"))
    n = SIZES[action] if n is None else n
    corpus = load(file, user_path(""))

    from toylab.shell import excerpts, portrait  # imports jax: only once the line is valid

    if action == "export":
        excerpts.export(corpus, n, tag, seed, values["out"])
    elif action == "sample":
        for record in excerpts.documents(corpus, n, tag, seed):
            print(f"[{record['author']}]\n{record['text']}\n")
    elif action == "check":
        print("\n".join(portrait.check(corpus, n, tag, seed)))
    else:
        print("\n".join(portrait.show(corpus)))
    return 0
