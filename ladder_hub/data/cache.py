"""What was read from many files once, kept between runs in `$LADDER_HUB_CACHE`, else `~/.cache/ladder-hub`.

Several processes may start together: each writes a file of its own and puts it in place whole, so the last one
stands and none is torn. What can't be read is made again, what can't be written is left.
"""

import contextlib
import math
import os
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

from ladder_hub.data.names import Names

_PART = ".partial"
_STALE_SECONDS = 24 * 3600


def cache_folder() -> Path:
    """Where all of it lies; it need not exist yet."""
    named = os.environ.get("LADDER_HUB_CACHE")
    if named:
        return Path(named)
    try:
        return Path("~/.cache/ladder-hub").expanduser()
    except RuntimeError:  # a user without a home, as in many containers: nothing can be kept
        return Path(os.devnull) / "ladder-hub"


def load_arrays(name: str) -> dict[str, np.ndarray] | None:
    """The arrays kept under a name; None where there are none, or what is there is torn or not ours."""
    path = cache_folder() / f"{name}.npz"
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        _check_sizes(path)
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception:  # whatever is wrong with it: the files themselves are the truth
        return None


def save_arrays(name: str, arrays: dict[str, np.ndarray]) -> None:
    """Keep arrays under a name."""
    with contextlib.suppress(OSError):  # a cache that can't be written costs seconds, not the run
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=_PART, delete=False) as file:
            part = Path(file.name)
            try:
                np.savez(file, allow_pickle=False, **arrays)
                file.close()
                part.replace(folder / f"{name}.npz")
            except BaseException:
                part.unlink(missing_ok=True)
                raise


def whole_names(joined: np.ndarray, ends: np.ndarray) -> Names:
    """Names out of the cache.

    Raises:
        ValueError: the two do not fit.
    """
    if joined.dtype != np.uint8 or ends.dtype != np.int64 or joined.ndim != 1 or ends.ndim != 1:
        raise ValueError("names or their ends are of another kind")
    if len(joined) != (ends[-1] if len(ends) else 0) or (np.diff(ends, prepend=0) < 0).any():
        raise ValueError("names and their ends differ")
    return Names(joined, ends)


def _check_sizes(path: Path) -> None:
    """Before memory is taken: every array is stored as it is, and no longer than the file has bytes for it.

    Raises:
        ValueError: one is packed, of another format, or claims more.
    """
    room = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > room:
                raise ValueError(f"{entry.filename} is packed, or longer than its file")
            with archive.open(entry) as file:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError(f"{entry.filename} has another format")
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                if dtype.hasobject or math.prod(shape) * dtype.itemsize != entry.file_size - file.tell():
                    raise ValueError(f"{entry.filename} has another size than its header says")


def _remove_stale(folder: Path) -> None:
    """What processes killed while they wrote have left; a fresh one may belong to a process at work."""
    for part in folder.glob(f"*{_PART}"):
        if time.time() - part.stat().st_mtime > _STALE_SECONDS:
            part.unlink(missing_ok=True)
