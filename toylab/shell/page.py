"""The report: every claim with its verdict, every figure and every table on one page."""

import base64
import html
import importlib.metadata
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

import jinja2
import markdown
import pandas as pd
from PIL import Image

from toylab.lab import experiments
from toylab.lab.store import StoreError, reading
from toylab.report.claims import CHANGED, OFF, QUICK, REFUTED, SUPPORTED, UNDECIDED
from toylab.report.provenance import git
from toylab.shell.files import program
from toylab.world.derive import SHIPPED

ROWS = 40  # of a table that the page shows
COLOURS = 128  # per figure: a quarter of the bytes, and no visible difference
ANSWER = "selection"  # the experiment whose claims and figure the page opens with
VERDICTS = (SUPPORTED, REFUTED, UNDECIDED, OFF)
FIELDS = (
    *("claim", "refutes", "source", "contradicted_by", "statistic"),
    *("value", "threshold", "unit", "verdict", "keeps"),
)


def write(folders: Mapping[File, File]) -> tuple[str, list[str]]:
    """The page, and a line for each damaged result. `folders` maps experiments to results."""
    parts = [_part(source, folder) for source, folder in folders.items()]
    claims = [claim for part in parts for claim in part["claims"]]
    counts = {verdict: sum(c["verdict"] == verdict for c in claims) for verdict in VERDICTS}
    loader = jinja2.FileSystemLoader(File(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["emphasised"] = _emphasised
    page = environment.get_template("report.html.jinja")
    damaged = [part["damaged"] for part in parts if part["damaged"]]
    answer = next((part for part in parts if part["name"] == ANSWER and part["figure"]), None)
    shown = {"parts": parts, "counts": counts, "answer": answer, "rows": ROWS}
    return page.render(**shown, version=version()), damaged


def version() -> str:
    """The version of toylab if it is installed, else the commit of the checkout."""
    try:
        return importlib.metadata.version("toylab")
    except importlib.metadata.PackageNotFoundError:
        return git(SHIPPED, "describe", "--always", "--dirty") or "unknown"


def _part(source: File, folder: File) -> dict[str, Any]:
    ships = source.parent == experiments.HOME
    command = source.name if ships else f"run-experiment {source}"
    part: dict[str, Any] = {
        "name": source.name,
        "question": experiments.sweep_of(source).question,
        "command": f"./launch.sh {command}",
        "about": _about(source / "README.md"),
        "figure": "",
        "claims": [],
        "damaged": "",
    }
    if not (folder / "claims.json").exists():
        return part
    try:
        with reading(folder, f"run {program()} {command} again, or remove the folder"):
            return part | _results(folder)
    except StoreError as error:
        return part | {"damaged": str(error)}


def _results(folder: File) -> dict[str, Any]:
    content, columns = (
        json.loads((folder / f"{n}.json").read_text()) for n in ("claims", "columns")
    )
    claims = [] if isinstance(content, list) else content["claims"]  # old versions wrote a list
    for claim in claims:
        if not set(FIELDS) <= set(claim) or claim["verdict"] not in (*VERDICTS, CHANGED, QUICK):
            raise ValueError("a claim lacks a field")
    dict.items(columns)  # raises unless it is a dictionary
    table = pd.read_csv(folder / "table.csv")
    return {
        "figure": _smaller(folder / "figure.png"),
        "claims": [claim | {"interval": _interval(claim)} for claim in claims],
        "seeds": max((claim["seeds"] for claim in claims), default=0),
        "unit": "s, ".join(dict.fromkeys(claim["unit"] for claim in claims)) or "seed",
        "time": experiments.cost(folder),
        "version": git(folder, "log", "-1", "--format=%h", "--", ".") or "not committed",
        "columns": columns,
        "rows": len(table),
        "table": table.head(ROWS).to_html(index=False, border=0, float_format="{:.4g}".format),
    }


def _smaller(file: File) -> str:
    """A figure with fewer colours, as a data URI for an HTML image."""
    stream = io.BytesIO()
    few = Image.open(file).convert("RGB").quantize(COLOURS).convert("RGB")
    few.save(stream, "WEBP", lossless=True, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


def _interval(claim: dict[str, Any]) -> str:
    ends = ("value", "low", "high")
    value, low, high = ("?" if claim[end] is None else f"{claim[end]:z.2f}" for end in ends)
    return f"{value} [{low}, {high}]"


def _emphasised(text: str) -> str:
    """Text as HTML, with words between asterisks emphasised."""
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", html.escape(text))


def _about(file: File) -> str:
    """An experiment's README as HTML, without its title; links into the repository become text."""
    if not file.exists():
        return ""
    text = re.sub(r"\A#.*\n", "", file.read_text(encoding="utf-8"))
    text = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"`\1`", text)
    return markdown.markdown(text, extensions=["tables"])
