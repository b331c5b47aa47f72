"""Checks that claims were registered before their results: by the history, and nothing else.

    registration.py REPOSITORY       says what is wrong, and exits 1

For each results/NAME/claims.json: experiments/NAME/claims.toml is the one it was judged by, and the
commit that last changed it is an ancestor of the commit that the results were made by, and of the
first commit in which results judged by it appear. Seeds are at least 100. Results of before there
was a registration (a claims.json that is a list) are no results of these claims, and documents say
so.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

FIRST = 100  # seeds below have been seen


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    return done.stdout.strip() if not done.returncode else ""


def before(root: Path, first: str, second: str) -> bool:
    """Whether a commit is an ancestor of another, or the same."""
    done = subprocess.run(["git", "merge-base", "--is-ancestor", first, second], cwd=root)
    return not done.returncode


def wrong(root: Path, name: str) -> str:
    """What is wrong with the results of an experiment; empty if nothing is."""
    file, claims = f"results/{name}/claims.json", f"experiments/{name}/claims.toml"
    content = json.loads((root / file).read_text())
    if isinstance(content, list):
        return ""  # of before claims were registered
    digest = hashlib.sha256((root / claims).read_bytes()).hexdigest()[:16]
    if content["registered"] != digest:
        return f"judged by another claims.toml ({content['registered']}) than today's ({digest})"
    if not content["seeds"] or min(content["seeds"]) < FIRST:
        return f"seeds {content['seeds']}: those below {FIRST} have been seen"
    registered = git(root, "log", "-1", "--format=%H", "--", claims)
    if content["commit"].endswith("+"):
        return f"made by {content['commit'][:7]} with changes that were not committed"
    if not before(root, registered, content["commit"]):
        return f"made by {content['commit'][:7]}, before {claims} was registered"
    shown = git(root, "log", "--reverse", "--format=%H", f"-S{digest}", "--", file).split()
    if shown and (registered == shown[0] or not before(root, registered, shown[0])):
        return f"first shown in {shown[0][:7]}, not after {claims} was registered"
    return ""


def check(root: Path) -> list[str]:
    """What is wrong, a line for each experiment."""
    names = sorted(file.parent.name for file in root.glob("results/*/claims.json"))
    found = [(name, wrong(root, name)) for name in names if (root / "experiments" / name).exists()]
    return [f"{name}: {fault}" for name, fault in found if fault]


if __name__ == "__main__":
    faults = check(Path(sys.argv[1]))
    print("\n".join(faults) or "no results were made before their claims")
    sys.exit(bool(faults))
