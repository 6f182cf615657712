"""Ends of a command that are no fault in its arguments."""


class GoalMissedError(Exception):
    """The work ended short of what it must reach; exit code 1."""


class StoppedError(Exception):
    """Ctrl-C, and what was saved; exit code 130."""
