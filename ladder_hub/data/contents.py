"""What a set of images is, by its bytes: names, sizes and times stay as they were where files are rewritten in place.

Every file is read and hashed once. After that its digest is kept, and holds as long as the file has its inode, size
and times of change; a tool may set back the time of modification, but not that of the change of the inode.
"""

import hashlib
import os
import time
from collections.abc import Iterable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np

from ladder_hub.data.cache import load_arrays, save_arrays
from ladder_hub.data.overlap import DIGEST, Files, digests

_FORMAT = "ladder-hub contents 1"
# A file may change again within one tick of its clock and show the same times; the coarsest ticks are of 2 s.
_CLOCK_TICK_NS = 2 * 10**9

STAMP = np.dtype([("place", "<i8", 3), ("newest", "<i8"), ("times", "<i8", 2)])
"""When a file was as it is: device, inode, size or offset; the later of its times of change; both of them, in ns."""


class Stamped(Files, Protocol):
    """Files that can be told to be unchanged without being read."""

    @property
    def spec(self) -> str:
        """What the user typed."""
        ...

    def stamps(self) -> np.ndarray | None:
        """Of every file, `STAMP` (N,); None where there is nothing to tell it by."""
        ...


class Labelled(Stamped, Protocol):
    """A set that a figure is of."""

    labels: np.ndarray | None

    def fingerprint(self) -> dict[str, Any]:
        """Source, name, count, classes, digest of the listing; `content` where the listing decides the bytes."""
        ...


_known: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def named_by_content(
    source: Labelled, *, also: Iterable[Stamped] = (), told: str = "", workers: int = -1
) -> dict[str, Any]:
    """The fingerprint of a set with `content`: SHA-256 of the digests of all its files and of its labels.

    It is found once for each opened source.

    Args:
        source: The images, in the order in which figures are computed.
        also: What else decides a figure, such as masks.
        told: Likewise, such as the digest of annotations.
        workers: Loader threads for what must be read; -1: one a core, at most 8.
    """
    if source not in _known:
        facts = source.fingerprint()
        _known[source] = facts if "content" in facts else {**facts, "content": _content(source, also, told, workers)}
    return dict(_known[source])


def _content(source: Labelled, also: Iterable[Stamped], told: str, workers: int) -> str:
    whole = hashlib.sha256(told.encode())
    for files in (source, *also):
        whole.update(file_digests(files, workers=workers).tobytes())
    if source.labels is not None:
        whole.update(source.labels.astype("<i8").tobytes())
    return whole.hexdigest()


def file_digests(files: Stamped, *, workers: int = -1) -> np.ndarray:
    """16 bytes for each file (N,), from the cache where it is unchanged; zeros for one that can't be read."""
    begun, stamps, name = time.time_ns(), files.stamps(), _name(files)
    if stamps is None:
        return digests(files, np.arange(len(files)), -1, workers)
    found, missing = _kept(name, stamps)
    if len(missing):
        found[missing] = digests(files, missing, -1, workers)
        settled = (stamps["newest"] < begun - _CLOCK_TICK_NS) & (found != np.zeros((), DIGEST)[()])
        save_arrays(name, {"stamps": _as_bytes(stamps[settled]), "digests": _as_bytes(found[settled])})
    return found


def _kept(name: str, stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is known of these files, and the indices of the others."""
    found = np.zeros(len(stamps), DIGEST)
    arrays = load_arrays(name) or {}
    try:
        known = arrays["stamps"].reshape(-1).view(f"V{STAMP.itemsize}")
        values = arrays["digests"].reshape(-1).view(DIGEST)
        if len(known) != len(values):
            raise ValueError("stamps and digests differ")
    except (KeyError, ValueError, TypeError):
        return found, np.arange(len(stamps))
    at = {stamp: number for number, stamp in enumerate(known.tolist())}
    places = np.array([at.get(stamp, -1) for stamp in stamps.view(f"V{STAMP.itemsize}").tolist()], dtype=np.int64)
    found[places >= 0] = values[places[places >= 0]]
    return found, np.flatnonzero(places < 0)


def stamps_of(paths: Iterable[str | os.PathLike[str]]) -> np.ndarray:
    """Of whole files; one that is not there has a stamp that no file has."""
    return np.array([_stamp_at(path) for path in paths], STAMP)


def stamps_inside(paths: Iterable[str | os.PathLike[str]], shard: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Of members of tar files, which are unchanged as long as their file is.

    Args:
        paths: The files.
        shard: int (N,), which of them a member lies in.
        offset: int64 (N,), where in it.
    """
    found = stamps_of(paths)[shard]
    found["place"][:, 2] = offset
    return found


def _stamp_at(path: str | os.PathLike[str]) -> tuple[Any, ...]:
    try:
        status = os.stat(path)  # noqa: PTH116 - a million times
    except OSError:
        return (-1, -1, -1), 2**62, (-1, -1)
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return (status.st_dev, status.st_ino, status.st_size), max(times), times


def _as_bytes(records: np.ndarray) -> np.ndarray:
    return np.frombuffer(records.tobytes(), np.uint8)


def _name(files: Stamped) -> str:
    """Where the digests of these files are kept: it must stay the same when a file changes."""
    what = [_FORMAT, type(files).__name__, os.path.abspath(files.spec), files.key(0) if len(files) else ""]  # noqa: PTH100
    return hashlib.sha256(os.fsencode("\0".join(what))).hexdigest()
