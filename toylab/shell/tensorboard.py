"""`./launch.sh tensorboard [EXPERIMENT …]`: watches experiments in a browser while they run."""

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as File
from typing import Any
from urllib.parse import urlencode

from toylab.lab import names
from toylab.lab.flags import Flags, UsageError, refuse
from toylab.shell import finished
from toylab.shell.files import folder, user_path

HELP = """./launch.sh tensorboard [EXPERIMENT …] [FLAGS]

Watches experiments in a browser, by default the one started last. Ctrl-C stops it.

"""
BOARD = ".board"
EVERY = 5  # seconds
DOCUMENTS = 4  # sampled from each snapshot


def main(arguments: Sequence[str]) -> int:
    """Serves TensorBoard and keeps its files up to date."""
    values = Flags(
        HELP,
        runs=finished.FOLDER,
        port=(int, None, "port of the server (default: 6006, or the next free one)"),
        host=(str, "localhost", "address to listen on"),
        logdir=(str, None, "shows this folder of event files instead"),
    )
    asked = values.parse(arguments, "...")
    root = folder(values)
    if values["logdir"]:
        if not (shown := user_path(values["logdir"])).is_dir():
            raise UsageError(f"--logdir: there is no folder {shown}")
        print(serve(shown, values), flush=True)
        return _wait(lambda: None)
    known = names.listed(root)
    refuse("tensorboard", asked, known, " (./launch.sh runs lists them)")
    if not known:
        raise UsageError(f"{root}/: nothing has been run there yet; begin with ./launch.sh")
    return _watch(root, asked or known[:1], values)


def _watch(root: File, asked: Sequence[str], values: Flags) -> int:
    from toylab.report import samples
    from toylab.report.board import Board

    place = root / BOARD / "+".join(asked)
    shutil.rmtree(place, ignore_errors=True)
    boards = [Board(names.read(root, name), place) for name in asked]
    for board in boards:
        board.refresh()
    address = serve(place, values)
    print("the ladder and who is speaking, means over seeds:")
    print(first_page(address))
    print(f"what it says:    {address}#text\nwith bands:      {address}#custom_scalars")
    print(f"figure so far:   {address}#images\nCtrl-C stops it", flush=True)

    def refresh() -> None:
        for board in boards:
            board.refresh()
            for _ in samples.add(board, root / BOARD / "samples", DOCUMENTS):  # a second each
                board.refresh()

    return _wait(refresh)


def first_page(address: str) -> str:
    """The address of the page with ladder and weights: means over seeds, and the floor."""
    shown = {
        "smoothing": 0,
        "runFilter": "mean|floor",
        "tagFilter": "^(ladder/(total|selection|left)|weights/)",
        "runColorGroup": "regex:/([^/]+)",
    }
    return f"{address}?{urlencode(shown)}#timeseries"


def _wait(work: Callable[[], None]) -> int:
    """Does some work every few seconds, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            work()
            time.sleep(EVERY)
    return 0


def serve(folder: File, values: Flags | Mapping[str, Any]) -> str:
    """Starts TensorBoard in a thread, without its messages; returns the address."""
    from tensorboard import program

    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    server = program.TensorBoard()
    server.configure(
        logdir=str(folder.resolve()),
        host=values["host"],
        port=values["port"],
        reload_interval=EVERY,
        samples_per_plugin={"scalars": 5000, "text": 5000, "images": 50},
    )
    try:
        return server.launch()
    except program.TensorBoardServerException as error:
        raise UsageError(f"--port: {error}") from None
