"""Geometry of the views: torchvision's RandomResizedCrop from numbers drawn before, and the evaluation crop."""

import math
from collections.abc import Iterable, Iterator

import torch
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

Box = tuple[int, int, int, int]
"""Top, left, height, width, in pixels."""

_TRIES = 10
CROP_NUMBERS = 2 * _TRIES + 2
"""What `draw_crop` takes at most: an area and a ratio a try, then a place."""
_SLENDER = 4
_AMPLE = 2


def draw_crop(
    numbers: Iterator[float],
    height: int,
    width: int,
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Box:
    """A random box, distributed as torchvision's `RandomResizedCrop.get_params`.

    Args:
        numbers: Uniform in [0, 1); at most `CROP_NUMBERS` are taken, how many depends on the image.
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
        area = height * width * (scale[0] + (scale[1] - scale[0]) * next(numbers))
        aspect = math.exp(low + (high - low) * next(numbers))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(next(numbers) * (height - h + 1)), int(next(numbers) * (width - w + 1)), h, w
    return _central(height, width, ratio)


def _central(height: int, width: int, ratio: tuple[float, float]) -> Box:
    w, h = width, height
    if width / height < ratio[0]:
        h = max(round(width / ratio[0]), 1)
    elif width / height > ratio[1]:
        w = max(round(height * ratio[1]), 1)
    return (height - h) // 2, (width - w) // 2, h, w


def reduction(boxes: Iterable[Box], size: int) -> int:
    """How many times smaller an image may be decoded before these boxes are cut out of it: 1, 2, 4 or 8.

    A box keeps at least twice the resolution of its view, in both directions. On photographs the views then differ
    from those of the whole image by 1 to 2 of 255 on average, as the smaller image was made with another filter, and
    as its pixels are the raster to which the box is rounded: half of one at most, a quarter of a pixel of the view.
    """
    least = min(min(height, width) for _, _, height, width in boxes)
    return max(step for step in (1, 2, 4, 8) if step == 1 or least >= step * _AMPLE * size)


def reduced(box: Box, by: int) -> Box:
    """The box in an image that is so many times smaller, to the nearest pixel."""
    top, left, height, width = box
    y, x = round(top / by), round(left / by)
    return y, x, round((top + height) / by) - y, round((left + width) / by) - x


def crop(image: torch.Tensor, box: Box, size: int, flip: bool) -> torch.Tensor:
    """Cut out a box and resize it, bicubic with antialiasing; the same pixels as torchvision's `resized_crop`.

    Args:
        image: uint8 (3, H, W); quickest where the channels lie last in memory.
        box: As `draw_crop` gives it.
        size: Side of the result in pixels.
        flip: Mirror left and right.

    Returns:
        uint8 (3, size, size); channels lie last in memory.
    """
    top, left, height, width = box
    part = image[:, top : top + height, left : left + width].unsqueeze(0)
    # torchvision's crop would leave the strides as they are: the resize then takes half as long again.
    part = part.contiguous(memory_format=torch.channels_last)
    view = interpolate(part, size=(size, size), mode="bicubic", antialias=True).squeeze(0)
    return view.flip(-1) if flip else view


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
