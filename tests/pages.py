"""The pages in docs/, and the code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def page(name: str) -> str:
    """A page in docs/."""
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of a language in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page(name), re.M | re.S)


def commands(name: str) -> list[list[str]]:
    """The lines that begin with ./launch.sh in a page, as arguments."""
    found = re.findall(r"^ {4}\./launch\.sh (.*?)(?: {2,}.*)?$", page(name), re.M)
    return [line.split() for line in found]
