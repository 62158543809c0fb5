"""Geometry of the views: torchvision's RandomResizedCrop from a numpy generator, and the evaluation crop."""

import math

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

Box = tuple[int, int, int, int]
"""Top, left, height, width, in pixels."""

_TRIES = 10
_SLENDER = 4


def draw_crop(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Box:
    """A random box, distributed as torchvision's `RandomResizedCrop.get_params`.

    Args:
        rng: Where chance comes from; it is left after a number of draws that depends on the image.
        height: Of the image.
        width: Of the image.
        scale: Lowest and highest share of the image's area.
        ratio: Lowest and highest width / height; drawn uniformly in the logarithm.

    Returns:
        (top, left, height, width), inside the image. After ten draws that do not fit: the largest central box
        whose ratio is allowed.
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(_TRIES):
        area = height * width * (scale[0] + (scale[1] - scale[0]) * rng.random())
        aspect = math.exp(low + (high - low) * rng.random())
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.random() * (height - h + 1)), int(rng.random() * (width - w + 1)), h, w
    return _central(height, width, ratio)


def _central(height: int, width: int, ratio: tuple[float, float]) -> Box:
    w, h = width, height
    if width / height < ratio[0]:
        h = max(round(width / ratio[0]), 1)
    elif width / height > ratio[1]:
        w = max(round(height * ratio[1]), 1)
    return (height - h) // 2, (width - w) // 2, h, w


def crop(image: torch.Tensor, box: Box, size: int, flip: bool) -> torch.Tensor:
    """Cut out a box and resize it, bicubic with antialiasing.

    Args:
        image: uint8 (3, H, W).
        box: As `draw_crop` gives it.
        size: Side of the result in pixels.
        flip: Mirror left and right.

    Returns:
        uint8 (3, size, size).
    """
    view = F.resized_crop(image, *box, size=[size, size], interpolation=InterpolationMode.BICUBIC, antialias=True)
    return F.horizontal_flip(view) if flip else view


def evaluation_crop(image: torch.Tensor, size: int, crop_pct: float) -> torch.Tensor:
    """Resize the shorter side to round(size / crop_pct) and take the centre.

    Args:
        image: uint8 (3, H, W).
        size: Side of the result in pixels.
        crop_pct: Share of the shorter side that the centre takes, in (0, 1].

    Returns:
        uint8 (3, size, size).
    """
    height, width = image.shape[-2:]
    # A strip of 10 x 10000 pixels would grow to hundreds of megabytes before its centre is taken.
    longest = _SLENDER * min(height, width)
    if max(height, width) > longest:
        image = F.center_crop(image, [min(height, longest), min(width, longest)])
    image = F.resize(image, [round(size / crop_pct)], interpolation=InterpolationMode.BICUBIC, antialias=True)
    return F.center_crop(image, [size, size])
