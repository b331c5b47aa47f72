"""Runs as `./launch.sh torture`."""

import sys

from tests import torture
from toylab.shell.cli import carried_out

sys.exit(carried_out(lambda: torture.main(sys.argv[1:])))
