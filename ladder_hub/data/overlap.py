"""Images that two sets share, byte for byte: what is classified must not be what has been taught.

Only files of equal size can be equal, and files that are not mostly differ in their first page. So of two sets
without a common image hardly more than a page of some files is read; what may be equal is read whole.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ladder_hub.data.image_source import BadImage
from ladder_hub.data.workers import BatchWorkers

_PAGE = 4096
_BATCH = 1024
_FEW = 4 * _BATCH
"""Below this, starting processes takes longer than reading."""
DIGEST = np.dtype("V16")
_NAMED = 3
MOST_OVERLAP = 0.01
"""Share of `val` that may be in `train`: beyond it a figure says too much of images that were seen before."""


class Files(Protocol):
    """Images as files."""

    def __len__(self) -> int: ...

    def key(self, index: int) -> str:
        """What a user can find."""
        ...

    def size(self, index: int) -> int:
        """Bytes of the file; below 0 where that can't be told."""
        ...

    def content(self, index: int, most: int = -1) -> bytes:
        """The file, or its first `most` bytes. Raises BadImage."""
        ...


def shared_images(train: Files, val: Files, *, workers: int = 0) -> np.ndarray:
    """Which images of `val` are in `train` too, whatever they are called there.

    Args:
        train: The images that teach.
        val: The images that are asked.
        workers: Loader threads; -1: one a core, at most 8.

    Returns:
        int64, indices of `val`, rising. An image that can't be read is none of them.
    """
    in_train, in_val = (_sizes(files) for files in (train, val))
    some_train, some_val = (np.flatnonzero(np.isin(a, b) & (a > 0)) for a, b in _both_ways(in_train, in_val))
    for most in (_PAGE, -1):
        known, asked = digests(train, some_train, most, workers), digests(val, some_val, most, workers)
        both = [np.isin(a, b) & (a != _NONE) for a, b in _both_ways(known, asked)]
        some_train, some_val = some_train[both[0]], some_val[both[1]]
    return some_val


def repeated_images(files: Files, *, workers: int = 0) -> list[np.ndarray]:
    """Images of one set that are equal byte for byte: groups of indices, int64, two or more in each."""
    sizes = _sizes(files)
    some = _repeated(np.flatnonzero(sizes > 0), sizes[sizes > 0])
    whole = np.empty(0, DIGEST)
    for most in (_PAGE, -1):
        found = digests(files, some, most, workers)
        readable = found != _NONE
        some, whole = some[readable], found[readable]
        kept = np.isin(some, _repeated(some, whole))
        some, whole = some[kept], whole[kept]
    groups: dict[bytes, list[int]] = {}
    for index, digest in zip(some.tolist(), whole, strict=True):
        groups.setdefault(digest.tobytes(), []).append(index)
    return [np.array(group) for group in groups.values()]


def count_overlap(train: Files, val: Files, say: Callable[[str], None], *, workers: int = 0) -> int:
    """How many images of `val` are in `train` too; where there are any, `say` is told, and which."""
    found = shared_images(train, val, workers=workers)
    if len(found):
        named = ", ".join(val.key(int(index)) for index in found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
        say(
            f"data.val and data.train overlap: {len(found)} of the {len(val)} images of data.val are in data.train "
            f"too, byte for byte ({named})"
        )
    return len(found)


def digests(files: Files, indices: np.ndarray, most: int, workers: int = 0) -> np.ndarray:
    """SHA-256, cut to 128 bits, of some files or of their first bytes.

    Args:
        files: The images.
        indices: int64 (n,), which of them.
        most: How many bytes are read; -1: all.
        workers: Loader threads; -1: one a core, at most 8.

    Returns:
        16 bytes each (n,); zeros where one can't be read.
    """
    plan = [indices[start : start + _BATCH].tolist() for start in range(0, len(indices), _BATCH)]
    workers = workers if len(indices) > _FEW else 0
    loader: BatchWorkers[np.ndarray] = BatchWorkers(_Digester(files, most), workers=workers)
    return np.concatenate([np.empty(0, DIGEST), *loader.run(plan)])


@dataclass(frozen=True)
class _Digester:
    files: Files
    most: int

    def make(self, requests: list[int]) -> np.ndarray:
        """The digests of some files."""
        return np.frombuffer(b"".join(map(self._one, requests)), dtype=DIGEST)

    def _one(self, index: int) -> bytes:
        try:
            data = self.files.content(index, self.most)
        except BadImage:
            return bytes(DIGEST.itemsize)
        return hashlib.sha256(data).digest()[: DIGEST.itemsize]


_NONE = np.zeros((), DIGEST)[()]


def _sizes(files: Files) -> np.ndarray:
    return np.fromiter((files.size(index) for index in range(len(files))), dtype=np.int64, count=len(files))


def _repeated(indices: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Those whose key another one has too."""
    _, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return indices[counts[places] > 1]


def _both_ways(train: np.ndarray, val: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    return (train, val), (val, train)
