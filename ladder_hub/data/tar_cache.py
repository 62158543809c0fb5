"""Indices of tar shards, kept between runs in `$LADDER_HUB_CACHE`, else `~/.cache/ladder-hub`.

A cached index belongs to the shards' places, sizes and times of change: names alone mix up two folders whose
tool sets every mtime alike. What can't be read is built again, what can't be written is left.
"""

import contextlib
import hashlib
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from ladder_hub.data.names import Names
from ladder_hub.data.tar_index import TarIndex, build_index

_FORMAT = "ladder-hub tar index 2"
_PART = ".partial"
_STALE_SECONDS = 24 * 3600


def read_index(shards: list[Path]) -> TarIndex:
    """The index of these shards, from the cache where it has them unchanged.

    Raises:
        DataError: a shard is no tar, is cut short, or has a member that is refused; named.
    """
    cached = _cache_folder() / f"{_digest(shards)}.npz"
    index = _load(cached)
    if index is None:
        index = build_index(shards)
        _save(index, cached)
    return index


def _cache_folder() -> Path:
    named = os.environ.get("LADDER_HUB_CACHE")
    return Path(named) if named else Path("~/.cache/ladder-hub").expanduser()


def _digest(shards: list[Path]) -> str:
    digest = hashlib.sha256(_FORMAT.encode())
    for shard in shards:
        status = shard.stat()
        times = f"{status.st_mtime_ns}\0{status.st_ctime_ns}"
        digest.update(os.fsencode(f"\n{shard.resolve()}\0{status.st_size}\0{times}"))
    return digest.hexdigest()


def _load(path: Path) -> TarIndex | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            shard, offset, size, label = (arrays[name] for name in ("shard", "offset", "size", "label"))
            members = Names(arrays["joined"], arrays["ends"])
    except Exception:  # absent, torn, not ours: the shards themselves are the truth
        return None
    whole = len({len(shard), len(offset), len(size), len(label), len(members)}) == 1
    whole = whole and len(members.joined) == (members.ends[-1] if len(members) else 0)
    return TarIndex(shard, offset, size, label, members) if whole else None


def _save(index: TarIndex, path: Path) -> None:
    with contextlib.suppress(OSError):  # a cache that can't be written costs seconds, not the run
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path.parent)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=_PART, delete=False) as file:
            part = Path(file.name)
            try:
                np.savez(
                    file,
                    shard=index.shard,
                    offset=index.offset,
                    size=index.size,
                    label=index.label,
                    joined=index.members.joined,
                    ends=index.members.ends,
                )
                file.close()
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise


def _remove_stale(folder: Path) -> None:
    """What processes killed while they wrote have left; a fresh one may belong to a process at work."""
    for part in folder.glob(f"*{_PART}"):
        if time.time() - part.stat().st_mtime > _STALE_SECONDS:
            part.unlink(missing_ok=True)
