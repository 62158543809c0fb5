"""A folder that one process at a time works in."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from ladder_hub.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has none: two processes in one folder are not noticed there
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Hold a run's folder: two processes would write each other's checkpoints.

    A POSIX lock, which the system takes back however the process ends, and which loader processes don't inherit.

    Raises:
        UserError: another process holds it.
    """
    with (folder / ".lock").open("a+") as file:
        if fcntl is not None:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                file.seek(0)
                raise UserError(f"{folder} is in use by {file.read().strip() or 'another process'}") from None
            except OSError:  # a file system without locks
                pass
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
