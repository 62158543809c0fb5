"""Predictions of a trained detector on every validation image, in COCO's results format."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ladder_hub.data.workers import BatchWorkers
from ladder_hub.device import autocast
from ladder_hub.downstream.detection.coco import CocoSet
from ladder_hub.downstream.detection.coco_images import CocoImages
from ladder_hub.downstream.detection.coco_masks import encoded
from ladder_hub.downstream.detection.data import ValMaker
from ladder_hub.downstream.detection.metrics import Result
from ladder_hub.downstream.finetune.task import Judge

_SURE = 0.5


@dataclass(frozen=True)
class Predicted:
    """What was found, over all processes."""

    results: list[Result]
    """By image, in the order of the JSON."""
    indices: list[int]
    """The images that were looked at: all that could be decoded."""


@torch.inference_mode()
def predict(network: nn.Module, images: CocoImages, coco: CocoSet, judge: Judge, *, workers: int) -> Predicted:
    """Run the detector over the images, each process over its share.

    Args:
        network: Takes a list of uint8 images in eval mode, gives torchvision's predictions.
        images: Of `coco`.
        coco: Whose ids the results carry.
        judge: Where and how it is computed.
        workers: Loader threads.
    """
    world = judge.world
    mine = np.array_split(np.arange(len(images)), world.size)[world.rank].tolist()
    loader: BatchWorkers[Any] = BatchWorkers(ValMaker(images), workers=workers, pin=world.device.type == "cuda")
    ids = list(coco.categories)
    looked_at: list[int] = []
    results: list[Result] = []
    progress = judge.display.task("predict", len(mine))
    for indices, batch, bad in loader.run([[index] for index in mine]):
        judge.display.left_out(bad)
        progress.advance()
        if not batch:
            continue
        with autocast(world.device, judge.precision):
            found = network([image.to(world.device, non_blocking=True) for image in batch])
        for index, prediction in zip(indices, found, strict=True):
            results += _as_results(prediction, int(coco.image_ids[index]), ids)
        looked_at += indices
    progress.close()
    return Predicted(
        [result for part in world.gather(results) for result in part],
        [index for part in world.gather(looked_at) for index in part],
    )


def _as_results(prediction: dict[str, Tensor], image: int, ids: list[int]) -> list[Result]:
    boxes = prediction["boxes"].float().cpu()
    boxes[:, 2:] -= boxes[:, :2]
    masks = encoded(prediction["masks"][:, 0].cpu() > _SURE)
    columns = zip(
        boxes.tolist(), prediction["labels"].tolist(), prediction["scores"].float().tolist(), masks, strict=True
    )
    return [
        {
            "image_id": image,
            "category_id": ids[label - 1],
            "bbox": [round(number, 2) for number in box],
            "score": round(score, 5),
            "segmentation": mask,
        }
        for box, label, score, mask in columns
    ]
