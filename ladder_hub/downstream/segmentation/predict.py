"""What a trained network says of whole images, at once or through a sliding window."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ladder_hub.data.workers import BatchWorkers
from ladder_hub.device import autocast
from ladder_hub.downstream.finetune.task import Judge
from ladder_hub.downstream.segmentation.confusion import Tally, areas, confusion
from ladder_hub.downstream.segmentation.data import Judged, ValMaker
from ladder_hub.downstream.segmentation.model import resized_logits
from ladder_hub.errors import RunError

Logits = Callable[[Tensor], Tensor]
"""Images (B, 3, H, W) to logits (B, K, H, W)."""


def windows(length: int, side: int, stride: int) -> list[int]:
    """Where windows begin along one side: every `stride` pixels, the last one at the end; none reaches over it."""
    count = -(-max(length - side, 0) // stride) + 1
    return [max(min(number * stride, length - side), 0) for number in range(count)]


def slid(logits: Logits, images: Tensor, *, side: int, stride: int) -> Tensor:
    """The mean of the logits of all windows that hold a pixel.

    Args:
        logits: Of a window.
        images: (B, 3, H, W).
        side: Of a window, in pixels.
        stride: From one to the next.

    Returns:
        float32 (B, K, H, W).
    """
    total: Tensor | None = None
    height, width = images.shape[-2:]
    counts = images.new_zeros(height, width, dtype=torch.float32)
    for top in windows(height, side, stride):
        for left in windows(width, side, stride):
            place = np.s_[..., top : top + side, left : left + side]
            found = logits(images[place]).float()
            if total is None:
                total = found.new_zeros(*found.shape[:2], height, width)
            total[place] += found
            counts[place] += 1
    assert total is not None
    return total / counts


class Predictor:
    """A network in eval mode, asked image by image.

    Args:
        network: Uint8 images (B, 3, H, W) to logits (B, K, H, W).
        side: Of the sliding window; 0: the whole image at once.
        stride: Of the window.
        align_corners: How logits are resized to the image as it was.
        judge: Where and how it is computed.
    """

    def __init__(self, network: nn.Module, *, side: int, stride: int, align_corners: bool, judge: Judge) -> None:
        self._network, self._side, self._stride = network, side, stride
        self._align, self._judge = align_corners, judge

    @torch.inference_mode()
    def classes(self, one: Judged) -> Tensor:
        """The class of every pixel of the image as it was, int64 (H, W), on the device."""
        device = self._judge.world.device
        images = one.image.unsqueeze(0).to(device, non_blocking=True)
        with autocast(device, self._judge.precision):
            if self._side:
                found = slid(self._network, images, side=self._side, stride=self._stride)
            else:
                found = self._network(images)
        return resized_logits(found.float(), one.mask.shape, align_corners=self._align)[0].argmax(0)


def judged(predictor: Predictor, maker: ValMaker, judge: Judge, *, classes: int, workers: int) -> Tally:
    """Count what is right over all images, each process over its share.

    Raises:
        RunError: no image can be used, or no pixel has a class.
    """
    world = judge.world
    mine = np.array_split(np.arange(len(maker.source)), world.size)[world.rank].tolist()
    matrix = torch.zeros(classes, classes, dtype=torch.int64)
    rows = [torch.zeros(0, 3, classes, dtype=torch.int64)]
    progress = judge.display.task("predict", len(mine))
    for pairs, bad in _loaded(maker, mine, judge, workers):
        judge.display.left_out(bad)
        for one in pairs:
            found = confusion(one.mask.to(world.device), predictor.classes(one), classes)
            matrix += found
            rows.append(areas(found).unsqueeze(0))
        progress.advance()
    progress.close()
    tally = Tally(_over_all(judge, matrix), _rows_of_all(judge, torch.cat(rows)))
    if not len(tally.by_image):
        world.raise_on_all(RunError(f"no image of {maker.source.spec} can be judged"))
    if not tally.matrix.any():
        world.raise_on_all(RunError(f"no pixel of {maker.source.spec} has a class: there is nothing to judge by"))
    return tally


def _loaded(maker: ValMaker, indices: list[int], judge: Judge, workers: int) -> Iterator[Any]:
    loader: BatchWorkers[Any] = BatchWorkers(maker, workers=workers, pin=judge.world.device.type == "cuda")
    return loader.run([[index] for index in indices])


def _over_all(judge: Judge, matrix: Tensor) -> Tensor:
    return judge.world.sum(matrix.to(judge.world.device)).cpu()


def _rows_of_all(judge: Judge, rows: Tensor) -> Tensor:
    return judge.world.cat(rows.to(judge.world.device)).cpu()
