"""Two random views of each of some images, as a batch; every view is a function of (seed, epoch, image, view)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import get_worker_info

from ladder_hub.data.chance import view_generator
from ladder_hub.data.crops import Box, crop, draw_crop, reduced, reduction
from ladder_hub.data.photometric import Policy, draw
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


@dataclass(frozen=True)
class Cut:
    """Two views of one image.

    Attributes:
        views: Two uint8 (3, S, S).
        photometric: Two float32 (12,), as `photometric.draw` gives them.
    """

    views: tuple[torch.Tensor, torch.Tensor]
    photometric: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ViewCutter:
    """How views are drawn and cut; the arguments of `TwoViews`."""

    size: int
    crop_scale: tuple[float, float]
    crop_ratio: tuple[float, float]
    flip: float
    policies: tuple[Policy, Policy]
    seed: int

    def cut(self, epoch: int, index: int, picture: Picture) -> Cut:
        """Both views of a picture, with the chance of the place `index` in this epoch.

        The boxes are drawn first, in pixels of the whole image: where both are far larger than a view, a JPEG is
        decoded at a half, a quarter or an eighth of its size (see `crops.reduction`).

        Raises:
            ValueError: the pixels can't be decoded.
        """
        (box1, flip1, params1), (box2, flip2, params2) = (
            self._drawn(epoch, index, view, picture.height, picture.width) for view in range(2)
        )
        pixels = picture.read(reduction((box1, box2), self.size))
        by = round(picture.width / pixels.shape[-1])
        views = crop(pixels, reduced(box1, by), self.size, flip1), crop(pixels, reduced(box2, by), self.size, flip2)
        return Cut(views, (params1, params2))

    def _drawn(self, epoch: int, index: int, view: int, height: int, width: int) -> tuple[Box, bool, np.ndarray]:
        """All that is random of one view."""
        rng = view_generator(seed=self.seed, epoch=epoch, index=index, view=view)
        box = draw_crop(rng, height, width, scale=self.crop_scale, ratio=self.crop_ratio)
        return box, rng.random() < self.flip, draw(self.policies[view], rng)

    def batch(self, cuts: Iterable[tuple[Cut, int]], *, count: int, bad: Bad) -> Batch:
        """A batch of `count` cuts, each with the number of its image; they may be made while they are collected."""
        first, second = (_empty(count, self.size) for _ in range(2))
        params: list[tuple[np.ndarray, np.ndarray]] = []
        indices: list[int] = []
        for place, (cut, index) in enumerate(cuts):
            first[place], second[place] = cut.views
            params.append(cut.photometric)
            indices.append(index)
        rows1, rows2 = (torch.from_numpy(np.stack(rows)) for rows in zip(*params, strict=True))
        return Batch((first, second), (rows1, rows2), torch.tensor(indices), bad)


def _empty(count: int, size: int) -> torch.Tensor:
    """uint8 (count, 3, S, S), channels last: the layout that views are cut in.

    In a loader process it lies in shared memory from the start, as in torch's own collation: there is nothing left to
    copy when it is sent.
    """
    like = torch.empty(0, dtype=torch.uint8)
    if get_worker_info() is not None:
        like = like.set_(torch.UntypedStorage._new_shared(count * size * size * 3, device="cpu"))
    return like.resize_(count, size, size, 3).permute(0, 3, 1, 2)
