"""Batches of pairs: for learning a pure function of (seed, epoch, index), for judging as they are."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ladder_hub.data.bad import first_sound
from ladder_hub.data.chance import view_generator
from ladder_hub.data.image_source import BadImage
from ladder_hub.data.pairs import PairSource
from ladder_hub.downstream.finetune.task import Batch
from ladder_hub.downstream.segmentation.augment import augmented, fitted, resized_image
from ladder_hub.downstream.segmentation.settings import SegmentViews


@dataclass(frozen=True)
class TrainMaker:
    """Augmented pairs; one that can't be used is replaced, and told."""

    source: PairSource
    views: SegmentViews
    size: tuple[int, int]
    seed: int

    def make(self, requests: list[tuple[int, int]]) -> Batch:
        """A batch for [(epoch, index), ...]: uint8 images (B, 3, S, S) and masks (B, S, S)."""
        images, masks, bad = [], [], []
        for epoch, index in requests:
            pair, _, passed = first_sound(self.source, index, self.source.pair)
            bad += passed
            rng = view_generator(seed=self.seed, epoch=epoch, index=index, view=0)
            view = augmented(pair, self.views, self.size, rng)
            images.append(view.image)
            masks.append(view.mask)
        return Batch((torch.stack(images), torch.stack(masks)), bad)


class Judged(NamedTuple):
    """A pair to be judged on."""

    number: int
    image: Tensor
    """uint8 (3, h, w), as the network takes it."""
    mask: Tensor
    """uint8 (H, W), of the image as it was."""


@dataclass(frozen=True)
class ValMaker:
    """Pairs in order, resized for the network; those that can't be used are left out, and told."""

    source: PairSource
    size: tuple[int, int]

    def make(self, requests: list[int]) -> tuple[list[Judged], list[tuple[str, str]]]:
        """Those that are sound, and (key, reason) of the others."""
        found, bad = [], []
        for index in requests:
            try:
                pair = self.source.pair(index)
            except BadImage as error:
                bad.append((error.key, error.reason))
            else:
                image = resized_image(pair.image, fitted(pair.mask.shape, self.size))
                found.append(Judged(index, image.contiguous(), pair.mask))
        return found, bad
