"""The embedded default: textured shapes on textured grounds, made on demand, the same bits on every machine.

The class is form and texture ("spotted star"), never colour: colours, place, size, turn, ground and smaller
companions are drawn at random. Each image also has boxes and masks, for detection without a download.
"""

import hashlib
import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from ladder_hub.data.drawing import CLASSES, Dice, splitmix64
from ladder_hub.data.picture import Picture, Pixels
from ladder_hub.data.scene import Thing, paint_ground, paint_thing, throw_things

CLASS_NAMES = [name for name, _, _ in CLASSES]

_VERSION = "ladder-hub shapes 1"
_COUNT = {"train": 4096, "val": 1024}
_STREAM = {"train": 0x51AB_1E00_0000_0000, "val": 0x51AB_1E01_0000_0000}


@dataclass(frozen=True)
class ShapesSample:
    """One image with all that is known about it.

    Attributes:
        image: uint8 (3, H, W), RGB.
        label: Class of the main object, the largest and the first.
        boxes: float32 (K, 4), x0 y0 x1 y1 in pixels, the far edges exclusive.
        masks: bool (K, H, W).
        labels: int64 (K,).
    """

    image: torch.Tensor
    label: int
    boxes: torch.Tensor
    masks: torch.Tensor
    labels: torch.Tensor


class ShapesSource:
    """`count` procedural images.

    Args:
        count: How many; None for 4096 (train) or 1024 (val). A longer set begins with the shorter one.
        split: train and val share no image.
        size: Side in pixels.
    """

    def __init__(self, count: int | None = None, *, split: Literal["train", "val"], size: int = 64) -> None:
        self._count = _COUNT[split] if count is None else count
        self._split = split
        self._size = size
        self.spec = "shapes" if count is None else f"shapes:{count}"
        self.class_names: list[str] | None = list(CLASS_NAMES)
        self._keys = splitmix64(np.arange(self._count, dtype=np.uint64) ^ np.uint64(_STREAM[split]))
        classes = splitmix64(self._keys) % np.uint64(len(CLASS_NAMES))
        self.labels: np.ndarray | None = classes.astype(np.int64)

    def __len__(self) -> int:
        return self._count

    def key(self, index: int) -> str:
        """`shapes/train/000123`."""
        return f"shapes/{self._split}/{index:06d}"

    def picture(self, index: int) -> Picture:
        """The image."""
        return Pixels(self.image(index))

    def image(self, index: int) -> torch.Tensor:
        """The image, uint8 (3, size, size), RGB."""
        return torch.from_numpy(self._draw(index)[0])

    def size(self, index: int) -> int:
        """There is no file: an image is drawn, and train and val have none in common."""
        return -1

    def stamps(self) -> None:
        """There is no file."""

    def content(self, index: int, most: int = -1) -> bytes:
        """A PNG of it."""
        file = io.BytesIO()
        Image.fromarray(self._draw(index)[0].transpose(1, 2, 0)).save(file, "PNG")
        return file.getvalue() if most < 0 else file.getvalue()[:most]

    def sample(self, index: int) -> ShapesSample:
        """The image with its label, boxes and masks."""
        pixels, objects, masks = self._draw(index)
        return ShapesSample(
            image=torch.from_numpy(pixels),
            label=objects[0].label,
            boxes=torch.from_numpy(np.stack([_box(mask) for mask in masks])),
            masks=torch.from_numpy(np.stack(masks)),
            labels=torch.tensor([thing.label for thing in objects]),
        )

    def fingerprint(self) -> dict[str, Any]:
        """Source, name, count, classes and a SHA-256 of the version and what was asked for."""
        assert self.labels is not None, "every image has a class"
        digest = hashlib.sha256(f"{_VERSION} {self._split} {self._count} {self._size}".encode())
        digest.update(self.labels.astype("<i8").tobytes())
        return {
            "source": "shapes",
            "name": "shapes",
            "count": self._count,
            "classes": len(CLASS_NAMES),
            "digest": digest.hexdigest(),
            "content": digest.hexdigest(),  # what is drawn is decided by it
        }

    def _draw(self, index: int) -> tuple[np.ndarray, list[Thing], list[np.ndarray]]:
        assert self.labels is not None, "every image has a class"
        dice = Dice(int(self._keys[index]))
        objects = throw_things(dice, int(self.labels[index]))
        canvas = paint_ground(dice, self._size)
        masks = [paint_thing(canvas, thing, dice, self._size) for thing in objects]
        words = dice.words(self._size * self._size).astype("<u8", copy=False)
        grain = words.view(np.uint8)[: canvas.size]
        canvas += grain.reshape(canvas.shape) * np.float32(1 / 16) - 8.0
        return np.floor(np.clip(canvas, 0.0, 255.0) + 0.5).astype(np.uint8), objects, masks


def _box(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)
