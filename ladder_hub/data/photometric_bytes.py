"""The photometric operations on bytes, one image at a time, by OpenCV: what a CPU does.

The definitions are torchvision's for uint8 images: brightness, contrast, saturation and grey cut off what is behind the
point, hue and blur round it. OpenCV lets go of the interpreter's lock meanwhile.

An operation takes an image uint8 (S, S, 3), a second array of its shape for its use, and a value; it returns the one of
the two that holds the result.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np
import torch

from ladder_hub.data.blur import kernel_size

Steps = list[tuple[str, np.ndarray, np.ndarray]]
"""What to do, in order: an operation, the images of a batch (int64) and a value for each (float32)."""

_LUMA = (0.2989, 0.587, 0.114)
_CUT = 0.498  # makes OpenCV's rounding a cut; whole numbers stay, as a hair is left
_SIGMAS = 3  # what lies further out weighs 0.3 %: less than a byte shows


def in_bytes(images: torch.Tensor, steps: Steps) -> torch.Tensor:
    """Take every image through its steps.

    Args:
        images: uint8 (B, 3, S, S) on the CPU; quickest where the channels lie last in memory.
        steps: see `Steps`.

    Returns:
        uint8 (B, 3, S, S), new; channels lie last in memory.
    """
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
    todo: list[list[tuple[_Operation, float]]] = [[] for _ in pixels]
    for operation, rows, values in steps:
        for row, value in zip(rows.tolist(), values.tolist(), strict=True):
            todo[row].append((_OPERATIONS[operation], value))
    done, spare = np.empty_like(pixels), np.empty_like(pixels[:1]).squeeze(0)
    for image, operations, target in zip(pixels, todo, done, strict=True):
        _one(image, operations, target, spare)
    return torch.from_numpy(done).permute(0, 3, 1, 2)


_Operation = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def _one(image: np.ndarray, operations: list[tuple[_Operation, float]], target: np.ndarray, spare: np.ndarray) -> None:
    np.copyto(target, image)
    held, free = target, spare
    for operation, value in operations:
        result = operation(held, free, value)
        held, free = result, held if result is free else free
    if held is not target:
        np.copyto(target, held)


def _brightness(image: np.ndarray, spare: np.ndarray, factor: float) -> np.ndarray:
    """Multiply by the factor."""
    return _blended(image, spare, factor, (0.0, 0.0, 0.0), 0.0)


def _contrast(image: np.ndarray, spare: np.ndarray, factor: float) -> np.ndarray:
    """Away from the mean of the image's grey: mean + factor * (x - mean)."""
    mean = sum(weight * channel for weight, channel in zip(_LUMA, cv2.mean(image), strict=False))
    return _blended(image, spare, factor, (0.0, 0.0, 0.0), (1.0 - factor) * mean)


def _saturation(image: np.ndarray, spare: np.ndarray, factor: float) -> np.ndarray:
    """Away from each pixel's grey: grey + factor * (x - grey)."""
    r, g, b = _LUMA
    return _blended(image, spare, factor, ((1.0 - factor) * r, (1.0 - factor) * g, (1.0 - factor) * b), 0.0)


def _grey(image: np.ndarray, spare: np.ndarray, _: float) -> np.ndarray:
    """Grey in all three channels."""
    return _blended(image, spare, 0.0, _LUMA, 0.0)


def _blended(
    image: np.ndarray, spare: np.ndarray, factor: float, others: tuple[float, float, float], shift: float
) -> np.ndarray:
    """A channel is factor times itself, plus `others` times (r, g, b), plus `shift`; held to 0..255 and cut off."""
    r, g, b = others
    shift -= _CUT
    matrix = ((r + factor, g, b, shift), (r, g + factor, b, shift), (r, g, b + factor, shift))
    return cv2.transform(image, np.array(matrix, dtype=np.float32), dst=spare)


def _hue(image: np.ndarray, spare: np.ndarray, shift: float) -> np.ndarray:
    """Turn the colour wheel by `shift` turns; it has 256 steps here, and bytes overflow as a wheel does."""
    cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL, dst=spare)
    rows = spare.reshape(len(spare), -1)
    turn = np.array([round(shift * 256) % 256, 0, 0], dtype=np.uint8)
    np.add(rows, np.tile(turn, spare.shape[1]), out=rows)
    return cv2.cvtColor(spare, cv2.COLOR_HSV2RGB_FULL, dst=image)


def _blur(image: np.ndarray, spare: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, the borders reflected."""
    reach = min(kernel_size(len(image)) // 2, math.ceil(_SIGMAS * sigma))
    kernel = cv2.getGaussianKernel(2 * reach + 1, sigma, cv2.CV_32F)
    return cv2.sepFilter2D(image, -1, kernel, kernel, dst=spare, borderType=cv2.BORDER_REFLECT_101)


def _solarize(image: np.ndarray, spare: np.ndarray, _: float) -> np.ndarray:
    """Invert what is at or above 128."""
    return cv2.LUT(image, _SOLARIZED, dst=spare)


_SOLARIZED = np.array([x if x < 128 else 255 - x for x in range(256)], dtype=np.uint8)

_OPERATIONS: dict[str, _Operation] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "hue": _hue,
    "grey": _grey,
    "blur": _blur,
    "solarize": _solarize,
}
