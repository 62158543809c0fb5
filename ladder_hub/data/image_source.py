"""What every source of images offers, and the two ways in which it fails.

Sources are plain data (paths, offsets): they pickle, and a process opens its own files when it needs them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ladder_hub.data.picture import Picture
from ladder_hub.errors import UserError

Progress = Callable[[int, int | None, str], None]
"""Called as (done, total, what) while something long is read; total is None where it is not known."""


def no_progress(done: int, total: int | None, what: str) -> None:
    """Says nothing."""


class DataError(UserError):
    """The images asked for are not there or can't be used."""


def expanded(path: str | Path) -> Path:
    """The path with `~` and `~user` as the home folder.

    Raises:
        DataError: no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise DataError(f"{path}: the home folder of {Path(path).parts[0]} is not known; write the path out") from None


class BadImage(Exception):  # noqa: N818 - not an error of the run: the loader replaces the image and counts it
    """One image that can't be read or decoded.

    Attributes:
        key: What a user can find: a relative path, or `train-000001.tar:n0123_4.jpg`.
        reason: A few words: "truncated", "not an image", ...
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason


class Source(Protocol):
    """A fixed, ordered set of images with random access.

    Attributes:
        spec: What the user typed.
        labels: int64 (N,), or None when the images carry no labels.
        class_names: Names in the order of the labels; None where only numbers are known.
    """

    spec: str
    labels: np.ndarray | None
    class_names: list[str] | None

    def __len__(self) -> int: ...

    def key(self, index: int) -> str:
        """What a user can find: a relative path, or `train-000001.tar:n0123_4.jpg`."""
        ...

    def picture(self, index: int) -> Picture:
        """The image, perhaps not decoded yet.

        Raises:
            BadImage: it can't be read, or is no image.
        """
        ...

    def image(self, index: int) -> torch.Tensor:
        """The decoded image, uint8 (3, H, W), RGB.

        Raises:
            BadImage: it can't be read or decoded.
        """
        ...

    def size(self, index: int) -> int:
        """Bytes of the image's file; below 0 where there is no file, or none that can be looked at."""
        ...

    def content(self, index: int, most: int = -1) -> bytes:
        """The image's file, or its first `most` bytes.

        Raises:
            BadImage: it can't be read.
        """
        ...

    def stamps(self) -> np.ndarray | None:
        """What tells that the files are unchanged, as `contents.Stamped`; None where there is nothing to tell it by."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """What provenance records: source, name, count, classes, digest (SHA-256 of the listing)."""
        ...


def decoded(source: Source, index: int) -> torch.Tensor:
    """What most sources offer as their `image`: the whole picture. Raises BadImage."""
    try:
        return source.picture(index).read()
    except ValueError as error:
        raise BadImage(source.key(index), str(error)) from None
