"""Frozen features: one pass over the images gives every stage that is asked for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ladder_hub.backbone import pyramid
from ladder_hub.data.loader import evaluation_batches
from ladder_hub.data.photometric import IMAGENET_MEAN, IMAGENET_STD, normalise
from ladder_hub.data.sources import Source
from ladder_hub.errors import UserError

Pool = Literal["gap", "mhead"]

# mmselfsup's multi-head probe at 224 pixels: side of the map, side of the window, windows a side.
_WINDOWS = {"res2": (56, 16, 6), "res3": (28, 13, 4), "res4": (14, 8, 3), "res5": (7, 6, 2)}


def pooled(feature_map: Tensor, stage: str, pool: Pool) -> Tensor:
    """A map as a probe reads it.

    Args:
        feature_map: (B, C, S, S).
        stage: Which one it is.
        pool: `gap`: the mean over the map. `mhead`: averages over the windows of mmselfsup's multi-head probe, about
            9,000 values of a ResNet-50 whatever the stage; on maps of another size than a 224-pixel image's, windows
            of the same share of the map, and never more of them than it has cells.

    Returns:
        float32, (B, C) or (B, C, g, g).
    """
    if pool == "gap":
        return feature_map.float().mean((2, 3))
    side = feature_map.shape[-1]
    reference, window, cells = _WINDOWS[stage]
    cells = min(cells, side)
    window = max(1, min(round(window * side / reference), side - cells + 1))
    starts = torch.linspace(0, side - window, cells, device=feature_map.device).round().long()
    rows = F.avg_pool2d(feature_map.float(), (window, 1), 1)[:, :, starts]
    return F.avg_pool2d(rows, (1, window), 1)[..., starts]


class Rows(NamedTuple):
    """Features of a batch."""

    features: dict[str, Tensor]
    """{stage: float32 (b, C) or (b, C, g, g)} on the device."""
    indices: np.ndarray
    """int64 (b,), which images these are."""
    end: int
    """How many images were asked for up to here, decodable or not."""


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
    """Loader threads; -1: one a core, at most 8."""
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

    def batches(
        self, backbone: nn.Module, source: Source, stages: Sequence[str], *, indices: np.ndarray, pool: Pool = "gap"
    ) -> Iterator[Rows]:
        """The features of some images, batch by batch, in their order; undecodable ones are left out.

        Args:
            backbone: on `device`; read in eval mode and left as it was found.
            source: where the images come from.
            stages: any of res2..res5.
            indices: int64, which of the images.
            pool: how a map becomes features.
        """
        dtype = next(backbone.parameters()).dtype
        training = backbone.training
        backbone.eval()
        try:
            end = 0
            for images, _, bad in evaluation_batches(
                source,
                indices=indices,
                size=self.size,
                crop_pct=self.crop_pct,
                batch_size=self.batch_size,
                workers=self.workers,
            ):
                asked = indices[end : end + self.batch_size]
                end += len(asked)
                self.skip(bad)
                with torch.inference_mode():
                    images = normalise(images.to(self.device), mean=self.mean, std=self.std)
                    images = images.to(dtype).contiguous(memory_format=torch.channels_last)
                    maps = pyramid(backbone, images, stages) if len(images) else {}
                    features = {stage: pooled(feature_map, stage, pool) for stage, feature_map in maps.items()}
                self.advance(len(asked))
                yield Rows(features, _kept(source, asked, bad), end)
        finally:
            backbone.train(training)

    def read(
        self,
        backbone: nn.Module,
        source: Source,
        stages: Sequence[str],
        *,
        indices: np.ndarray | None = None,
        pool: Pool = "gap",
    ) -> tuple[dict[str, Tensor], np.ndarray]:
        """The same all at once, of all processes' parts.

        Returns:
            {stage: float32 (N, ...)} on the device, and int64 (N,): which images these are.

        Raises:
            UserError: not one image could be decoded.
        """
        number, parts = self.share
        own = np.array_split(np.arange(len(source)) if indices is None else indices, parts)[number]
        found = [self.no_rows(backbone, stages, pool)]
        found += [rows for rows in self.batches(backbone, source, stages, indices=own, pool=pool) if len(rows.indices)]
        kept = self.join(torch.from_numpy(np.concatenate([rows.indices for rows in found])).to(self.device)).cpu()
        if not len(kept):
            raise UserError(f"{source.spec}: no image could be decoded")
        joined = {stage: self.join(torch.cat([rows.features[stage] for rows in found])) for stage in stages}
        return joined, kept.numpy()

    def no_rows(self, backbone: nn.Module, stages: Sequence[str], pool: Pool) -> Rows:
        """What comes of no image, in the shape of what comes of some."""
        parameter = next(backbone.parameters())
        black = torch.zeros(1, len(self.mean), self.size, self.size, device=self.device, dtype=parameter.dtype)
        training = backbone.training
        with torch.inference_mode():
            maps = pyramid(backbone.eval(), black, stages)
        backbone.train(training)
        features = {stage: pooled(feature_map, stage, pool)[:0] for stage, feature_map in maps.items()}
        return Rows(features, np.empty(0, np.int64), 0)


def _kept(source: Source, asked: np.ndarray, bad: Sequence[tuple[str, str]]) -> np.ndarray:
    """Those of the images asked for that could be decoded."""
    if not bad:
        return asked
    keys = {key for key, _ in bad}
    return np.array([index for index in asked if source.key(int(index)) not in keys], dtype=np.int64)
