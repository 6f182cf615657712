"""Ends of a command that are no fault in its arguments."""


class Failed(Exception):
    """The work was done and did not reach what it must; exit code 1."""


class Interrupted(Exception):
    """Ctrl-C, and what was saved; exit code 130."""
