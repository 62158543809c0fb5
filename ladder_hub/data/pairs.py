"""Images with a mask each: what segmentation learns from and is judged on.

Three ways to give them: tar shards (`pairs_tar`), a folder with `images` and `masks`, a list (`pairs_folder`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from ladder_hub.data.decode import Encoded
from ladder_hub.data.image_source import BadImage, DataError, decoded, expanded
from ladder_hub.data.pairs_classes import class_names_beside
from ladder_hub.data.pairs_folder import folder_pairs, listed_pairs
from ladder_hub.data.pairs_mask import MOST_CLASSES, decode_mask, decode_values
from ladder_hub.data.pairs_tar import TarPairs
from ladder_hub.data.picture import Picture
from ladder_hub.data.shards import expand_shards

_TRIED = 4


class Pair(NamedTuple):
    """An image and what is where in it."""

    image: torch.Tensor
    """uint8 (3, H, W), RGB."""
    mask: torch.Tensor
    """uint8 (H, W), class indices; 255 is ignored."""


class Places(Protocol):
    """Where the files of N pairs lie; pickles."""

    kind: str
    name: str
    digest: str
    lone: int

    def __len__(self) -> int: ...

    def key(self, index: int) -> str:
        """What a user can find."""
        ...

    def image_data(self, index: int) -> bytes:
        """The image file. Raises OSError, ValueError."""
        ...

    def image_size(self, index: int) -> int:
        """Bytes of the image file. Raises OSError."""
        ...

    def mask_data(self, index: int) -> bytes:
        """The mask file. Raises OSError, ValueError."""
        ...

    def stamps(self, which: int) -> np.ndarray:
        """Of all images (0) or masks (1), as `contents.Stamped`."""
        ...


@dataclass(frozen=True)
class MaskFiles:
    """The masks of pairs as files, as `overlap.Files` has them."""

    spec: str
    places: Places

    def __len__(self) -> int:
        return len(self.places)

    def key(self, index: int) -> str:
        """That of the pair."""
        return self.places.key(index)

    def size(self, index: int) -> int:
        """Bytes of the file; below 0 where it can't be read."""
        try:
            return len(self.places.mask_data(index))
        except (OSError, ValueError):
            return -1

    def content(self, index: int, most: int = -1) -> bytes:
        """The file, or its first bytes. Raises BadImage."""
        try:
            data = self.places.mask_data(index)
        except (OSError, ValueError) as error:
            raise BadImage(self.key(index), f"its mask: {error}") from None
        return data if most < 0 else data[:most]

    def stamps(self) -> np.ndarray:
        """As `contents.Stamped`."""
        return self.places.stamps(1)


class PairSource:
    """N pairs with random access; a `Source` of images too, without labels of whole images.

    Args:
        places: Where they lie.
        spec: What the user typed.
        classes: Labels are 0..classes - 1.
        class_names: As many, None where only numbers are known.
        values: What stands in the masks for class 0, 1, ...; empty: the classes themselves.

    Attributes:
        lone: Images that were left out since they have no mask of their own.
    """

    labels: np.ndarray | None = None

    def __init__(
        self,
        places: Places,
        *,
        spec: str,
        classes: int,
        class_names: list[str] | None = None,
        values: Sequence[int] = (),
    ) -> None:
        self.spec, self.classes, self.class_names = spec, classes, class_names
        self.values = tuple(values)
        self.lone = places.lone
        self._places = places

    @property
    def note(self) -> str:
        """What people should know of how it was read."""
        return f"{self.lone} images have no mask of their own and are left out" if self.lone else ""

    def __len__(self) -> int:
        return len(self._places)

    def key(self, index: int) -> str:
        """What a user can find: the image's path, or `train.tar:2007_000032.jpg`."""
        return self._places.key(index)

    def picture(self, index: int) -> Picture:
        """The image, perhaps not decoded yet. Raises BadImage."""
        data = self.content(index)
        try:
            return Encoded(data)
        except ValueError as error:
            raise BadImage(self.key(index), str(error)) from None

    def content(self, index: int, most: int = -1) -> bytes:
        """The image's file, or its first bytes. Raises BadImage."""
        try:
            data = self._places.image_data(index)
        except OSError as error:
            raise BadImage(self.key(index), error.strerror or type(error).__name__) from None
        except ValueError as error:
            raise BadImage(self.key(index), str(error)) from None
        return data if most < 0 else data[:most]

    def size(self, index: int) -> int:
        """Bytes of the image's file."""
        try:
            return self._places.image_size(index)
        except OSError:
            return -1

    def stamps(self) -> np.ndarray:
        """Of the images, as `contents.Stamped`."""
        return self._places.stamps(0)

    def masks(self) -> "MaskFiles":
        """The files of the masks."""
        return MaskFiles(self.spec, self._places)

    def image(self, index: int) -> torch.Tensor:
        """The image alone, uint8 (3, H, W), RGB. Raises BadImage."""
        return decoded(self, index)

    def pair(self, index: int) -> Pair:
        """Image and mask.

        Raises:
            BadImage: one of them can't be decoded, their sizes differ, the mask holds colours, or a label that no class
                has.
        """
        picture = self.picture(index)
        data = self._mask_data(index)
        try:
            mask = decode_mask(
                data, height=picture.height, width=picture.width, classes=self.classes, values=self.values
            )
            return Pair(picture.read(), torch.from_numpy(mask))
        except ValueError as error:
            raise BadImage(self.key(index), str(error)) from None

    def stored_mask(self, index: int) -> np.ndarray:
        """What stands in the file of a mask, whether a class has it or not; the image's pixels are not decoded.

        Returns:
            Integers or bool (H, W).

        Raises:
            BadImage: as `pair`, but for labels that no class has.
        """
        picture = self.picture(index)
        try:
            return decode_values(self._mask_data(index), height=picture.height, width=picture.width)
        except ValueError as error:
            raise BadImage(self.key(index), str(error)) from None

    def _mask_data(self, index: int) -> bytes:
        try:
            return self._places.mask_data(index)
        except OSError as error:
            raise BadImage(self.key(index), f"its mask: {error.strerror or type(error).__name__}") from None
        except ValueError as error:
            raise BadImage(self.key(index), str(error)) from None

    def fingerprint(self) -> dict[str, Any]:
        """Source, name, count, classes and the SHA-256 of names and sizes of images and masks."""
        places = self._places
        counts = {"count": len(self), "classes": self.classes}
        return {"source": places.kind, "name": places.name, **counts, "digest": places.digest}


def open_pairs(train: str, val: str, *, classes: int = 0, values: Sequence[int] = ()) -> tuple[PairSource, PairSource]:
    """The pairs to learn from and those to be judged on, of the same classes.

    Args:
        train: One `.tar` or a brace pattern of them; a folder with `images` and `masks`; a list, `.txt`. See
            `pairs_tar` and `pairs_folder` for what is in them.
        val: Likewise.
        classes: How many there are; 0: `classes.txt` in the folder, or beside the list or tar, tells their names.
        values: What stands in the masks for class 0, 1, ... (`[0, 255]`); empty: the classes themselves.

    Raises:
        DataError: nothing usable there, or the classes are not known or differ; one line.
    """
    specs = {"train": train, "val": val}
    places = {split: _open(spec, split) for split, spec in specs.items()}
    names = [class_names_beside(expanded(spec)) for spec in specs.values()]
    if names[0] and names[1] and names[0] != names[1]:
        raise DataError(f"the classes.txt of data.train={train} and that of data.val={val} differ")
    known = names[0] or names[1]
    count = classes or len(values) or len(known or ())
    if not count:
        raise DataError(
            "how many classes there are is not known: give data.classes=21, say, or classes.txt beside the data"
        )
    if known and len(known) != count:
        raise DataError(f"data.classes={count}, but classes.txt names {len(known)}")
    if values and len(values) != count:
        raise DataError(f"data.classes={count}, but data.values names {len(values)}: one for each class, 0 first")
    if not 2 <= count <= MOST_CLASSES:
        raise DataError(f"data.classes={count}: 2 to {MOST_CLASSES} can be told apart")
    sources = {s: PairSource(places[s], spec=specs[s], classes=count, class_names=known, values=values) for s in specs}
    for split, source in sources.items():
        _check_some(source, split)
    return sources["train"], sources["val"]


def _open(spec: str, split: str) -> Places:
    if not spec:
        raise DataError(
            f"data.{split} is empty: give a .tar of <key>.jpg and <key>.png, a folder with images and masks, or a list"
        )
    path = expanded(spec)
    try:
        if path.is_dir():
            return folder_pairs(path, spec=spec)
        if path.suffix == ".txt" and path.is_file():
            return listed_pairs(path, spec=spec)
        return _shards(spec, split)
    except OSError as error:
        raise DataError(f"can't read data.{split}={spec}: {error.strerror}") from None


def _shards(spec: str, split: str) -> TarPairs:
    shards = expand_shards(spec)
    for shard in shards:
        if not shard.exists():
            raise DataError(f"data.{split}={spec} does not exist")
        if shard.suffix != ".tar" or not shard.is_file():
            raise DataError(f"data.{split}={spec}: {Path(shard).name} is neither a folder, nor a .tar, nor a .txt list")
    return TarPairs(shards, spec=spec)


def _check_some(source: PairSource, split: str) -> None:
    """Where none of the first can be used, the data as a whole is not what it should be."""
    failures = []
    for index in range(min(_TRIED, len(source))):
        try:
            source.pair(index)
            return
        except BadImage as error:
            failures.append(error)
    first = failures[0]
    what = "; correct data.classes, or give data.values" if first.reason.startswith("label ") else ""
    raise DataError(f"data.{split}={source.spec}: {first.key}: {first.reason}{what}")
