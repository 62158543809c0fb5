"""WebDataset tar shards on a local disk, read at random places."""

import os
import threading
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from webdataset.shardlists import expand_urls

from ladder_hub.data.contents import stamps_inside
from ladder_hub.data.decode import Encoded
from ladder_hub.data.image_source import BadImage, DataError, Progress, decoded, expanded, no_progress
from ladder_hub.data.picture import Picture
from ladder_hub.data.tar_cache import read_index

_OPEN_FILES = 128  # well below the usual limit of 1024 a process; reopening costs microseconds


class ShardSource:
    """The images of one or more tar shards, in their order.

    Labels are the samples' `.cls` numbers; where one sample has none, there are no labels.
    """

    class_names: list[str] | None = None

    def __init__(self, shards: list[Path], *, spec: str, progress: Progress = no_progress) -> None:
        self.spec = spec
        self._shards = [str(shard) for shard in shards]
        self._index = read_index(shards, progress=progress)
        self._files: dict[int, FileIO] = {}
        self._opening = threading.Lock()
        if not len(self._index.members):
            raise DataError(f"no image in {spec}: its {len(shards)} shard(s) hold other files only")
        labels = self._index.label
        self.labels: np.ndarray | None = None if (labels < 0).any() else labels
        self.left_out = (self._index.left_out, self._index.left_out_name)

    def __len__(self) -> int:
        return len(self._index.members)

    def key(self, index: int) -> str:
        """`train-000001.tar:n0123_4.jpg`."""
        shard = self._shards[self._index.shard[index]]
        return f"{Path(shard).name}:{self._index.members[index]}"

    @property
    def unlabelled(self) -> str:
        """The first image without a label where others have one."""
        without = np.flatnonzero(self._index.label < 0)
        return self.key(int(without[0])) if 0 < len(without) < len(self) else ""

    def picture(self, index: int) -> Picture:
        """The image, perhaps not decoded yet. Raises BadImage."""
        data = self.content(index)
        try:
            return Encoded(data)
        except ValueError as error:
            raise BadImage(self.key(index), str(error)) from None

    def content(self, index: int, most: int = -1) -> bytes:
        """The member, or its first bytes. Raises BadImage."""
        whole = self.size(index)
        size = whole if most < 0 else min(whole, most)
        try:
            file = self._file(int(self._index.shard[index]))
            data = os.pread(file.fileno(), size, int(self._index.offset[index]))
        except OSError as error:
            raise BadImage(self.key(index), error.strerror or type(error).__name__) from None
        if len(data) < size:
            raise BadImage(self.key(index), "the shard became shorter while in use")
        return data

    def size(self, index: int) -> int:
        """Bytes of the member."""
        return int(self._index.size[index])

    def stamps(self) -> np.ndarray:
        """As `contents.Stamped`: by the shards as they are now."""
        return stamps_inside(self._shards, self._index.shard, self._index.offset)

    def image(self, index: int) -> torch.Tensor:
        """Decoded image, uint8 (3, H, W), RGB. Raises BadImage."""
        return decoded(self, index)

    def fingerprint(self) -> dict[str, Any]:
        """Source, name, count, classes and the SHA-256 of shard and member names, sizes and labels."""
        return {
            "source": "shards",
            "name": Path(self.spec).name,
            "count": len(self),
            "classes": None if self.labels is None else len(np.unique(self.labels)),
            "digest": self._index.digest,
        }

    def _file(self, shard: int) -> FileIO:
        """An open shard. One that is put aside is closed by its last reader: its number may not become another's."""
        with self._opening:
            if shard not in self._files:
                if len(self._files) >= _OPEN_FILES:
                    self._files.pop(next(iter(self._files)))
                self._files[shard] = FileIO(self._shards[shard])
            return self._files[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_files", "_opening")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_files": {}, "_opening": threading.Lock()}


def expand_shards(spec: str) -> list[Path]:
    """The shards that a brace pattern names, in its order.

    Raises:
        DataError: a brace without its partner, or shards that are not there; the first is named.
    """
    try:
        shards = [expanded(part) for part in expand_urls(spec)]
    except (ValueError, AssertionError) as error:
        raise DataError(f"{spec} is not a brace pattern ({error}); write train-{{000000..000005}}.tar") from None
    missing = [shard for shard in shards if not shard.is_file()]
    if missing and len(shards) > 1:
        raise DataError(f"{missing[0]} is missing, {len(missing)} of the {len(shards)} shards of {spec} in all")
    return shards
