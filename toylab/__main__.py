"""Runs a command line."""

import signal
import sys

heard = signal.getsignal(signal.SIGINT)
if heard is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during imports ends it without words

from toylab.shell.cli import main  # noqa: E402

signal.signal(signal.SIGINT, heard)
sys.exit(main(sys.argv[1:]))
