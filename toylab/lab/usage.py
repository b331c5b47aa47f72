"""The error of a command line."""


class UsageError(ValueError):
    """A command line that can't be carried out: one line that says what and how to mend it."""
