"""Two random views of each of some images, as a batch; every view is a function of (seed, epoch, image, view)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch

from ladder_hub.data.chance import view_generator
from ladder_hub.data.crops import crop, draw_crop
from ladder_hub.data.photometric import Policy, draw

Bad = list[tuple[str, str]]
"""(key, reason) of images that could not be decoded."""


@dataclass(frozen=True)
class Batch:
    """Two views of B images, cropped and not yet augmented.

    Attributes:
        views: Two uint8 (B, 3, S, S).
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


@dataclass(frozen=True)
class ViewCutter:
    """How views are drawn and cut; the arguments of `TwoViews`."""

    size: int
    crop_scale: tuple[float, float]
    crop_ratio: tuple[float, float]
    flip: float
    policies: tuple[Policy, Policy]
    seed: int

    def batch(self, epoch: int, images: Iterable[tuple[torch.Tensor, int, int]], *, count: int, bad: Bad) -> Batch:
        """A batch of `count` images: (uint8 (3, H, W), the place whose chance it takes, which image it is)."""
        views = [torch.empty(count, 3, self.size, self.size, dtype=torch.uint8) for _ in range(2)]
        rows: list[list[np.ndarray]] = [[], []]
        indices: list[int] = []
        for place, (image, index, used) in enumerate(images):
            indices.append(used)
            for view in range(2):
                rng = view_generator(seed=self.seed, epoch=epoch, index=index, view=view)
                box = draw_crop(rng, *image.shape[-2:], scale=self.crop_scale, ratio=self.crop_ratio)
                views[view][place] = crop(image, box, self.size, rng.random() < self.flip)
                rows[view].append(draw(self.policies[view], rng))
        params = [torch.from_numpy(np.stack(view)) for view in rows]
        return Batch((views[0], views[1]), (params[0], params[1]), torch.tensor(indices), bad)
