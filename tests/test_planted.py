"""Every check is seen to fail."""

from tests import test_planted_ladder, test_planted_stages, test_planted_world
from tests.checks import batches, beliefs, ladders, networks, worlds


def test_each_check_is_seen_to_fail() -> None:
    files = (test_planted_ladder, test_planted_stages, test_planted_world)
    used = {param.values[1] for file in files for param in file.BUGS}
    every = {
        check
        for module in (batches, beliefs, ladders, networks, worlds)
        for name, check in vars(module).items()
        if name.startswith("check_")
    }
    assert used == every
