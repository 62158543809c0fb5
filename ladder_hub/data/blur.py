"""Gaussian blur with a sigma for each image, as products with a band matrix.

A separable blur is linear: A_h X A_w^T with a banded matrix A for each image. Of a band only the part around the
diagonal is multiplied, block by block, and since the image is padded first, every block of an image is the same. At
these sizes that is faster, on a CPU and on a GPU, than a grouped convolution with a kernel for each image.

Shapes: b images of side S, N pixels a block, R neighbours on each side, K = N + 2R.
"""

import math

import torch
from torch.nn.functional import pad, threshold

_WIDEST_BLOCK = 16  # wider multiplies more zeros, narrower wastes the CPU's matrix product
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
        bands = _bands(sigma.reshape(-1, 1), side)
        _blur_rows(part, bands)
        _blur_columns(part, bands)


def _blur_rows(images: torch.Tensor, bands: torch.Tensor) -> None:
    b, _, side, _ = images.shape
    block, wide = bands.shape[1:]
    reach = (wide - block) // 2
    padded = pad(images, (reach, reach, 0, 0), mode="reflect").flatten(1, 2)
    windows = padded.unfold(2, wide, block).transpose(1, 2)  # (b, S / N, 3S, K)
    blurred = windows @ bands.unsqueeze(1).mT
    images.view(b, 3 * side, -1, block).copy_(blurred.transpose(1, 2))


def _blur_columns(images: torch.Tensor, bands: torch.Tensor) -> None:
    b, _, side, _ = images.shape
    block, wide = bands.shape[1:]
    reach = (wide - block) // 2
    windows = pad(images, (0, 0, reach, reach), mode="reflect").unfold(2, wide, block).mT  # (b, 3, S / N, K, S)
    torch.matmul(bands[:, None, None], windows, out=images.view(b, 3, -1, block, side))


def _bands(sigmas: torch.Tensor, side: int) -> torch.Tensor:
    """(b, N, K): row i holds the 2R + 1 weights, from column i on."""
    block = max(n for n in range(1, _WIDEST_BLOCK + 1) if side % n == 0)
    reach = _reach(sigmas, side)
    steps = torch.arange(-reach, reach + 1, device=sigmas.device, dtype=torch.float32)
    weights = torch.softmax(-0.5 * (steps / sigmas).square(), dim=1)
    weights = threshold(weights, _NOTHING, 0.0)
    bands = weights.new_zeros(len(sigmas), block, block + 2 * reach)
    diagonals = bands.as_strided((len(sigmas), block, 2 * reach + 1), (bands.stride(0), bands.stride(1) + 1, 1))
    diagonals.copy_(weights.unsqueeze(1))
    return bands


def _reach(sigmas: torch.Tensor, side: int) -> int:
    """R: on a GPU half the kernel, as looking at the sigmas would mean to wait for them."""
    whole = kernel_size(side) // 2
    return whole if sigmas.is_cuda else min(whole, math.ceil(_SIGMAS * sigmas.max().item()))
