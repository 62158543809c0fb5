"""Indices of tar shards, kept between runs in `$LADDER_HUB_CACHE`, else `~/.cache/ladder-hub`.

A cached index belongs to names, sizes and times of change of the shards; what can't be read is built again,
what can't be written is left.
"""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np

from ladder_hub.data.names import Names
from ladder_hub.data.tar_index import TarIndex, build_index

_FORMAT = "ladder-hub tar index 1"


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
        digest.update(os.fsencode(f"\n{shard.name}\0{status.st_size}\0{status.st_mtime_ns}"))
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
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
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
