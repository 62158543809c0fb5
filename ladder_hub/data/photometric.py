"""Colour jitter, grey, blur and solarisation, drawn on the CPU for each image, applied to a whole batch.

All chance lies in a row of twelve numbers for each image and view, so `augment` is a pure function. Samples
that share an operation are gathered, so an operation costs only what it touches; the groups are formed on the
CPU, so a GPU is never waited for.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ladder_hub.data.blur import gaussian_blur
from ladder_hub.data.colour import brightness, contrast, grey, hue, saturation, solarize

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

PARAMS = 12
"""Columns of a row: 0 jitter (0 or 1); 1 brightness, 2 contrast, 3 saturation factor; 4 hue shift in turns;
5..8 the order of those four (operation numbers 0..3); 9 grey (0 or 1); 10 blur sigma in pixels, 0 for none;
11 solarise (0 or 1)."""
_JITTER, _FACTORS, _ORDER, _GREY, _BLUR, _SOLARIZE = 0, slice(1, 5), slice(5, 9), 9, 10, 11
_NEUTRAL = (1.0, 1.0, 1.0, 0.0)


@dataclass(frozen=True)
class Policy:
    """Probabilities and strengths for one view.

    Attributes:
        jitter: Probability of the colour jitter.
        brightness: Factor from U(max(0, 1 - b), 1 + b); contrast and saturation likewise.
        contrast: See brightness.
        saturation: See brightness.
        hue: Shift from U(-h, h), in turns of the colour wheel; at most 0.5.
        grey: Probability of greyscale.
        blur: Probability of the Gaussian blur.
        blur_sigma: Sigma from U(low, high), in pixels.
        solarize: Probability of inverting what is 0.5 or brighter.
    """

    jitter: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    grey: float
    blur: float
    blur_sigma: tuple[float, float]
    solarize: float


def draw(policy: Policy, rng: np.random.Generator) -> np.ndarray:
    """All photometric chance of one image and view.

    Always takes the same number of draws, so a probability that changes leaves the others' draws alone.

    Returns:
        float32 (12,), see `PARAMS`.
    """
    u = rng.random(13)
    row = np.zeros(PARAMS, dtype=np.float32)
    row[_JITTER] = u[0] < policy.jitter
    for column, strength in enumerate((policy.brightness, policy.contrast, policy.saturation), start=1):
        low, high = max(0.0, 1.0 - strength), 1.0 + strength
        row[column] = low + (high - low) * u[column]
    row[4] = policy.hue * (2.0 * u[4] - 1.0)
    row[_ORDER] = np.argsort(u[5:9])
    row[_GREY] = u[9] < policy.grey
    low, high = policy.blur_sigma
    row[_BLUR] = low + (high - low) * u[11] if u[10] < policy.blur else 0.0
    row[_SOLARIZE] = u[12] < policy.solarize
    return row


def augment(images: torch.Tensor, params: torch.Tensor) -> torch.Tensor:
    """Apply jitter, grey, blur and solarisation, in this order, each clamped to [0, 1].

    Args:
        images: uint8 (B, 3, S, S), on any device.
        params: float32 (B, 12) on the CPU, a row of `draw` for each image.

    Returns:
        float32 (B, 3, S, S) in [0, 1], on the images' device, contiguous.
    """
    steps = _steps(params)
    device = images.device
    # One transfer for all groups, from page-locked memory: a copy from ordinary memory makes the CPU wait.
    rows = torch.cat([rows for _, rows, _ in steps]) if steps else torch.zeros(0, dtype=torch.int64)
    values = torch.cat([values for _, _, values in steps]) if steps else torch.zeros(0)
    if device.type == "cuda":
        rows, values = rows.pin_memory(), values.pin_memory()
    rows, values = rows.to(device, non_blocking=True), values.to(device, non_blocking=True)
    with torch.autocast(device.type, enabled=False):
        out = images.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0)
        start = 0
        for operation, group, _ in steps:
            part = slice(start, start + len(group))
            start = part.stop
            _apply(operation, out, rows[part], values[part].view(-1, 1, 1))
    return out


def normalise(
    images: torch.Tensor, *, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> torch.Tensor:
    """(images - mean) / std for each channel.

    Args:
        images: (B, 3, H, W) on any device: uint8, or float in [0, 1].
        mean: Of each channel, for values in [0, 1].
        std: Likewise.

    Returns:
        float32 (B, 3, H, W) on the images' device, new; float64 where the images are.
    """
    if images.dtype == torch.uint8:
        images = images.float().div_(255.0)
    scale, shift = _scale_and_shift(tuple(mean), tuple(std), images.device)
    return torch.addcmul(shift, images, scale)


@functools.lru_cache(maxsize=8)
def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """1 / std and -mean / std, float32 (1, 3, 1, 1)."""
    with torch.inference_mode(False):  # or a first use in inference mode would spoil them for training
        scale = torch.tensor(std).reciprocal()
        shift = -torch.tensor(mean) * scale
        return scale.view(1, -1, 1, 1).to(device), shift.view(1, -1, 1, 1).to(device)


Operation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(images (b, 3, S, S), values (b, 1, 1)) to new images, perhaps a little outside [0, 1]."""


def _steps(params: torch.Tensor) -> list[tuple[Operation, torch.Tensor, torch.Tensor]]:
    """What to do, in order: the operation, the rows of the batch (int64) and a value for each (float32)."""
    table = params.numpy()
    jitters = (brightness, contrast, saturation, hue)
    steps: list[tuple[Operation, np.ndarray, np.ndarray]] = []
    for place in range(4):
        for number, operation in enumerate(jitters):
            values = table[:, _FACTORS][:, number]
            touched = (table[:, _JITTER] > 0) & (table[:, _ORDER][:, place] == number)
            steps.append((operation, touched & (values != _NEUTRAL[number]), values))
    for operation, column in ((grey, _GREY), (gaussian_blur, _BLUR), (solarize, _SOLARIZE)):
        steps.append((operation, table[:, column] > 0, table[:, column]))
    return [
        (operation, torch.from_numpy(np.flatnonzero(touched)), torch.from_numpy(values[touched]))
        for operation, touched, values in steps
        if touched.any()
    ]


def _apply(operation: Operation, out: torch.Tensor, rows: torch.Tensor, values: torch.Tensor) -> None:
    whole = len(rows) == len(out)
    part = out if whole else out.index_select(0, rows)
    part = operation(part, values).clamp_(0.0, 1.0)
    if whole:
        out.copy_(part)
    else:
        out.index_copy_(0, rows, part)
