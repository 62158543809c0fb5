"""Images looked at: what kind they are, which can't be decoded, and a hash of what they show.

The hash is the usual perceptual one (pHash): the picture as 32 x 32 greys, of its discrete cosine transform the 8 x 8
lowest frequencies, one bit each for above or below their median. Copies that were resized or compressed again differ
in few of the 64 bits; pictures of different things differ in about 32.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from ladder_hub.data.decode import Encoded
from ladder_hub.data.image_source import BadImage
from ladder_hub.data.overlap import Files, count_overlap
from ladder_hub.data.sources import notes_of
from ladder_hub.data.workers import BatchWorkers

_BATCH = 32
_FIRST = 64
_SIDE, _KEPT = 32, 8
NEAR = 6
"""Bits of the hash in which copies may differ. Images of Tiny-ImageNet compressed to JPEG quality 50, or halved in
size, differ in 6 at most from what they were; of its 600 million pairs one that is no copy differs in so few."""
_PLAIN = 4.0
"""Deviation of the greys, of 255, below which a picture shows too little to be compared."""


class Seen(NamedTuple):
    """One image."""

    place: int
    """Which of the set."""
    reason: str
    """Why it can't be decoded; empty where it can."""
    format: str
    mode: str
    """Pillow's: RGB, L, CMYK, ..."""
    width: int
    height: int
    hash: int
    """64 bits; meaningless where `plain`."""
    plain: bool


@dataclass(frozen=True)
class ImageLook:
    """Images of a set that were looked at.

    Attributes:
        total: Images of the set.
        seen: One entry for each that was looked at, in order.
    """

    total: int
    seen: list[Seen]

    @property
    def sound(self) -> list[Seen]:
        """Those that can be decoded."""
        return [one for one in self.seen if not one.reason]

    @property
    def broken(self) -> list[Seen]:
        """The others."""
        return [one for one in self.seen if one.reason]

    def formats(self) -> dict[str, int]:
        """{format: images}, the commonest first."""
        return dict(Counter(one.format for one in self.sound).most_common())

    def modes(self) -> dict[str, int]:
        """{mode: images}, the commonest first."""
        return dict(Counter(one.mode for one in self.sound).most_common())

    def sizes(self) -> list[tuple[int, int]]:
        """(width, height) of the image with the fewest pixels, of the middle one, and of that with the most."""
        areas = sorted((one.width * one.height, one.width, one.height) for one in self.sound)
        return [areas[at][1:] for at in (0, len(areas) // 2, -1)] if areas else []


def spread(count: int, most: int) -> np.ndarray:
    """Indices from all over a set, int64: all where there are no more than `most`."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))


def look_at_images(source: Files, *, most: int, workers: int = 0) -> ImageLook:
    """Decode images from all over a set.

    Args:
        source: The images.
        most: How many.
        workers: Loader threads; -1: one a core, at most 8.
    """
    chosen = spread(len(source), most)
    plan = [chosen[start : start + _BATCH].tolist() for start in range(0, len(chosen), _BATCH)]
    loader: BatchWorkers[list[Seen]] = BatchWorkers(_Looker(source), workers=workers if len(plan) > 4 else 0)
    return ImageLook(len(source), [one for batch in loader.run(plan) for one in batch])


def look_first(train: Files, val: Files, say: Callable[[str], None], *, workers: int = 0) -> int:
    """What training and every evaluation do before they begin: a few images of each set, and those that are in both.

    Args:
        train: The images that teach.
        val: The images that are asked.
        say: Takes a line for people: what the images are, and which are in both.
        workers: Loader threads; -1: one a core, at most 8.

    Returns:
        How many images of `val` are in `train` too, byte for byte.
    """
    for key, files in (("data.train", train), ("data.val", val)):
        say(f"{key}: {told_images(look_at_images(files, most=_FIRST))}")
        for note in notes_of(files):
            say(f"{key}: {note}")
    return count_overlap(train, val, say, workers=workers)


def told_images(look: ImageLook) -> str:
    """In one line: how many, formats, modes, sizes, how many can't be decoded."""
    some = f"{look.total} images"
    if len(look.seen) < look.total:
        some += f", {len(look.seen)} of them looked at"
    parts = [" and ".join(look.formats()), " and ".join(look.modes())]
    if sizes := list(dict.fromkeys(look.sizes())):
        parts.append(" to ".join(f"{w}x{h}" for w, h in (sizes[0], sizes[-1])[: len(sizes)]))
    if look.broken:
        parts.append(f"{len(look.broken)} can't be decoded")
    return f"{some}: {', '.join(part for part in parts if part)}"


def perceptual_hash(pixels: torch.Tensor) -> tuple[int, bool]:
    """The hash of an image uint8 (3, H, W), and whether it is too plain for that to mean anything."""
    picture = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).convert("L")
    greys = np.asarray(picture.resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float64)
    waves = (_COSINES @ greys @ _COSINES.T).ravel()
    bits = waves[1:] > np.median(waves[1:])  # the first is the mean: how bright it is says little
    return int(np.packbits(bits, bitorder="little").view("<u8")[0]), bool(greys.std() < _PLAIN)


def near_pairs(first: np.ndarray, second: np.ndarray | None = None, *, most: int = NEAR) -> Iterator[np.ndarray]:
    """Which hashes differ in few bits; part by part, since of frames of a film nearly all pairs may.

    Args:
        first: uint64 (n,).
        second: uint64 (m,), other ones; None: pairs within `first`, each once.
        most: How many bits may differ.

    Returns:
        int64 (p, 2) each, places in `first` and in the other.
    """
    other = first if second is None else second
    rows = max(1, 2**23 // max(1, len(other)))
    for start in range(0, len(first), rows):
        begin = start if second is None else 0
        differing = np.bitwise_count(first[start : start + rows, None] ^ other[None, begin:])
        pairs = np.argwhere(differing <= most) + np.array([start, begin])
        yield pairs if second is not None else pairs[pairs[:, 0] < pairs[:, 1]]


@dataclass(frozen=True)
class _Looker:
    source: Files

    def make(self, requests: Sequence[int]) -> list[Seen]:
        """What some images are."""
        return [self._one(index) for index in requests]

    def _one(self, index: int) -> Seen:
        try:
            data = self.source.content(index)
            pixels = _pixels(data)
        except (BadImage, ValueError) as error:
            return Seen(index, error.reason if isinstance(error, BadImage) else str(error), "", "", 0, 0, 0, True)
        with Image.open(io.BytesIO(data)) as image:
            return Seen(index, "", image.format or "", image.mode, *image.size, *perceptual_hash(pixels))


def _pixels(data: bytes) -> torch.Tensor:
    """No larger than the hash needs, where that is cheaper. Raises ValueError."""
    encoded = Encoded(data)
    least = min(encoded.height, encoded.width)
    return encoded.read(next((times for times in (8, 4, 2) if least >= times * _SIDE), 1))


def _cosines() -> np.ndarray:
    """The lowest rows of the discrete cosine transform (type II) of 32 numbers, orthonormal."""
    places = (2 * np.arange(_SIDE) + 1) * np.pi / (2 * _SIDE)
    rows = np.cos(np.arange(_KEPT)[:, None] * places) * np.sqrt(2 / _SIDE)
    rows[0] /= np.sqrt(2)
    return rows


_COSINES = _cosines()
