"""Do the checks find bugs? Each planted bug has to make its check fail.

`@bug(title, check)` decorates a function that plants a bug by `patch(owner, name, broken)`. The
check must pass without the bug, and raise an `AssertionError` with it.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.brute import Brute

Check = Callable[[Brute], None]
Patch = Callable[[Any, str, Any], None]
Plant = Callable[[Patch], None]


class Bugs(list):
    """The bugs of a file, which its test is parametrised with."""

    def bug(self, title: str, check: Check) -> Callable[[Plant], None]:
        def register(plant: Plant) -> None:
            self.append(pytest.param(plant, check, id=title))

        return register


def is_found(
    plant: Plant,
    check: Check,
    twin: Brute,
    holds: Callable[[Check], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    holds(check)
    plant(monkeypatch.setattr)
    with pytest.raises(AssertionError):
        check(twin)
