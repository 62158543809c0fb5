"""Augmentation of an image and its mask together, as mmsegmentation does it: scale, crop, flip, colours, padding.

All chance comes from one generator, and a setting that changes leaves the other draws alone.
"""

import numpy as np
import torch
from timm.data import IMAGENET_DEFAULT_MEAN
from torch import Tensor
from torch.nn.functional import interpolate, pad
from torchvision.transforms.v2 import functional as F

from ladder_hub.data.pairs import Pair
from ladder_hub.data.pairs_mask import IGNORED
from ladder_hub.downstream.segmentation.settings import Range, SegmentViews

_CROP_TRIES = 10
_DRAWS = 11


def augmented(pair: Pair, views: SegmentViews, size: tuple[int, int], rng: np.random.Generator) -> Pair:
    """One view to learn from.

    Args:
        pair: Image and mask.
        views: Of the recipe.
        size: (long, short) side that an image of scale 1 fits into.
        rng: Where chance comes from.

    Returns:
        uint8 image (3, crop, crop) and mask (crop, crop); what the image doesn't fill is of the mean colour, with the
        label 255.
    """
    draws = rng.random(_DRAWS)
    pair = resized(pair, fitted(pair.mask.shape, size, _between(views.scale, draws[0])))
    top, left = drawn_crop(pair.mask, views.crop, views.cat_max_ratio, rng)
    cut = np.s_[..., top : top + views.crop, left : left + views.crop]
    image, mask = pair.image[cut], pair.mask[cut]
    if draws[1] < views.flip:
        image, mask = image.flip(-1), mask.flip(-1)
    return padded(Pair(distorted(image, views, draws[2:]), mask), views.crop)


def fitted(shape: torch.Size | tuple[int, int], size: tuple[int, int], scale: float = 1.0) -> tuple[int, int]:
    """The largest (height, width) of this shape whose sides don't exceed scale * size, (long, short)."""
    height, width = shape
    long, short = (int(side * scale) for side in size)
    factor = min(long / max(height, width), short / min(height, width))
    return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def resized_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear without a filter, as in the protocol: uint8 (3, H, W) to (3, *size)."""
    if image.shape[-2:] == size:
        return image
    batch = image.unsqueeze(0).contiguous(memory_format=torch.channels_last)
    return interpolate(batch, size=size, mode="bilinear", align_corners=False)[0]


def resized(pair: Pair, size: tuple[int, int]) -> Pair:
    """Image and mask to (height, width), the mask by the nearest pixel."""
    mask = interpolate(pair.mask[None, None], size=size, mode="nearest-exact")[0, 0]
    return Pair(resized_image(pair.image, size), mask)


def drawn_crop(mask: Tensor, side: int, max_ratio: float, rng: np.random.Generator) -> tuple[int, int]:
    """Top and left of a crop: the first of ten draws with two classes or more, none of them with `max_ratio` of it.

    Where none is so, the eleventh draw as it comes; pixels labelled 255 don't count.
    """
    for tries in range(_CROP_TRIES + 1):
        room = [max(length - side, 0) + 1 for length in mask.shape]
        top, left = (int(rng.random() * places) for places in room)
        counts = torch.bincount(mask[top : top + side, left : left + side].flatten(), minlength=IGNORED + 1)[:IGNORED]
        varied = (counts > 0).sum() > 1 and counts.max() / counts.sum() < max_ratio
        if varied or max_ratio >= 1 or tries == _CROP_TRIES:
            break
    return top, left


def distorted(image: Tensor, views: SegmentViews, draws: np.ndarray) -> Tensor:
    """Photometric distortion: brightness, contrast, saturation, hue, each with probability 1/2; contrast may come last.

    Args:
        image: uint8 (3, H, W).
        views: How much.
        draws: Nine numbers in [0, 1): whether and how much of the four, and whether contrast comes last.

    Returns:
        uint8 (3, H, W).
    """
    on, much = draws[0:8:2] < 0.5, draws[1:8:2]
    pixels = image.float() / 255
    if on[0]:
        pixels = (pixels + views.brightness * (2 * much[0] - 1)).clamp_(0, 1)
    last = draws[8] < 0.5
    if on[1] and not last:
        pixels = _contrasted(pixels, views, much[1])
    if on[2]:
        pixels = saturated(pixels, _between(views.saturation, much[2]))
    if on[3]:
        pixels = F.adjust_hue(pixels, float(views.hue * (2 * much[3] - 1)))
    if on[1] and last:
        pixels = _contrasted(pixels, views, much[1])
    return (pixels * 255).round_().clamp_(0, 255).to(torch.uint8)


def saturated(pixels: Tensor, factor: float) -> Tensor:
    """The saturation of HSV times `factor`, at most 1; hue and value stay. Float (3, H, W) in [0, 1]."""
    value = pixels.amax(0)
    chroma = value - pixels.amin(0)
    most = value / chroma.clamp_min(torch.finfo(pixels.dtype).tiny)
    return value - (value - pixels) * most.clamp_max(factor)


def padded(pair: Pair, side: int) -> Pair:
    """To side x side, at the right and below: the mean colour, which normalisation makes 0, and the label 255."""
    height, width = pair.mask.shape
    margins = (0, side - width, 0, side - height)
    if not any(margins):
        return Pair(pair.image.contiguous(), pair.mask.contiguous())
    image = torch.tensor(IMAGENET_DEFAULT_MEAN).mul(255).round().to(torch.uint8).view(3, 1, 1).repeat(1, side, side)
    image[:, :height, :width] = pair.image
    return Pair(image, pad(pair.mask, margins, value=IGNORED))


def _contrasted(pixels: Tensor, views: SegmentViews, share: float) -> Tensor:
    return (pixels * _between(views.contrast, share)).clamp_(0, 1)


def _between(bounds: Range, share: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * float(share)
