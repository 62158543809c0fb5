"""Images by the names that a COCO JSON gives them, in a folder or in one tar."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ladder_hub.data.contents import stamps_inside, stamps_of
from ladder_hub.data.decode import decode
from ladder_hub.data.image_source import BadImage, expanded
from ladder_hub.data.tar_members import TarReader, members
from ladder_hub.documents import plain
from ladder_hub.downstream.detection.coco import CocoError, CocoSet

_NAMED = 3


class CocoImages:
    """The images of a `CocoSet`, in its order.

    Args:
        spec: A folder, or a plain `.tar`; `~` allowed.
        coco: Whose file names are looked for: relative to the folder, or as members of the tar.
        key: The setting that named it, for messages.

    Raises:
        CocoError: nothing there, or some of the images are not in it.
    """

    labels: np.ndarray | None = None

    def __init__(self, spec: str, coco: CocoSet, *, key: str) -> None:
        if not spec:
            raise CocoError(f"{key} is empty: give the folder or the .tar that holds the images of {coco.path}")
        self.spec = spec
        self._path, self._coco = expanded(spec), coco
        if self._path.is_dir():
            self._places = None
            missing = [name for name in coco.file_names if not self._is_file(name)]
        else:
            self._places, missing = _places(self._path, list(coco.file_names), key)
        if missing:
            some = ", ".join(plain(name) for name in missing[:_NAMED])
            raise CocoError(
                f"{len(missing)} of the {len(coco)} images of {coco.path} are not in {key}={spec}: {some}"
                + (", ..." if len(missing) > _NAMED else "")
            )

    def __len__(self) -> int:
        return len(self._coco)

    def key(self, index: int) -> str:
        """The name in the JSON."""
        return self._coco.file_names[index]

    def image(self, index: int) -> torch.Tensor:
        """The decoded image, uint8 (3, H, W), RGB.

        Raises:
            BadImage: it can't be decoded, or has another size than the JSON says.
        """
        key, data = self.key(index), self.content(index)
        try:
            image = decode(data)
        except ValueError as error:
            raise BadImage(key, str(error)) from None
        height, width = self._coco.sizes[index].tolist()
        if image.shape[1:] != (height, width):
            raise BadImage(key, f"is {image.shape[2]}x{image.shape[1]}, the JSON says {width}x{height}")
        return image

    def content(self, index: int, most: int = -1) -> bytes:
        """The image's file, or its first bytes. Raises BadImage."""
        try:
            data = self._data(index)
        except OSError as error:
            raise BadImage(self.key(index), error.strerror or type(error).__name__) from None
        return data if most < 0 else data[:most]

    def size(self, index: int) -> int:
        """Bytes of the image's file."""
        if self._places is not None:
            return int(self._places[index, 1])
        try:
            return (self._path / self.key(index)).stat().st_size
        except OSError:
            return -1

    def stamps(self) -> np.ndarray:
        """As `contents.Stamped`."""
        if self._places is None:
            return stamps_of(self._path / name for name in self._coco.file_names)
        return stamps_inside([self._path], np.zeros(len(self), np.int64), self._places[:, 0])

    def fingerprint(self) -> dict[str, Any]:
        """That of the annotations, which say what is in the images."""
        return self._coco.fingerprint()

    def _is_file(self, name: str) -> bool:
        inside = not name.startswith(("/", "~")) and ".." not in Path(name).parts
        return inside and "\0" not in name and (self._path / name).is_file()

    def _data(self, index: int) -> bytes:
        if self._places is None:
            return (self._path / self.key(index)).read_bytes()
        offset, size = self._places[index].tolist()
        with self._path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), size, offset)


def _places(path: Path, names: Sequence[str], key: str) -> tuple[np.ndarray, list[str]]:
    """Offset and size of every name in a tar, int64 (N, 2), and the names that are not there."""
    if path.suffix != ".tar" or not path.is_file():
        raise CocoError(f"{key}={path} is neither a folder nor a .tar; give the one that holds the images")
    with path.open("rb") as file:
        found = {
            member.name.removeprefix("./"): (member.offset_data, member.size)
            for member in members(TarReader(file, path), room=path.stat().st_size)
        }
    places = np.array([found.get(name.removeprefix("./"), (0, 0)) for name in names], dtype=np.int64)
    return places, [name for name in names if name.removeprefix("./") not in found]
