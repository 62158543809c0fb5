"""A folder of images, nested or not, labels not needed."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ladder_hub.data.contents import stamps_of
from ladder_hub.data.decode import Encoded, image_endings
from ladder_hub.data.image_source import BadImage, DataError, Progress, decoded, no_progress
from ladder_hub.data.listing import list_images
from ladder_hub.data.picture import Picture

_COMMON = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".bmp", ".gif")
_SAYS_LITTLE = {"train", "val", "valid", "validation", "test", "images"}
_HOMES = (Path("/home"), Path("/Users"), Path("/root"))


class FolderSource:
    """Every image below a folder, in the order of the relative paths; hidden files and folders are skipped.

    Where every image lies at least one folder deep and there are two or more first-level folders, those are
    the classes, in sorted order; otherwise there are no labels.
    """

    def __init__(self, root: Path, *, spec: str, progress: Progress = no_progress) -> None:
        self.spec = spec
        self.note = ""
        """What people should know of how this folder was chosen."""
        self._root = str(root)
        listing = list_images(self._root, progress=progress)
        if not len(listing.paths):
            raise DataError(_nothing_found(root, spec))
        self._paths, self._digest = listing.paths, listing.digest
        self.labels, self.class_names = listing.label, listing.class_names

    def __len__(self) -> int:
        return len(self._paths)

    def key(self, index: int) -> str:
        """Path relative to the folder."""
        return self._paths[index]

    @property
    def unlabelled(self) -> str:
        """The first image that lies beside the folders of the others."""
        lone = [path for path in self._paths if "/" not in path and os.sep not in path]
        return lone[0] if 0 < len(lone) < len(self) else ""

    def picture(self, index: int) -> Picture:
        """The image, perhaps not decoded yet. Raises BadImage."""
        data = self.content(index)
        try:
            return Encoded(data)
        except ValueError as error:
            raise BadImage(self._paths[index], str(error)) from None

    def content(self, index: int, most: int = -1) -> bytes:
        """The file, or its first bytes. Raises BadImage."""
        key = self._paths[index]
        try:
            with open(os.path.join(self._root, key), "rb") as file:  # noqa: PTH118, PTH123 - a million times an epoch
                return file.read(most)
        except OSError as error:
            raise BadImage(key, error.strerror or type(error).__name__) from None

    def size(self, index: int) -> int:
        """Bytes of the file as it is now."""
        try:
            return os.stat(os.path.join(self._root, self._paths[index])).st_size  # noqa: PTH116, PTH118 - likewise
        except OSError:
            return -1

    def stamps(self) -> np.ndarray:
        """As `contents.Stamped`: by the files as they are now."""
        return stamps_of(os.path.join(self._root, path) for path in self._paths)  # noqa: PTH118 - likewise

    def image(self, index: int) -> torch.Tensor:
        """Decoded image, uint8 (3, H, W), RGB. Raises BadImage."""
        return decoded(self, index)

    def fingerprint(self) -> dict[str, Any]:
        """Source, name, count, classes and the SHA-256 of relative paths, sizes (when listed) and labels."""
        return {
            "source": "folder",
            "name": public_name(Path(self._root)),
            "count": len(self),
            "classes": None if self.class_names is None else len(self.class_names),
            "digest": self._digest,
        }


def _nothing_found(root: Path, spec: str) -> str:
    if tars := sorted(root.glob("*.tar")):
        return f"{spec} holds tar shards: name one ({spec}/{tars[0].name}) or all by a brace pattern"
    others = len(image_endings()) - len(_COMMON)
    return f"no image in {spec} or below it: looked for {', '.join(_COMMON)} and {others} other endings"


def public_name(root: Path) -> str:
    """The folder's own name; `train` and the like say little, so the name above comes along.

    It is published: the name of a home folder, which is a person's, stays out.
    """
    root = root.resolve()
    # Unlike Path.home, this is `~` where the home folder is not known.
    home = Path(os.path.expanduser("~")).resolve()  # noqa: PTH111
    if root == home:
        return "~"
    above = root.parent
    private = above in (home, *_HOMES) or above.parent in _HOMES or above.name == ""
    return f"{above.name}/{root.name}" if root.name.lower() in _SAYS_LITTLE and not private else root.name
