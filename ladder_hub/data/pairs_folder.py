"""Pairs as files: a folder with `images` and `masks`, or a list that names them."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from ladder_hub.data.contents import stamps_of
from ladder_hub.data.folder import public_name
from ladder_hub.data.image_source import DataError
from ladder_hub.data.listing import list_images

_VOC_MASKS = ("SegmentationClass", "SegmentationClassAug")
_NAMED = 3


class FilePairs:
    """N pairs of files.

    Args:
        kind: For the fingerprint.
        name: Likewise.
        root: What `pairs` are relative to.
        pairs: Paths of image and mask.
        digest: SHA-256 of what was listed.
        lone: Images without a mask of their own, which are left out.
    """

    def __init__(
        self, kind: str, name: str, root: Path, pairs: Sequence[tuple[str, str]], *, digest: str, lone: int = 0
    ) -> None:
        self.kind, self.name, self.digest, self.lone = kind, name, digest, lone
        self._root, self._pairs = root, pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def key(self, index: int) -> str:
        """Path of the image."""
        return self._pairs[index][0]

    def image_data(self, index: int) -> bytes:
        """The image file. Raises OSError."""
        return (self._root / self._pairs[index][0]).read_bytes()

    def image_size(self, index: int) -> int:
        """Bytes of the image file. Raises OSError."""
        return (self._root / self._pairs[index][0]).stat().st_size

    def stamps(self, which: int) -> np.ndarray:
        """Of all images (0) or masks (1)."""
        return stamps_of(self._root / pair[which] for pair in self._pairs)

    def mask_data(self, index: int) -> bytes:
        """The mask file. Raises OSError."""
        return (self._root / self._pairs[index][1]).read_bytes()


def folder_pairs(root: Path, *, spec: str) -> FilePairs:
    """The images below `root/images` that have a PNG of the same path and stem below `root/masks`.

    Raises:
        DataError: there is no such folder, or no pair in it.
    """
    parts = [root / "images", root / "masks"]
    if not all(part.is_dir() for part in parts):
        raise DataError(_other_layout(root, spec))
    images, masks = (list_images(str(part)) for part in parts)
    by_stem = {_stem(path): path for path in masks.paths if path.lower().endswith(".png")}
    wanted = {_stem(path): path for path in reversed(list(images.paths))}
    both = [stem for stem in sorted(wanted) if stem in by_stem]
    if not both:
        raise DataError(
            f"{spec}: no image in images/ has a mask of the same name in masks/ "
            f"({len(images.paths)} images, {len(by_stem)} PNGs)"
        )
    digest = hashlib.sha256(f"{images.digest} {masks.digest}".encode()).hexdigest()
    pairs = [(f"images/{wanted[stem]}", f"masks/{by_stem[stem]}") for stem in both]
    return FilePairs(
        "pairs in a folder", public_name(root), root, pairs, digest=digest, lone=len(images.paths) - len(both)
    )


def listed_pairs(file: Path, *, spec: str) -> FilePairs:
    """The pairs that a text file lists, one a line.

    A line is `IMAGE MASK`, paths relative to the list's folder, with a tab between them where they hold spaces. Or it
    is a name, as in VOC's own lists (`VOC2012/ImageSets/Segmentation/train.txt`): the image is `JPEGImages/NAME.jpg`,
    the mask `NAME.png` in `SegmentationClass`, and where that has none in `SegmentationClassAug`.

    Raises:
        DataError: the list can't be read, or names what is not there.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"can't read {spec}: {error}") from None
    pairs = [_listed(file, line, number) for number, line in enumerate(lines, start=1) if line]
    if not pairs:
        raise DataError(f"{spec} lists nothing")
    missing = [path for pair in pairs for path in pair if not (file.parent / path).is_file()]
    if missing:
        some = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
        raise DataError(f"{len(missing)} of the files that {spec} names are not there: {some}")
    digest = hashlib.sha256()
    for pair in pairs:
        sizes = [(file.parent / path).stat().st_size for path in pair]
        digest.update(os.fsencode(f"{pair[0]}\0{sizes[0]}\0{pair[1]}\0{sizes[1]}\n"))
    return FilePairs("listed pairs", file.name, file.parent, pairs, digest=digest.hexdigest())


def _listed(file: Path, line: str, number: int) -> tuple[str, str]:
    parts = line.split("\t") if "\t" in line else line.split()
    if len(parts) == 1:
        return _of_voc(file, parts[0])
    if len(parts) > 2 or "\0" in line:
        raise DataError(f"{file}: line {number} is neither a name nor an image and a mask; a tab may part them")
    return parts[0], parts[1]


def _of_voc(file: Path, name: str) -> tuple[str, str]:
    if not (file.parent / "../../JPEGImages").is_dir():
        raise DataError(f"{file}: a line with one name needs VOC's folders: JPEGImages is not two folders above")
    masks = [f"../../{folder}/{name}.png" for folder in _VOC_MASKS]
    there = (mask for mask in masks if (file.parent / mask).is_file())
    return f"../../JPEGImages/{name}.jpg", next(there, masks[0])


def _stem(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))


def _other_layout(root: Path, spec: str) -> str:
    if (root / "JPEGImages").is_dir():
        return f"{spec} is laid out as VOC is: name the list, {spec}/ImageSets/Segmentation/train.txt"
    if tars := sorted(root.glob("*.tar")):
        return f"{spec} holds tar shards: name one ({spec}/{tars[0].name}) or all by a brace pattern"
    return f"{spec} needs the folders images and masks, with equal names in both (images/a.jpg, masks/a.png)"
