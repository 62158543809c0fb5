"""Pairs in tar shards: `<key>.jpg` and `<key>.png`, or `<key>.png` and `<key>.mask.png`, next to each other."""

import hashlib
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from webdataset.tariterators import base_plus_ext

from ladder_hub.data.cache import load_arrays, save_arrays, whole_names
from ladder_hub.data.contents import stamps_inside
from ladder_hub.data.decode import image_endings
from ladder_hub.data.image_source import DataError
from ladder_hub.data.names import Names
from ladder_hub.data.tar_cache import stamp
from ladder_hub.data.tar_members import TarReader, members

_FORMAT = "ladder-hub pair index 3"
_MASK, _PLAIN_MASK = "mask.png", "png"

Found = dict[str, tarfile.TarInfo]
"""The image files of one key by their endings, lower case."""


class TarPairs:
    """Where N pairs lie in tar shards: read from the headers once, then from the cache while the shards don't change.

    Args:
        shards: Plain `.tar` files.
        spec: What the user typed.

    Attributes:
        digest: SHA-256 of names and sizes.
        lone: Images without a mask of their own, which are left out.

    Raises:
        DataError: a shard is no tar, is cut short, or has a member that is refused; or there is no pair.
    """

    kind = "pairs in shards"

    def __init__(self, shards: list[Path], *, spec: str) -> None:
        self.name, self._shards = Path(spec).name, [str(shard) for shard in shards]
        arrays = _arrays(shards)
        self._shard, self._spans = arrays["shard"], arrays["spans"]
        self._names = whole_names(arrays["joined"], arrays["ends"])
        self.lone, self.digest = int(arrays["lone"]), str(arrays["digest"])
        if not len(self._names):
            found = f"{self.lone} images without a mask" if self.lone else "no images"
            raise DataError(f"{spec} has no pairs but {found}: each needs <key>.jpg and <key>.png next to each other")

    def __len__(self) -> int:
        return len(self._names)

    def key(self, index: int) -> str:
        """`train.tar:2007_000032.jpg`."""
        return f"{Path(self._shards[self._shard[index]]).name}:{self._names[index]}"

    def image_data(self, index: int) -> bytes:
        """The image file. Raises OSError, ValueError."""
        return self._read(index, 0)

    def image_size(self, index: int) -> int:
        """Bytes of the image file."""
        return int(self._spans[index, 0, 1])

    def stamps(self, which: int) -> np.ndarray:
        """Of all images (0) or masks (1)."""
        return stamps_inside(self._shards, self._shard, self._spans[:, which, 0])

    def mask_data(self, index: int) -> bytes:
        """The mask file. Raises OSError, ValueError."""
        return self._read(index, 1)

    def _read(self, index: int, which: int) -> bytes:
        offset, size = self._spans[index, which].tolist()
        with open(self._shards[self._shard[index]], "rb", buffering=0) as file:  # noqa: PTH123 - as in FolderSource
            data = os.pread(file.fileno(), size, offset)
        if len(data) < size:
            raise ValueError("the shard became shorter while in use")
        return data


def _arrays(shards: list[Path]) -> dict[str, np.ndarray]:
    name = stamp(shards, _FORMAT)
    kept = load_arrays(name)
    if kept is not None and _is_sound(kept, shards):
        return kept
    arrays = _indexed(shards)
    save_arrays(name, arrays)
    return arrays


def _indexed(shards: list[Path]) -> dict[str, np.ndarray]:
    shard_of, spans, names, lone = [], [], [], 0
    digest = hashlib.sha256()
    for number, shard in enumerate(shards):
        for found in _keys(shard):
            image, mask = _pair(found)
            if image is None or mask is None:
                lone += len(found) - (mask is not None)
                continue
            lone += len(found) - 2  # other pictures of the key
            shard_of.append(number)
            spans.append(((image.offset_data, image.size), (mask.offset_data, mask.size)))
            names.append(image.name)
            digest.update(os.fsencode(f"{shard.name}:{image.name}\0{image.size}\0{mask.name}\0{mask.size}\n"))
    packed = Names.pack(names)
    return {
        "shard": np.array(shard_of, dtype=np.int64),
        "spans": np.array(spans, dtype=np.int64).reshape(-1, 2, 2),
        "joined": packed.joined,
        "ends": packed.ends,
        "lone": np.array(lone),
        "digest": np.array(digest.hexdigest()),
    }


def _keys(shard: Path) -> Iterator[Found]:
    endings, current = image_endings(), ""
    found: Found = {}
    try:
        with shard.open("rb") as file:
            for member in members(TarReader(file, shard), room=shard.stat().st_size):
                key, ending = base_plus_ext(member.name)
                if key is None:
                    continue
                if "." in ending and ending.lower() != _MASK:  # a frame or a date: `cam0.0001.jpg` and its mask
                    key, ending = f"{key}.{ending.rpartition('.')[0]}", ending.rpartition(".")[2]
                ending = ending.lower()
                if key != current or ending in found:  # a name again is a pair of its own
                    yield found
                    current, found = key, {}
                if f".{ending.rpartition('.')[2]}" in endings:
                    found[ending] = member
            yield found
    except OSError as error:
        raise DataError(f"can't read {shard}: {error.strerror}") from None


def _pair(found: Found) -> tuple[tarfile.TarInfo | None, tarfile.TarInfo | None]:
    """Image and mask of a key; the image has an ending of one part."""
    mask = _MASK if _MASK in found else _PLAIN_MASK
    images = [member for ending, member in found.items() if ending != mask and "." not in ending]
    if not images and mask == _PLAIN_MASK:  # a PNG alone is an image that lacks its mask
        return found.get(mask), None
    return images[0] if images else None, found.get(mask)


def _is_sound(arrays: dict[str, np.ndarray], shards: list[Path]) -> bool:
    """Whether every file lies inside its shard: a wrong index may read wrong bytes, never too many of them."""
    try:
        shard, spans, lone = (arrays[name] for name in ("shard", "spans", "lone"))
        names = whole_names(arrays["joined"], arrays["ends"])
        digest = str(arrays["digest"])
    except (KeyError, ValueError):
        return False
    shapes = {"shard": (len(names),), "spans": (len(names), 2, 2), "lone": ()}
    if any(arrays[name].shape != shape or arrays[name].dtype != np.int64 for name, shape in shapes.items()):
        return False
    # Names of the index have no control character, and its digest is one.
    if (names.joined < ord(" ")).any() or not re.fullmatch(r"[0-9a-f]{64}", digest) or lone < 0:
        return False
    if ((shard < 0) | (shard >= len(shards))).any():
        return False
    room = np.array([path.stat().st_size for path in shards], dtype=np.int64)[shard][:, None]
    offset, size = spans[..., 0], spans[..., 1]
    # In this order no sum can overflow.
    return bool(((offset >= 0) & (size >= 0) & (offset <= room) & (size <= room - offset)).all())
