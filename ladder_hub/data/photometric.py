"""Colour jitter, grey, blur and solarisation, drawn on the CPU for each image, applied to a whole batch.

All chance lies in a row of twelve numbers for each image and view, so `augment` is a pure function. On a GPU,
samples that share an operation are gathered, so an operation costs only what it touches; the groups are formed on the
CPU, so the GPU is never waited for. On a CPU one image after the other goes through all its operations: it stays in
the cache meanwhile.
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
    u = rng.random(13).tolist()  # numbers of Python: arithmetic with numpy's, one at a time, takes ten times as long
    factors = []
    for strength, chance in zip((policy.brightness, policy.contrast, policy.saturation), u[1:4], strict=True):
        low, high = max(0.0, 1.0 - strength), 1.0 + strength
        factors.append(low + (high - low) * chance)
    shift = policy.hue * (2.0 * u[4] - 1.0)
    order = sorted(range(4), key=u[5:9].__getitem__)
    low, high = policy.blur_sigma
    sigma = low + (high - low) * u[11] if u[10] < policy.blur else 0.0
    row = [u[0] < policy.jitter, *factors, shift, *order, u[9] < policy.grey, sigma, u[12] < policy.solarize]
    return np.array(row, dtype=np.float32)


def augment(images: torch.Tensor, params: torch.Tensor, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """Apply jitter, grey, blur and solarisation, in this order, each clamped to [0, 1].

    Args:
        images: uint8 (B, 3, S, S), on any device.
        params: float32 (B, 12) on the CPU, a row of `draw` for each image.
        out: Where the result goes, of its shape; fresh memory costs a CPU up to a quarter of the time.

    Returns:
        float32 (B, 3, S, S) in [0, 1], on the images' device, contiguous.
    """
    steps = _steps(params)
    with torch.autocast(images.device.type, enabled=False):
        if out is None:
            out = torch.empty(images.shape, dtype=torch.float32, device=images.device)
        if images.device.type == "cpu":
            _one_by_one(images, steps, out)
        else:
            out.copy_(images).div_(255.0)
            _in_groups(steps, out)
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


Operation = Callable[[torch.Tensor, torch.Tensor], None]
"""Changes images (b, 3, S, S) by their values (b, 1, 1), perhaps to a little outside [0, 1]."""

Steps = list[tuple[Operation, torch.Tensor, torch.Tensor]]


def _steps(params: torch.Tensor) -> Steps:
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


def _one_by_one(images: torch.Tensor, steps: Steps, out: torch.Tensor) -> None:
    todo: list[list[tuple[Operation, torch.Tensor]]] = [[] for _ in images]
    for operation, rows, values in steps:
        for row, value in zip(rows.tolist(), values.view(-1, 1, 1, 1).unbind(), strict=True):
            todo[row].append((operation, value))
    for image, operations, done in zip(images.split(1), todo, out.split(1), strict=True):
        done.copy_(image).div_(255.0)
        for operation, value in operations:
            operation(done, value)
            done.clamp_(0.0, 1.0)


def _in_groups(steps: Steps, out: torch.Tensor) -> None:
    if not steps:
        return
    # One transfer for all groups, from page-locked memory: a copy from ordinary memory makes the CPU wait.
    rows, values = torch.cat([rows for _, rows, _ in steps]), torch.cat([values for _, _, values in steps])
    if out.is_cuda:
        rows, values = rows.pin_memory(), values.pin_memory()
    rows, values = rows.to(out.device, non_blocking=True), values.to(out.device, non_blocking=True)
    sizes = [len(group) for _, group, _ in steps]
    for (operation, _, _), row, value in zip(steps, rows.split(sizes), values.split(sizes), strict=True):
        whole = len(row) == len(out)
        part = out if whole else out.index_select(0, row)
        operation(part, value.view(-1, 1, 1))
        part.clamp_(0.0, 1.0)
        if not whole:
            out.index_copy_(0, row, part)
