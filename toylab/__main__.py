"""Runs a command line."""

import sys

from toylab.shell.cli import main

sys.exit(main(sys.argv[1:]))
