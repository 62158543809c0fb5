"""What linear classifiers learn from: rows of kept features, or augmented images."""

from dataclasses import dataclass

import numpy as np
import torch

from ladder_hub.data.bad import image_or_stand_in
from ladder_hub.data.chance import order, view_generator
from ladder_hub.data.crops import crop, draw_crop
from ladder_hub.data.sources import Source
from ladder_hub.downstream.feature_shards import FeatureTable
from ladder_hub.downstream.finetune.task import Batch

_NO_EPOCH = 2**40  # none that a run reaches: its order is free for another use


def held_back(count: int, share: float, *, seed: int) -> np.ndarray:
    """Which of `count` images are held back: bool (count,), `share` of them and at least one, drawn by the seed."""
    held = np.zeros(count, dtype=bool)
    held[order(count, seed=seed, epoch=_NO_EPOCH)[: max(1, round(share * count))]] = True
    return held


@dataclass(frozen=True)
class RowMaker:
    """Batches of kept features; a request's index is a row of the table."""

    table: FeatureTable
    stages: tuple[str, ...]
    labels: np.ndarray
    """int64, of every image of the source."""
    held: np.ndarray
    """bool, of every image of the source."""

    def make(self, requests: list[tuple[int, int]]) -> Batch:
        """({stage: features}, labels, held) for [(epoch, row), ...]."""
        numbers = np.array([row for _, row in requests])
        images = self.table.indices[numbers]
        features = {stage: self.table.rows(stage, numbers) for stage in self.stages}
        return Batch((features, torch.from_numpy(self.labels[images]), torch.from_numpy(self.held[images])), [])


@dataclass(frozen=True)
class CropMaker:
    """Batches of random crops, mirrored at random: a function of (seed, epoch, index)."""

    source: Source
    held: np.ndarray
    size: int
    crop_scale: tuple[float, float]
    crop_ratio: tuple[float, float]
    flip: float
    seed: int

    def make(self, requests: list[tuple[int, int]]) -> Batch:
        """(uint8 (b, 3, S, S), labels, held) for [(epoch, index), ...]."""
        assert self.source.labels is not None
        images = torch.empty(len(requests), 3, self.size, self.size, dtype=torch.uint8)
        used: list[int] = []
        bad: list[tuple[str, str]] = []
        for place, (epoch, index) in enumerate(requests):
            image, found, passed = image_or_stand_in(self.source, index)
            rng = view_generator(seed=self.seed, epoch=epoch, index=index, view=0)
            box = draw_crop(iter(rng.random, None), *image.shape[-2:], scale=self.crop_scale, ratio=self.crop_ratio)
            images[place] = crop(image, box, self.size, rng.random() < self.flip)
            used.append(found)
            bad += passed
        return Batch((images, torch.from_numpy(self.source.labels[used]), torch.from_numpy(self.held[used])), bad)
