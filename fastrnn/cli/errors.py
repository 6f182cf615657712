"""Ends of a command that are no fault in its arguments."""


class GoalMissedError(Exception):
    """The work was done and did not reach what it must; exit code 1."""


class StoppedError(Exception):
    """Ctrl-C, and what was saved; exit code 130."""
