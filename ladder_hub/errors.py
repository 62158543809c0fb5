"""The two kinds of failure a user meets. Each message is one line: what was wrong, where, what to do.

A room that has more to say subclasses one of these in its own file; the command line prints the message
and exits with the status.
"""


class UserError(Exception):
    """What was asked for can't be done: a misspelt key, a missing folder, a broken file."""

    exit_status = 2


class RunError(Exception):
    """The request was right and the run failed: the loss left the real numbers, the data went bad."""

    exit_status = 1
