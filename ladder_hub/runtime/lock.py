"""A folder that one process at a time works in."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ladder_hub.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has none: two processes in one folder are not noticed there
    fcntl = None  # type: ignore[assignment]

_held: set[IO[str]] = set()


def _let_go_in_child() -> None:
    """A forked process shares the lock, and would keep it after a kill of its parent."""
    for file in _held:
        file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


@contextlib.contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Hold a run's folder: two runs would write each other's checkpoints.

    The lock is of the open file, not of the process: two threads exclude each other like two processes, and another
    handle on the file may be closed without losing it. The system takes it back however the process ends.

    Raises:
        UserError: somebody else holds it, in this process or another.
    """
    with (folder / ".lock").open("a+") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                file.seek(0)
                raise UserError(f"{folder} is in use by {file.read().strip() or 'another process'}") from None
            except OSError:  # a file system without locks
                pass
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        _held.add(file)
        try:
            yield
        finally:
            _held.discard(file)
