"""Gaussian blur with a sigma for each image, as products with a band matrix.

A separable blur is linear: A_h X A_w^T with a banded matrix A for each image. Of a band only the part around the
diagonal is multiplied, block by block, and since the image is padded first, every block of an image is the same. At
these sizes that is faster, on a CPU and on a GPU, than a grouped convolution with a kernel for each image.
"""

import math

import torch
from torch.nn.functional import pad, threshold

_BLOCK = 32  # narrower wastes the CPU's matrix product, wider multiplies more zeros
_CHUNK_BYTES = 32 * 2**20
_SIGMAS = 5  # what lies further out weighs 6e-7 in all
_NOTHING = 1e-12  # smaller weights change no float32 result; the smallest, which are denormal, slow a CPU down


def kernel_size(side: int) -> int:
    """Width of the kernel: BYOL's 10 % of the side, made odd; 23 at 224 pixels, 7 at 64."""
    return 2 * int(0.1 * side / 2) + 1


def gaussian_blur(images: torch.Tensor, sigmas: torch.Tensor) -> None:
    """Blur each image with its own sigma, the borders reflected.

    Args:
        images: float32 (b, 3, S, S), contiguous; they are changed.
        sigmas: float32, b values, in pixels.
    """
    side = images.shape[-1]
    chunk = max(1, _CHUNK_BYTES // (3 * 4 * side * side))
    for part, sigma in zip(images.split(chunk), sigmas.split(chunk), strict=True):
        bands = _bands(sigma.reshape(-1), side)
        _blur_rows(part, bands)
        _blur_columns(part, bands)


def _blur_rows(images: torch.Tensor, bands: torch.Tensor) -> None:
    side, margin = images.shape[-1], bands.shape[-1] - _BLOCK
    padded = pad(images, (margin // 2, margin // 2, 0, 0), mode="reflect").flatten(1, 2)
    rows = images.view(len(images), -1, side)
    for start in range(0, side, _BLOCK):
        size = min(_BLOCK, side - start)
        band = bands[:, :size, : size + margin].mT
        torch.bmm(padded[..., start : start + size + margin], band, out=rows[..., start : start + size])


def _blur_columns(images: torch.Tensor, bands: torch.Tensor) -> None:
    side, margin = images.shape[-1], bands.shape[-1] - _BLOCK
    padded = pad(images, (0, 0, margin // 2, margin // 2), mode="reflect").flatten(0, 1)
    planes, bands = images.view(-1, side, side), bands.repeat_interleave(3, dim=0)
    for start in range(0, side, _BLOCK):
        size = min(_BLOCK, side - start)
        band = bands[:, :size, : size + margin]
        torch.bmm(band, padded[:, start : start + size + margin], out=planes[:, start : start + size])


def _bands(sigmas: torch.Tensor, side: int) -> torch.Tensor:
    """(b, N, N + 2 R), N the block, R the reach: row i holds the 2 R + 1 weights, from column i on."""
    reach = _reach(sigmas, side)
    steps = torch.arange(-reach, reach + 1, device=sigmas.device, dtype=torch.float32)
    weights = torch.softmax(-0.5 * (steps / sigmas.unsqueeze(1)).square(), dim=1)
    weights = threshold(weights, _NOTHING, 0.0)
    bands = weights.new_zeros(len(sigmas), _BLOCK, _BLOCK + 2 * reach)
    diagonals = bands.as_strided((*weights.shape[:1], _BLOCK, 2 * reach + 1), (bands.stride(0), bands.stride(1) + 1, 1))
    diagonals.copy_(weights.unsqueeze(1))
    return bands


def _reach(sigmas: torch.Tensor, side: int) -> int:
    """How many neighbours on each side count; on a GPU all of the kernel's, as the sigmas can't be seen from here."""
    whole = kernel_size(side) // 2
    return whole if sigmas.is_cuda else min(whole, math.ceil(_SIGMAS * sigmas.max().item()))
