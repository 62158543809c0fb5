"""A folder of images, nested or not, labels not needed."""

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ladder_hub.data.decode import decode, image_endings
from ladder_hub.data.image_source import BadImage, DataError
from ladder_hub.data.names import Names

_COMMON = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".bmp", ".gif")
_SAYS_LITTLE = {"train", "val", "valid", "validation", "test", "images"}
_HOMES = (Path("/home"), Path("/Users"), Path("/root"))


class FolderSource:
    """Every image below a folder, in the order of the relative paths; hidden files and folders are skipped.

    Where every image lies at least one folder deep and there are two or more first-level folders, those are
    the classes, in sorted order; otherwise there are no labels.
    """

    def __init__(self, root: Path, *, spec: str) -> None:
        self.spec = spec
        self._root = str(root)
        paths = sorted(_image_paths(self._root), key=os.fsencode)
        if not paths:
            raise DataError(_nothing_found(root, spec))
        self._paths = Names.pack(paths)
        self.labels, self.class_names = _classes(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def key(self, index: int) -> str:
        """Path relative to the folder."""
        return self._paths[index]

    def image(self, index: int) -> torch.Tensor:
        """Decoded image, uint8 (3, H, W), RGB. Raises BadImage."""
        key = self._paths[index]
        try:
            with open(os.path.join(self._root, key), "rb") as file:  # noqa: PTH118, PTH123 - a million times an epoch
                data = file.read()
            return decode(data)
        except OSError as error:
            raise BadImage(key, error.strerror or type(error).__name__) from None
        except ValueError as error:
            raise BadImage(key, str(error)) from None

    def fingerprint(self) -> dict[str, Any]:
        """Source, name, count, classes and the SHA-256 of relative paths, sizes and labels."""
        digest = hashlib.sha256()
        for index, path in enumerate(self._paths):
            label = "" if self.labels is None else int(self.labels[index])
            digest.update(os.fsencode(f"{path}\0{self._size(path)}\0{label}\n"))
        return {
            "source": "folder",
            "name": _public_name(Path(self._root)),
            "count": len(self),
            "classes": None if self.class_names is None else len(self.class_names),
            "digest": digest.hexdigest(),
        }

    def _size(self, path: str) -> int:
        try:
            return (Path(self._root) / path).stat().st_size
        except OSError:
            return -1


def _image_paths(root: str) -> Iterator[str]:
    """Relative paths with `/`; links to folders are followed, but not back to a folder that holds them."""
    endings = image_endings()
    pending = [("", frozenset[tuple[int, int]]())]
    while pending:
        prefix, above = pending.pop()
        entries, here = _scan(root, prefix)
        if here in above:
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if (folder := _is_folder(entry)) is None:
                continue
            if folder:
                pending.append((f"{prefix}{entry.name}/", above | {here}))
            elif os.path.splitext(entry.name)[1].lower() in endings:  # noqa: PTH122 - Path is slow for millions
                yield prefix + entry.name


def _scan(root: str, prefix: str) -> tuple[list[os.DirEntry[str]], tuple[int, int]]:
    folder = Path(root) / prefix
    try:
        status = folder.stat()
        with os.scandir(folder) as entries:
            return list(entries), (status.st_dev, status.st_ino)
    except OSError as error:
        raise DataError(f"can't list {folder}: {error.strerror}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool | None:
    """None for a link that leads round to itself: nothing is there."""
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise DataError(f"can't read {entry.path}: {error.strerror}") from None


def _classes(paths: list[str]) -> tuple[np.ndarray | None, list[str] | None]:
    firsts = [path.partition("/")[0] if "/" in path else "" for path in paths]
    names = sorted(set(firsts), key=os.fsencode)
    if "" in names or len(names) < 2:
        return None, None
    number = {name: label for label, name in enumerate(names)}
    return np.array([number[first] for first in firsts], dtype=np.int64), names


def _nothing_found(root: Path, spec: str) -> str:
    if tars := sorted(root.glob("*.tar")):
        return f"{spec} holds tar shards: name one ({spec}/{tars[0].name}) or all by a brace pattern"
    others = len(image_endings()) - len(_COMMON)
    return f"no image in {spec} or below it: looked for {', '.join(_COMMON)} and {others} other endings"


def _public_name(root: Path) -> str:
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
