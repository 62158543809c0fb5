"""Indices of tar shards, kept between runs.

A cached index belongs to the shards' places, sizes and times of change: names alone mix up two folders whose
tool sets every mtime alike.
"""

import hashlib
import os
import re
from pathlib import Path

import numpy as np

from ladder_hub.data.cache import load_arrays, save_arrays, whole_names
from ladder_hub.data.image_source import Progress, no_progress
from ladder_hub.data.tar_index import HIGHEST_CLASS, TarIndex, build_index

_FORMAT = "ladder-hub tar index 4"


def read_index(shards: list[Path], *, progress: Progress = no_progress) -> TarIndex:
    """The index of these shards, from the cache where it has them unchanged.

    Raises:
        DataError: a shard is no tar, is cut short, or has a member that is refused; named.
    """
    name = stamp(shards, _FORMAT)
    index = _load(name, shards)
    if index is None:
        index = build_index(shards, progress=progress)
        _save(index, name)
    return index


def stamp(shards: list[Path], kind: str) -> str:
    """Under which name what was read from these shards is kept, as long as they stay as they are."""
    digest = hashlib.sha256(kind.encode())
    for shard in shards:
        status = shard.stat()
        # The name too, which a link may have of its own: it is part of the keys, and so of the index's digest.
        digest.update(os.fsencode(f"\n{shard.name}\0{shard.resolve()}\0{status.st_size}\0"))
        digest.update(f"{status.st_mtime_ns}\0{status.st_ctime_ns}".encode())
    return digest.hexdigest()


def _load(name: str, shards: list[Path]) -> TarIndex | None:
    arrays = load_arrays(name)
    try:
        if arrays is None:
            return None
        shard, offset, size, label = (arrays[column] for column in ("shard", "offset", "size", "label"))
        members = whole_names(arrays["joined"], arrays["ends"])
        left_out, name = arrays["left_out"], str(arrays["left_out_name"])
        index = TarIndex(shard, offset, size, label, members, str(arrays["digest"]), int(left_out), name)
    except (KeyError, ValueError, TypeError):
        return None
    return index if _is_sound(index, shards) else None


def _is_sound(index: TarIndex, shards: list[Path]) -> bool:
    """Whether every image lies inside its shard: a wrong index may read wrong bytes, never too many of them."""
    kinds = ((index.shard, np.int32), (index.offset, np.int64), (index.size, np.int64), (index.label, np.int64))
    if not all(column.dtype == kind and column.shape == (len(index.members),) for column, kind in kinds):
        return False
    # Names of the index have no control character, and its digest is one.
    if not index.left_out_name.isprintable() or index.left_out < 0:
        return False
    if (index.members.joined < ord(" ")).any() or not re.fullmatch(r"[0-9a-f]{64}", index.digest):
        return False
    if ((index.shard < 0) | (index.shard >= len(shards)) | (index.label < -1) | (index.label > HIGHEST_CLASS)).any():
        return False
    room = np.array([shard.stat().st_size for shard in shards], dtype=np.int64)[index.shard]
    # In this order no sum can overflow.
    inside = (index.offset >= 0) & (index.offset <= room) & (index.size >= 0) & (index.size <= room - index.offset)
    return bool(inside.all())


def _save(index: TarIndex, name: str) -> None:
    columns = {"shard": index.shard, "offset": index.offset, "size": index.size, "label": index.label}
    members = {"joined": index.members.joined, "ends": index.members.ends}
    left_out = {"left_out": np.array(index.left_out), "left_out_name": np.array(index.left_out_name)}
    save_arrays(name, columns | members | left_out | {"digest": np.array(index.digest)})
