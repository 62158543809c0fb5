"""Pictures for people: the truth on the left, the predictions on the right, boxes and masks with their names."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import draw_segmentation_masks

from ladder_hub.downstream.detection.coco import CocoSet
from ladder_hub.downstream.detection.coco_images import CocoImages
from ladder_hub.downstream.detection.coco_masks import to_masks
from ladder_hub.downstream.detection.metrics import Result

SURE_ENOUGH = 0.5
"""Predictions below this score are not drawn."""

_COLOURS = (
    "#e6194b",
    "#3cb44b",
    "#4363d8",
    "#f58231",
    "#911eb4",
    "#42a5c6",
    "#d6a800",
    "#f032e6",
    "#7a5230",
    "#008080",
)
_SIDE = 480
_HEAD, _GAP = 22, 8
_NAMED = 12  # beyond so many objects of one kind their names would only cover the picture


def draw(path: Path, images: CocoImages, coco: CocoSet, results: Sequence[Result], index: int) -> None:
    """Write a PNG of one image.

    Args:
        path: The file.
        images: Of `coco`.
        coco: The truth.
        results: Those of this image.
        index: Which image.
    """
    image = images.image(index)
    height, width = coco.sizes[index].tolist()
    sure = [result for result in results if result["score"] >= SURE_ENOUGH]
    label = {number: 1 + place for place, number in enumerate(coco.categories)}
    names = list(coco.categories.values())
    truth = list(coco.of_image(index))
    left = _panel(
        image,
        to_masks([json.loads(coco.masks[n]) for n in truth], height, width),
        [coco.boxes[n].tolist() for n in truth],
        [int(coco.labels[n]) for n in truth],
        [names[coco.labels[n] - 1] + (" (crowd)" if coco.crowd[n] else "") for n in truth],
    )
    labels = [label[result["category_id"]] for result in sure]
    right = _panel(
        image,
        to_masks([result["segmentation"] for result in sure], height, width),
        [result["bbox"] for result in sure],
        labels,
        [f"{names[number - 1]} {result['score']:.2f}" for number, result in zip(labels, sure, strict=True)],
    )
    _beside(left, f"truth: {len(truth)}", right, f"predicted, score {SURE_ENOUGH} or more: {len(sure)}").save(path)


def _panel(
    image: Tensor, masks: Tensor, boxes: Sequence[Sequence[float]], labels: Sequence[int], words: Sequence[str]
) -> Image.Image:
    colours = [_COLOURS[label % len(_COLOURS)] for label in labels]
    if len(set(labels)) == 1:  # where all are of one kind, colours tell them apart
        colours = [_COLOURS[number % len(_COLOURS)] for number in range(len(labels))]
    # One after another, the surest last: given all at once, torchvision paints black where they overlap.
    for mask, colour in reversed(list(zip(masks, colours, strict=True))):
        image = draw_segmentation_masks(image, mask.to(torch.bool), alpha=0.45, colors=colour)
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    scale = _SIDE / max(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    canvas, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    for (x, y, w, h), colour, word in zip(boxes, colours, words, strict=True):
        box = [x * scale, y * scale, (x + w) * scale, (y + h) * scale]
        canvas.rectangle(box, outline=colour)
        if len(words) <= _NAMED or len(set(labels)) > 1:
            at = (box[0] + 2, max(0.0, box[1] - 14))
            canvas.rectangle(canvas.textbbox(at, word, font=font), fill="white")
            canvas.text(at, word, fill=colour, font=font)
    return picture


def _beside(left: Image.Image, left_title: str, right: Image.Image, right_title: str) -> Image.Image:
    sheet = Image.new("RGB", (left.width + _GAP + right.width, _HEAD + left.height), "white")
    sheet.paste(left, (0, _HEAD))
    sheet.paste(right, (left.width + _GAP, _HEAD))
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    canvas.text((4, 3), left_title, fill="black", font=font)
    canvas.text((left.width + _GAP + 4, 3), right_title, fill="black", font=font)
    return sheet
