"""A folder that one at a time changes, and that is replaced whole or stays as it was."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ladder_hub.errors import UserError

_PATIENCE = 120.0
"""Seconds; a card is written in one."""


@contextmanager
def sole_writer(folder: Path, *, patience: float = _PATIENCE) -> Iterator[None]:
    """Hold a folder's files, of all threads, processes and hosts: what one of them reads, changes and writes is whole.

    The lock lies beside the folder, which may be replaced meanwhile; inside where nothing can be written beside it.
    Where nothing can be written at all there is none, nor on a file system that has no locks.

    Raises:
        UserError: somebody has held it for longer than `patience` seconds.
    """
    folder = folder.resolve()
    beside = os.access(folder.parent, os.W_OK)
    path = folder.with_name(f".{folder.name}.lock") if beside else folder / ".lock"
    # Each caller has a lock object of its own: two threads wait for each other like two processes.
    lock = FileLock(path)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise UserError(f"{folder} has been held by another writer for {patience:g} s; try again") from None
    except OSError:
        pass
    try:
        yield
    finally:
        if lock.is_locked:
            path.unlink(missing_ok=True)  # whoever waits for this file sees that it is gone, and makes a new one
            lock.release()


@contextmanager
def swapped_in(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`: it takes its place when the block ends well, and vanishes otherwise."""
    new, old = (folder.with_name(f".{folder.name}.{age}") for age in ("new", "old"))
    _put_back(folder, old)
    # What a killed run left half-written is in the way of this one.
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        _put_back(folder, old)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _put_back(folder: Path, old: Path) -> None:
    """Where nothing has taken the place of `old` (a kill or a failure between the two renames) it returns there."""
    if old.is_dir() and not folder.exists():
        old.rename(folder)
