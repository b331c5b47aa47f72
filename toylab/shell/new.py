"""`./launch.sh new NAME`: a folder with an experiment that runs as it is, for users to change."""

import importlib.util
import keyword
from collections.abc import Sequence
from pathlib import Path as File

from toylab.lab import experiments
from toylab.lab.flags import Flags, UsageError
from toylab.shell.files import program, user_path

TEMPLATE = File(__file__).parent / "template"
USAGE = """./launch.sh new NAME: makes a folder with an experiment for you to change

NAME is the folder, which must not exist yet, and the experiment's name. It works as it is:
  sweep.py       what is asked, trained and measured
  claims.toml    what is claimed, written before the run
  analysis.py    makes the table and the figure from the measurements

"""


def main(arguments: Sequence[str]) -> int:
    """Makes the folder. Raises `UsageError`, and writes nothing, if it can't have that name."""
    (given,) = Flags(USAGE).parse(arguments, "NAME")
    folder = user_path(given).resolve()
    name = folder.name
    if folder.exists():
        raise UsageError(f"{given}: already exists; choose another name")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(f"{name}: make the name one word of letters, digits and _")
    if name in experiments.shipped() or importlib.util.find_spec(name):
        raise UsageError(f"{name}: is the name of something else; choose another name")
    try:
        folder.mkdir()
        for file in sorted(TEMPLATE.glob("*.*")):
            text = file.read_text(encoding="utf-8").replace(TEMPLATE.name, name)
            (folder / file.name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{given}: can't be made: {error.strerror}") from None
    print(f"{given}/ has sweep.py, claims.toml and analysis.py; to see what it would train:")
    print(f"{program()} run-experiment {given} --plan")
    return 0
