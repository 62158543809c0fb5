"""Two random views of each of some images, as a batch; every view is a function of (seed, epoch, image, view)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from ladder_hub.data.chance import view_uniforms
from ladder_hub.data.crops import CROP_NUMBERS, Box, crop, draw_crop, reduced, reduction
from ladder_hub.data.photometric import PHOTOMETRIC_NUMBERS, Policy, draw
from ladder_hub.data.picture import Picture

Bad = list[tuple[str, str]]
"""(key, reason) of images that could not be decoded."""


@dataclass(frozen=True)
class Batch:
    """Two views of B images, cropped and not yet augmented.

    Attributes:
        views: Two uint8 (B, 3, S, S); channels lie last in memory.
        photometric: Two float32 (B, 12), what `photometric.augment` takes beside each.
        indices: int64 (B,), which images these are.
        bad: (key, reason) of images that could not be decoded; others stand in.
    """

    views: tuple[torch.Tensor, torch.Tensor]
    photometric: tuple[torch.Tensor, torch.Tensor]
    indices: torch.Tensor
    bad: Bad

    def pin_memory(self) -> "Batch":
        """The same with the views in page-locked memory; the rest is read on the CPU."""
        first, second = self.views
        return replace(self, views=(first.pin_memory(), second.pin_memory()))


class Views(Protocol):
    """Batches of two views, from whatever source."""

    def batches(self, epoch: int, *, samples: int, start: int = 0) -> Iterator[Batch]:
        """This process's part of the samples start..samples of an epoch, both counted over all processes."""
        ...


Cut = tuple[torch.Tensor, torch.Tensor]
"""Two views of one image, uint8 (3, S, S)."""

_FLIP = CROP_NUMBERS
_PHOTOMETRIC = slice(CROP_NUMBERS + 1, CROP_NUMBERS + 1 + PHOTOMETRIC_NUMBERS)


@dataclass(frozen=True)
class ViewCutter:
    """How views are drawn and cut; the arguments of `TwoViews`."""

    size: int
    crop_scale: tuple[float, float]
    crop_ratio: tuple[float, float]
    flip: float
    policies: tuple[Policy, Policy]
    seed: int

    def chance(self, epoch: int, indices: Sequence[int]) -> np.ndarray:
        """All that is random of both views of some images in an epoch: float64 (n, 2, 36), uniform in [0, 1).

        Of each view's numbers the first 22 are the crop's, then one the flip's and 13 the photometric operations'.
        """
        return view_uniforms(_PHOTOMETRIC.stop, seed=self.seed, epoch=epoch, indices=indices, views=2)

    def cut(self, chance: np.ndarray, picture: Picture) -> Cut:
        """Both views of a picture.

        The boxes are drawn first, in pixels of the whole image: where both are far larger than a view, a JPEG is
        decoded at a half, a quarter or an eighth of its size (see `crops.reduction`).

        Args:
            chance: of this image, (2, 36) of `chance`.
            picture: the image.

        Raises:
            ValueError: the pixels can't be decoded.
        """
        (box1, flip1), (box2, flip2) = (
            self._place(numbers, picture.height, picture.width) for numbers in chance[:, : _FLIP + 1].tolist()
        )
        pixels = picture.read(reduction((box1, box2), self.size))
        by = round(picture.width / pixels.shape[-1])
        return crop(pixels, reduced(box1, by), self.size, flip1), crop(pixels, reduced(box2, by), self.size, flip2)

    def _place(self, numbers: list[float], height: int, width: int) -> tuple[Box, bool]:
        """Where one view is cut out, and whether it is mirrored."""
        box = draw_crop(iter(numbers), height, width, scale=self.crop_scale, ratio=self.crop_ratio)
        return box, numbers[_FLIP] < self.flip

    def batch(self, chance: np.ndarray, cuts: Iterable[tuple[Cut, int]], bad: Bad) -> Batch:
        """A batch of n cuts, each with the number of its image; they may be made while they are collected.

        Args:
            chance: of each place, float64 (n, 2, 36).
            cuts: n of them.
            bad: filled by then.
        """
        first, second = (_empty(len(chance), self.size) for _ in range(2))
        indices: list[int] = []
        for place, (cut, index) in enumerate(cuts):
            first[place], second[place] = cut
            indices.append(index)
        rows1, rows2 = (
            torch.from_numpy(draw(policy, chance[:, view, _PHOTOMETRIC])) for view, policy in enumerate(self.policies)
        )
        return Batch((first, second), (rows1, rows2), torch.tensor(indices), bad)


def _empty(count: int, size: int) -> torch.Tensor:
    """uint8 (count, 3, S, S), channels last: the layout that views are cut in."""
    return torch.empty(count, size, size, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
