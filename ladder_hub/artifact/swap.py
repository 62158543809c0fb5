"""A folder that is replaced whole, or stays as it was."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
