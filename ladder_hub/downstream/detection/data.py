"""Batches of images with boxes and masks; each a pure function of (seed, epoch, image)."""

import json
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ladder_hub.data.bad import first_sound
from ladder_hub.data.chance import view_generator
from ladder_hub.data.image_source import BadImage
from ladder_hub.downstream.detection.coco import CocoError, CocoSet
from ladder_hub.downstream.detection.coco_images import CocoImages
from ladder_hub.downstream.detection.coco_masks import to_masks
from ladder_hub.downstream.finetune.task import Batch

Target = dict[str, Tensor]

_SMALLEST_IMAGE = 32
_SMALLEST_BOX = 1


class DetectionSource:
    """Images with what is to be found in them.

    Crowds and boxes below a pixel teach nothing and are not among the targets.

    Args:
        images: Of `coco`.
        coco: The annotations.
        empty: `keep` images without a target as negatives, or `drop` them, and those with a side below 32 pixels, as
            the protocol of the field does.

    Raises:
        CocoError: no image is left.
    """

    def __init__(self, images: CocoImages, coco: CocoSet, *, empty: str) -> None:
        self.spec = images.spec
        self._images, self._coco = images, coco
        self._usable = ~coco.crowd & (coco.boxes[:, 2:] >= _SMALLEST_BOX).all(1)
        kept = np.arange(len(coco))
        if empty == "drop":
            # reduceat would repeat a neighbour's value where an image has none.
            before = np.concatenate([[0], np.cumsum(self._usable)])
            has_some = before[coco.first[1:]] > before[coco.first[:-1]]
            kept = kept[has_some & (coco.sizes.min(1) >= _SMALLEST_IMAGE)]
        if not len(kept):
            raise CocoError(f"{coco.path}: no image with anything to learn from")
        self._kept = kept

    def __len__(self) -> int:
        return len(self._kept)

    def key(self, index: int) -> str:
        """The name in the JSON."""
        return self._images.key(int(self._kept[index]))

    def image(self, index: int) -> Tensor:
        """Decoded, uint8 (3, H, W). Raises BadImage."""
        return self._images.image(int(self._kept[index]))

    def target(self, index: int) -> Target:
        """Boxes float32 (n, 4) as left, top, right, bottom; labels int64 (n,); masks uint8 (n, H, W)."""
        coco, place = self._coco, int(self._kept[index])
        numbers = [number for number in coco.of_image(place) if self._usable[number]]
        boxes = torch.from_numpy(coco.boxes[numbers].reshape(-1, 4))
        boxes[:, 2:] += boxes[:, :2]
        height, width = coco.sizes[place].tolist()
        return {
            "boxes": boxes.float(),
            "labels": torch.from_numpy(coco.labels[numbers]),
            "masks": to_masks([json.loads(coco.masks[number]) for number in numbers], height, width),
        }


@dataclass(frozen=True)
class TrainMaker:
    """Whole images with their targets, half of them mirrored; the network resizes."""

    source: DetectionSource
    seed: int
    flip: float

    def make(self, requests: list[tuple[int, int]]) -> Batch:
        """A batch for [(epoch, index), ...]."""
        images, targets, bad = [], [], []
        for epoch, index in requests:
            image, used, passed = first_sound(self.source, index, self.source.image)
            bad += passed
            target = self.source.target(used)
            if view_generator(seed=self.seed, epoch=epoch, index=index, view=0).random() < self.flip:
                image, target = mirrored(image, target)
            images.append(image)
            targets.append(target)
        return Batch((images, targets), bad)


def mirrored(image: Tensor, target: Target) -> tuple[Tensor, Target]:
    """Left and right exchanged, of image, boxes and masks."""
    width = image.shape[-1]
    boxes = target["boxes"].clone()
    boxes[:, 0], boxes[:, 2] = width - target["boxes"][:, 2], width - target["boxes"][:, 0]
    return image.flip(-1), {**target, "boxes": boxes, "masks": target["masks"].flip(-1)}


@dataclass(frozen=True)
class ValMaker:
    """Images in order, those that can't be decoded left out."""

    images: CocoImages

    def make(self, requests: list[int]) -> tuple[list[int], list[Tensor], list[tuple[str, str]]]:
        """Indices and uint8 images (3, H, W), and (key, reason) of those left out."""
        indices, images, bad = [], [], []
        for index in requests:
            try:
                images.append(self.images.image(index))
                indices.append(index)
            except BadImage as error:
                bad.append((error.key, error.reason))
        return indices, images, bad
