"""Frozen features: one pass over the images gives every stage that is asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ladder_hub.backbone import pyramid, stage_channels
from ladder_hub.data.loader import evaluation_batches
from ladder_hub.data.photometric import IMAGENET_MEAN, IMAGENET_STD, normalise
from ladder_hub.data.sources import Source
from ladder_hub.errors import UserError


@dataclass(frozen=True)
class Extractor:
    """How images become features; the protocol's preprocessing, and where it is computed."""

    size: int
    """Side of the input in pixels."""
    crop_pct: float
    """Share of the shorter side that the centre crop takes."""
    device: torch.device
    batch_size: int = 256
    workers: int = -1
    """Loader processes; -1: one a core, at most 8."""
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    advance: Callable[[int], None] = lambda _: None
    """Told the number of images of each batch."""
    skip: Callable[[list[tuple[str, str]]], None] = lambda _: None
    """Told (key, reason) of images that can't be decoded and are left out."""
    share: tuple[int, int] = (0, 1)
    """Number i of n: of every set of images this process reads the i-th of n parts."""
    join: Callable[[Tensor], Tensor] = lambda part: part
    """Puts the rows of all parts together, in their order."""

    @torch.inference_mode()
    def read(
        self, backbone: nn.Module, source: Source, stages: Sequence[str], *, indices: np.ndarray | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Globally pooled maps as unit vectors, and labels.

        Args:
            backbone: on `device`; read in eval mode and left as it was found.
            source: labelled images. Undecodable ones are left out.
            stages: any of res2..res5.
            indices: int64, which of the images; None: all.

        Returns:
            {stage: float32 (N, C)} and int64 (N,).

        Raises:
            UserError: not one image could be decoded.
        """
        widths = stage_channels(backbone)
        features = {stage: [torch.empty(0, widths[stage], device=self.device)] for stage in stages}
        labels = [torch.empty(0, dtype=torch.int64)]
        dtype = next(backbone.parameters()).dtype
        number, parts = self.share
        chosen = np.arange(len(source)) if indices is None else indices
        training = backbone.training
        backbone.eval()
        try:
            for images, classes, bad in evaluation_batches(
                source,
                indices=np.array_split(chosen, parts)[number],
                size=self.size,
                crop_pct=self.crop_pct,
                batch_size=self.batch_size,
                workers=self.workers,
            ):
                assert classes is not None
                self.skip(bad)
                if not len(images):
                    continue
                images = normalise(images.to(self.device), mean=self.mean, std=self.std)
                images = images.to(dtype).contiguous(memory_format=torch.channels_last)
                for stage, feature_map in pyramid(backbone, images, stages).items():
                    features[stage].append(F.normalize(feature_map.float().mean((2, 3)), dim=1))
                labels.append(classes)
                self.advance(len(images))
        finally:
            backbone.train(training)
        truth = self.join(torch.cat(labels).to(self.device))
        if not len(truth):
            raise UserError(f"{source.spec}: no image could be decoded")
        return {stage: self.join(torch.cat(rows)) for stage, rows in features.items()}, truth
