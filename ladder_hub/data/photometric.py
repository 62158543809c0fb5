"""Colour jitter, grey, blur and solarisation, drawn on the CPU for a whole batch, applied where the images are.

All chance lies in a row of twelve numbers for each image and view, so `augment` is a pure function. `_steps` says what
is to be done with which images; two backends do it. On a CPU `photometric_bytes` takes one image after the other
through all its operations, in bytes: it stays in the cache meanwhile. Elsewhere samples that share an operation are
gathered, in floats, so an operation costs only what it touches; the groups are formed on the CPU, so the device is
never waited for.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ladder_hub.data.blur import gaussian_blur
from ladder_hub.data.colour import brightness, contrast, grey, hue, saturation, solarize
from ladder_hub.data.photometric_bytes import Steps, in_bytes

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

PARAMS = 12
"""Columns of a row: 0 jitter (0 or 1); 1 brightness, 2 contrast, 3 saturation factor; 4 hue shift in turns;
5..8 the order of those four (operation numbers 0..3); 9 grey (0 or 1); 10 blur sigma in pixels, 0 for none;
11 solarise (0 or 1)."""
PHOTOMETRIC_NUMBERS = 13
"""What `draw` takes for a view."""
_JITTER, _FACTORS, _ORDER, _GREY, _BLUR, _SOLARIZE = 0, slice(1, 5), slice(5, 9), 9, 10, 11
_JITTERS, _NEUTRAL = ("brightness", "contrast", "saturation", "hue"), (1.0, 1.0, 1.0, 0.0)


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


def draw(policy: Policy, numbers: np.ndarray) -> np.ndarray:
    """All photometric chance of some views.

    Every operation has its own numbers, so a probability that changes leaves the others' draws alone.

    Args:
        policy: Of these views.
        numbers: float64 (..., 13), uniform in [0, 1).

    Returns:
        float32 (..., 12), see `PARAMS`.
    """
    rows = np.empty((*numbers.shape[:-1], PARAMS), dtype=np.float32)
    rows[..., _JITTER] = numbers[..., 0] < policy.jitter
    for column, strength in enumerate((policy.brightness, policy.contrast, policy.saturation), start=1):
        rows[..., column] = _between(max(0.0, 1.0 - strength), 1.0 + strength, numbers[..., column])
    rows[..., 4] = policy.hue * (2.0 * numbers[..., 4] - 1.0)
    rows[..., _ORDER] = np.argsort(numbers[..., _ORDER], axis=-1, kind="stable")
    rows[..., _GREY] = numbers[..., 9] < policy.grey
    rows[..., _BLUR] = np.where(numbers[..., 10] < policy.blur, _between(*policy.blur_sigma, numbers[..., 11]), 0.0)
    rows[..., _SOLARIZE] = numbers[..., 12] < policy.solarize
    return rows


def _between(low: float, high: float, numbers: np.ndarray) -> np.ndarray:
    return low + (high - low) * numbers


def augment(images: torch.Tensor, params: torch.Tensor) -> torch.Tensor:
    """Apply jitter, grey, blur and solarisation, in this order, each held to the range of the images.

    Args:
        images: uint8 (B, 3, S, S), on any device.
        params: float32 (B, 12) on the CPU, a row of `draw` for each image.

    Returns:
        (B, 3, S, S) on the images' device, new: on a CPU uint8, channels last in memory; elsewhere float32 in
        [0, 1], contiguous. `normalise` takes either.
    """
    steps = _steps(params)
    if images.device.type == "cpu":
        return in_bytes(images, steps)
    with torch.autocast(images.device.type, enabled=False):
        return _in_groups(steps, images.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0))


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
        if images.device.type == "cpu" and images.is_contiguous(memory_format=torch.channels_last):
            return _by_rows(images, tuple(mean), tuple(std))
        return normalise_(images.float().div_(255.0), mean=mean, std=std)
    scale, shift = _scale_and_shift(tuple(mean), tuple(std), images.device)
    return torch.addcmul(shift, images, scale)


def normalise_(
    images: torch.Tensor, *, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> torch.Tensor:
    """`normalise` in place, for images float (B, 3, H, W) that nobody needs as they were; no gradient flows."""
    scale, shift = _scale_and_shift(tuple(mean), tuple(std), images.device)
    return torch.addcmul(shift, images, scale, out=images)


@functools.lru_cache(maxsize=8)
def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """1 / std and -mean / std, float32 (1, 3, 1, 1)."""
    with torch.inference_mode(False):  # or a first use in inference mode would spoil them for training
        scale = torch.tensor(std).reciprocal()
        shift = -torch.tensor(mean) * scale
        return scale.view(1, -1, 1, 1).to(device), shift.view(1, -1, 1, 1).to(device)


def _by_rows(images: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """The same values for uint8 images whose channels lie last in memory, and their floats' do.

    A whole row of pixels against a row of constants is one loop of the CPU; three channels a pixel are no loop at all,
    and take five times as long.
    """
    rows = images.permute(0, 2, 3, 1).flatten(0, 1).flatten(1)
    scale, shift = (
        constants.flatten().repeat(images.shape[3]) for constants in _scale_and_shift(mean, std, images.device)
    )
    done = rows.float().div_(255.0)
    torch.addcmul(shift, done, scale, out=done)
    return done.view(len(images), *images.shape[2:], images.shape[1]).permute(0, 3, 1, 2)


def _steps(params: torch.Tensor) -> Steps:
    """What to do, in order: the operation, the rows of the batch (int64) and a value for each (float32)."""
    table = params.numpy()
    steps = []
    for place in range(4):
        for number, operation in enumerate(_JITTERS):
            values = table[:, _FACTORS][:, number]
            touched = (table[:, _JITTER] > 0) & (table[:, _ORDER][:, place] == number)
            steps.append((operation, touched & (values != _NEUTRAL[number]), values))
    for operation, column in (("grey", _GREY), ("blur", _BLUR), ("solarize", _SOLARIZE)):
        steps.append((operation, table[:, column] > 0, table[:, column]))
    return [
        (operation, np.flatnonzero(touched), values[touched]) for operation, touched, values in steps if touched.any()
    ]


_IN_FLOATS: dict[str, Callable[[torch.Tensor, torch.Tensor], None]] = {
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
    "grey": grey,
    "blur": gaussian_blur,
    "solarize": solarize,
}
"""Each changes float32 images (b, 3, S, S) by their values (b, 1, 1), perhaps to a little outside [0, 1]."""


def _in_groups(steps: Steps, out: torch.Tensor) -> torch.Tensor:
    if not steps:
        return out
    # One transfer for all groups, from page-locked memory: a copy from ordinary memory makes the CPU wait.
    rows = torch.from_numpy(np.concatenate([rows for _, rows, _ in steps]))
    values = torch.from_numpy(np.concatenate([values for _, _, values in steps]))
    if out.is_cuda:
        rows, values = rows.pin_memory(), values.pin_memory()
    rows, values = rows.to(out.device, non_blocking=True), values.to(out.device, non_blocking=True)
    sizes = [len(group) for _, group, _ in steps]
    for (operation, _, _), row, value in zip(steps, rows.split(sizes), values.split(sizes), strict=True):
        whole = len(row) == len(out)
        part = out if whole else out.index_select(0, row)
        _IN_FLOATS[operation](part, value.view(-1, 1, 1))
        part.clamp_(0.0, 1.0)
        if not whole:
            out.index_copy_(0, row, part)
    return out
